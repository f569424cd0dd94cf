"""WHIP (RFC 9725): OBS, or a browser's microphone or tab, sends the show its sound."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Sequence

import av
import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, sdp
from aiortc.mediastreams import MediaStreamError

from engine.audio.browser import BrowserSource
from engine.audio.source import Source, clean
from engine.config import IceServer
from engine.web.guard import elsewhere
from engine.web.sessions import Endpoint, Refused, Session, answered, offered
from xdancer.music.frame import SAMPLE_RATE

log = logging.getLogger(__name__)

MOST_GAP = SAMPLE_RATE // 5  # samples of lost sound that silence stands in for, so that the beat stays where it was
MOST_REPLACED = 64  # sessions that are told so when they ask
# What a sender is asked for (RFC 7587, 6.1): browsers send music as mono speech unless told otherwise.
OPUS = "stereo=1;sprop-stereo=1;maxaveragebitrate=256000;useinbandfec=1;usedtx=0"


class Whip(Endpoint):
    """The endpoint for the sound of `audio.source=browser`. One sender at a time; a new one takes over.

    `anyone`: requests have shown a token. Without one, pages of other sites that happen to be open in a browser on this
    machine are kept from sending.
    """

    def __init__(
        self, source: Source, ice_servers: Sequence[IceServer] = (), anyone: bool = False, path: str = "/whip"
    ) -> None:
        super().__init__(path, most=4, ice_servers=ice_servers)
        self._source, self._anyone = source, anyone
        self._sender: Session | None = None
        self._replaced: deque[str] = deque(maxlen=MOST_REPLACED)

    def _admit(self, request: web.Request) -> None:
        if not isinstance(self._source, BrowserSource):
            raise Refused(409, "the show has another source of sound; start it with --audio browser", Retry_After="60")
        if not self._anyone and elsewhere(request):
            raise Refused(403, "only pages of this server may send")

    async def _answer(self, session: Session, offer: sdp.SessionDescription, text: str) -> str:
        sound = next((media for media in offer.media if media.kind == "audio"), None)
        if sound is None or not any(codec.name.lower() == "opus" for codec in sound.rtp.codecs):
            raise Refused(406, "nothing in the offer that can be heard: Opus")
        if sound.direction not in ("sendonly", "sendrecv"):
            raise Refused(400, "a sender offers sendonly")
        peer = session.peer

        @peer.on("track")
        def came(track: MediaStreamTrack) -> None:
            if track.kind == "audio":
                listening = asyncio.ensure_future(self._listen(session, track))
                session.ends.callback(listening.cancel)

        await offered(peer, text)
        for transceiver in peer.getTransceivers():
            # OBS offers a picture too; it is declined, for receiving it would mean decoding it.
            transceiver.direction = "recvonly" if transceiver.kind == "audio" else "inactive"
        session.connected = lambda: self._take_over(session)  # not sooner: one that never connects silences nobody
        session.ends.callback(self._left, session)
        return stereo(await answered(peer))

    def _take_over(self, session: Session) -> None:
        before, self._sender = self._sender, session
        if before and before is not session:
            log.info("whip: another sender takes over")
            self._replaced.append(before.name)
            self._end_soon(before)

    def _session(self, request: web.Request) -> Session:
        if request.match_info["session"] in self._replaced:  # or two pages would take over from each other all night
            raise Refused(410, "another sender has taken over")
        return super()._session(request)

    def _left(self, session: Session) -> None:
        assert isinstance(self._source, BrowserSource)
        if self._sender is session:
            self._sender = None
            self._source.left()
            log.info("whip: the sender has left; silence until one comes")

    async def _listen(self, session: Session, track: MediaStreamTrack) -> None:
        """Everything that comes, as 48 kHz stereo, into the source."""
        assert isinstance(self._source, BrowserSource)
        resampler = av.AudioResampler("flt", "stereo", SAMPLE_RATE)
        expected: int | None = None
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame) and frame.pts is not None
            gap = 0 if expected is None else frame.pts - expected
            expected = frame.pts + frame.samples
            if self._sender is not session:
                continue
            if 0 < gap <= MOST_GAP:
                self._source.put(np.zeros((gap, 2), np.float32))
            for part in resampler.resample(frame):
                self._source.put(clean(part.to_ndarray().reshape(-1, 2)))


def stereo(answer: str) -> str:
    """The answer, asking for music: adds OPUS to what it says of Opus."""
    found = re.search(r"a=rtpmap:(\d+) opus/48000/2\r\n", answer, re.IGNORECASE)
    assert found
    if f"a=fmtp:{found[1]} " in answer:
        answer = re.sub(rf"a=fmtp:{found[1]} .*\r\n", "", answer)
    return answer.replace(found[0], f"{found[0]}a=fmtp:{found[1]} {OPUS}\r\n", 1)
