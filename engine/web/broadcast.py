"""Encode once, send to everyone: one encoder a codec, its packets fanned out at the moment they are due."""

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from engine.stage.frame import ShowFrame
from engine.stage.metrics import Rate, Window
from engine.stage.wall import unix_time
from engine.web.encoders import HOP, SAMPLE_RATE, SoundEncoder, VideoEncoder

log = logging.getLogger(__name__)

QUEUE = 16  # packets that wait for a viewer who does not read; then it skips to the next key frame
BACKLOG = 4  # frames that may wait for the encoder; further ones are left out
KEY_SPACING = 0.5  # seconds between key frames that viewers ask for
SETTLE = 0.03  # seconds after its due time that a frame leaves: sound is in packets that end up to a frame later
ORIGIN = 0.2  # seconds added to every media time, since Opus begins a little before its first sample


class PacketTrack(MediaStreamTrack):
    """What one viewer is sent. `ask_key` is called where it needs a key frame to go on."""

    def __init__(self, kind: str, ask_key: Callable[[], None] = lambda: None) -> None:
        self.kind = kind
        super().__init__()
        self.dropped = 0
        self._ask_key = ask_key
        self._queue: asyncio.Queue[av.Packet] = asyncio.Queue(QUEUE)
        self._skipping = kind == "video"  # a stream begins with a key frame

    def put(self, packet: av.Packet) -> None:
        """Hand over a packet; drops instead of waiting."""
        if self._skipping:
            if not packet.is_keyframe:
                return
            self._skipping = False
        if self._queue.full():
            self.dropped += self._queue.qsize()
            while not self._queue.empty():
                self._queue.get_nowait()
            if self.kind == "video" and not packet.is_keyframe:
                self._skipping = True
                self._ask_key()
                return
        self._queue.put_nowait(packet)

    async def recv(self) -> av.Packet:
        if self.readyState != "live":
            raise MediaStreamError
        return await self._queue.get()


@dataclass
class Channel:
    """One encoding and those who are sent it."""

    tracks: set[PacketTrack] = field(default_factory=set)
    waiting: int = 0
    left_out: int = 0


class Broadcast:
    """The show as packets. Pictures and sound are encoded ahead of time and leave when they are due, so that the RTP
    clocks of both, which RTCP ties to the moment of sending, agree."""

    def __init__(self, width: int, height: int, bitrate: int = 4_000_000) -> None:
        self._size, self._bitrate = (width, height), bitrate
        self._channels: dict[str, Channel] = {"opus": Channel()}
        self._video: dict[str, VideoEncoder] = {}
        self._sound = SoundEncoder()
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._want_key: dict[str, bool] = {}
        self._last_key: dict[str, float] = {}
        self._made = -1
        self._latency: dict[str, Window] = {"end_to_end": Window()}
        self._rates: dict[str, Rate] = {}

    # -- viewers

    def subscribe(self, codec: str) -> PacketTrack:
        """A track of "h264", "vp8" or "opus"."""
        channel = self._channels.setdefault(codec, Channel())
        track = PacketTrack("audio" if codec == "opus" else "video", lambda: self.ask_key(codec))
        channel.tracks.add(track)
        if codec != "opus":
            self._want_key[codec] = True
        return track

    def unsubscribe(self, track: PacketTrack) -> None:
        track.stop()
        for channel in self._channels.values():
            channel.tracks.discard(track)

    def ask_key(self, codec: str) -> None:
        """A viewer cannot go on without a key frame; many asking at once get one."""
        if time.monotonic() - self._last_key.get(codec, 0.0) > KEY_SPACING:
            self._want_key[codec] = True

    @property
    def viewers(self) -> int:
        return len(self._channels["opus"].tracks)

    def stats(self) -> dict[str, Any]:
        """Viewers, frames left out of the encoding, packets dropped for slow viewers, bits a second of each codec."""
        tracks = [t for c in self._channels.values() for t in c.tracks]
        return {
            "viewers": self.viewers,
            "encode_skipped": sum(c.left_out for c in self._channels.values()),
            "send_dropped": sum(t.dropped for t in tracks),
            "bitrate": {codec: round(8 * rate.per_second()) for codec, rate in self._rates.items()},
        }

    def latency(self) -> dict[str, dict[str, float]]:
        """Time that each encoder takes a frame; `end_to_end` from hearing a frame to its leaving for the viewers."""
        return {stage: window.state() for stage, window in self._latency.items()}

    def close(self) -> None:
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)

    # -- the show (engine.stage.frame.Outlet)

    def made(self, frame: ShowFrame) -> None:
        """Encode, ahead of its time."""
        if frame.index <= self._made:
            return
        self._made = frame.index
        for codec, channel in self._channels.items():
            if not channel.tracks or (codec == "opus" and frame.early):  # the room has heard it by then
                continue
            if channel.waiting >= BACKLOG:
                channel.left_out += 1
                continue
            channel.waiting += 1
            thread = self._threads.setdefault(codec, ThreadPoolExecutor(1, f"encode-{codec}"))
            done = asyncio.get_running_loop().run_in_executor(thread, self._timed, codec, frame)
            done.add_done_callback(functools.partial(self._encoded, codec, frame))

    def shown(self, frame: ShowFrame) -> None:
        """Frames that no one announced are encoded now."""
        self.made(frame)

    def _timed(self, codec: str, frame: ShowFrame) -> list[av.Packet]:
        began = time.perf_counter()
        packets = self._encode(codec, frame)
        self._latency.setdefault(f"encode_{codec}", Window()).push(time.perf_counter() - began)
        self._rates.setdefault(codec, Rate()).push(sum(packet.size for packet in packets))
        return packets

    def _encode(self, codec: str, frame: ShowFrame) -> list[av.Packet]:
        if codec == "opus":
            return self._sound.encode(frame.sound, frame.index)
        encoder = self._video.get(codec)
        if encoder is None:
            encoder = self._video[codec] = VideoEncoder(codec, *self._size, self._bitrate)
        key, self._want_key[codec] = self._want_key.get(codec, True), False
        return encoder.encode(frame.picture, frame.index, key)

    def _encoded(self, codec: str, frame: ShowFrame, done: asyncio.Future[list[av.Packet]]) -> None:
        channel = self._channels[codec]
        channel.waiting -= 1
        if done.cancelled():
            return
        if error := done.exception():
            log.error("%s encoder: %s; it starts anew", codec, error)
            self._video.pop(codec, None)
            self._want_key[codec] = True
            return
        loop = asyncio.get_running_loop()
        wait = frame.leaves - unix_time()
        for packet in done.result():
            assert packet.pts is not None and packet.time_base is not None
            if packet.is_keyframe and codec != "opus":
                self._last_key[codec] = time.monotonic()
            later = wait + (0 if frame.early else SETTLE)
            if codec == "opus":  # a packet goes when its first sample is due, not with the frame that completed it
                later += (packet.pts - frame.index * HOP) / SAMPLE_RATE
            packet.pts += round(ORIGIN / packet.time_base)
            loop.call_later(max(later, 0.0), self._send, channel, packet, None if codec == "opus" else frame.heard)

    def _send(self, channel: Channel, packet: av.Packet, heard: float | None) -> None:
        if heard is not None and channel.tracks:
            self._latency["end_to_end"].push(unix_time() - heard)
        for track in tuple(channel.tracks):
            track.put(packet)
