"""Real WebRTC peers that send sound, for the web's tests."""

import asyncio
import fractions

import av
import numpy as np
from aiohttp import ClientResponse
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from peers import SDP, Running

RATE = 48_000


class Tones(MediaStreamTrack):
    """A tone of its own in each ear, 20 ms a frame, at the pace of the clock."""

    kind = "audio"

    def __init__(self, left: float = 440.0, right: float = 1320.0) -> None:
        super().__init__()
        self.tones = np.array([[left], [right]])
        self.start: float | None = None
        self.samples = 0

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self.start = self.start or loop.time()
        t = (self.samples + np.arange(960)) / RATE
        sound = (12_000 * np.sin(2 * np.pi * self.tones * t)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T.reshape(1, -1)), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.samples, fractions.Fraction(1, RATE)
        self.samples += 960
        await asyncio.sleep(max(0.0, self.start + self.samples / RATE - loop.time()))
        return frame


class Sender:
    """A peer that sends sound, and where asked a picture, as OBS does."""

    def __init__(self, *tracks: MediaStreamTrack) -> None:
        self.peer = RTCPeerConnection()
        self.tracks = tracks or (Tones(),)

    async def offer(self) -> str:
        for track in self.tracks:
            self.peer.addTransceiver(track, direction="sendonly")
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer: str = self.peer.localDescription.sdp
        return offer

    async def join(self, running: Running, **headers: str) -> ClientResponse:
        answer = await running.client.post(running.at("/whip"), data=await self.offer(), headers=SDP | headers)
        assert answer.status == 201, await answer.text()
        await self.peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        return answer
