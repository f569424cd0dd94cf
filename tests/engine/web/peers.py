"""Real WebRTC peers for the web's tests: a viewer, and the server it watches."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import ClientSession
from aioice import stun
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from pretend import PretendShow

from engine.config import load
from engine.web.server import Web

SDP = {"Content-Type": "application/sdp"}


@dataclass
class Running:
    web: Web
    show: PretendShow
    url: str
    client: ClientSession

    def at(self, path: str) -> str:
        return self.url.rstrip("/") + path


@contextlib.asynccontextmanager
async def serving(show: PretendShow, *overrides: str, **settings: str) -> AsyncIterator[Running]:
    """A server that plays `show`, which ends with the block."""
    web = Web(load(None, ["port=0", "width=128", "height=224", *overrides], **settings), show)
    await web.start()
    playing = asyncio.create_task(show.run(web))
    async with ClientSession() as client:
        yield Running(web, show, web.address, client)
    playing.cancel()
    await web.stop()


class Viewer:
    """A peer that asks for the show, of video only one codec where named; with a `pose` channel where asked for."""

    def __init__(
        self, codec: str | None = None, kinds: tuple[str, ...] = ("video", "audio"), pose: bool = False
    ) -> None:
        self.peer = RTCPeerConnection()
        self.tracks: dict[str, MediaStreamTrack] = {}
        self.codec, self.kinds = codec, kinds
        self.poses: asyncio.Queue[str] = asyncio.Queue()
        self.peer.on("track", lambda track: self.tracks.setdefault(track.kind, track))
        if pose:
            self.channel = self.peer.createDataChannel("pose", ordered=False, maxRetransmits=0)
            self.channel.on("message", self.poses.put_nowait)

    async def offer(self) -> str:
        for kind in self.kinds:
            self.peer.addTransceiver(kind, direction="recvonly")
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer: str = self.peer.localDescription.sdp
        return only(offer, self.codec) if self.codec else offer

    async def join(self, running: Running) -> str:
        """Watch; returns the path of the session."""
        async with running.client.post(running.at("/whep"), data=await self.offer(), headers=SDP) as answer:
            assert answer.status == 201, await answer.text()
            await self.peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
            return answer.headers["Location"]


async def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for what is bound to come."""
    async with asyncio.timeout(seconds):
        while True:
            if true():
                return
            await asyncio.sleep(0.02)


def only(offer: str, codec: str) -> str:
    """The offer without the other video codecs."""
    other = {"H264": "VP8", "VP8": "H264"}[codec]
    numbers = set(re.findall(rf"a=rtpmap:(\d+) {other}/", offer))
    numbers |= {n for n, apt in re.findall(r"a=fmtp:(\d+) apt=(\d+)", offer) if apt in numbers}
    lines = []
    for line in offer.splitlines():
        named = re.match(r"a=(?:rtpmap|fmtp|rtcp-fb):(\d+) ", line)
        if named and named[1] in numbers:
            continue
        if line.startswith("m=video"):
            head, formats = line.split()[:3], line.split()[3:]
            line = " ".join(head + [f for f in formats if f not in numbers])
        lines.append(line)
    return "\r\n".join(lines) + "\r\n"


class StunServer(asyncio.DatagramProtocol):
    """Tells whoever asks what its address looks like from here (RFC 8489), and counts them."""

    def __init__(self) -> None:
        self.asked = 0

    @classmethod
    async def started(cls) -> "StunServer":
        loop = asyncio.get_running_loop()
        server: StunServer
        _, server = await loop.create_datagram_endpoint(cls, local_addr=("127.0.0.1", 0))
        return server

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        asked = stun.parse_message(data)
        answer = stun.Message(asked.message_method, stun.Class.RESPONSE, transaction_id=asked.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = addr
        self.transport.sendto(bytes(answer), addr)
