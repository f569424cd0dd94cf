"""Encode once, send to everyone: one encoder a codec and rung, its frames fanned out at the moment they are due."""

import asyncio
import functools
import logging
import math
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from engine.stage.frame import ShowFrame
from engine.stage.metrics import Window
from engine.stage.wall import unix_time
from engine.web.encoders import HOP, SAMPLE_RATE, SoundEncoder, VideoEncoder
from engine.web.packing import Packed, Packer
from engine.web.rungs import RUNGS

log = logging.getLogger(__name__)

QUEUE = 16  # frames that wait for a viewer who does not read; then it skips to the next key frame
# Frames that may wait for the encoder; further ones are left out. A studio that takes over makes all at once that are
# not due yet, and of sound, which costs next to nothing, none may be missing.
PICTURES_WAIT, SOUND_WAITS = 8, 64
KEY_SPACING = 0.5  # seconds between key frames, however many ask
SETTLE = 0.03  # seconds after its due time that a frame leaves: sound is in packets that end up to a frame later
ORIGIN = 0.2  # seconds added to every media time, since Opus begins a little before its first sample
RATE_WINDOW = 1.0  # seconds over which a channel's bitrate is smoothed
AT_ONCE = 2  # viewers that are sent a frame before the event loop looks after anything else: 4 hold it up for 10 ms


class Channel:
    """One encoding and those who are sent it. `codec` is "h264", "vp8" or "opus"; `rate` in bits per second."""

    def __init__(self, codec: str, rung: int, size: tuple[int, int], bitrate: int) -> None:
        self.codec, self.rung = codec, rung
        self.tracks: set[PacketTrack] = set()
        self.room = SOUND_WAITS if codec == "opus" else PICTURES_WAIT
        self.waiting = self.left_out = 0
        self.rate = 0.0
        self.latency = Window()  # of the encoding
        self._size, self._bitrate = size, bitrate
        self._thread = ThreadPoolExecutor(1, f"encode-{codec}")
        self._sound: SoundEncoder | None = None
        self._video: VideoEncoder | None = None
        self._packer = Packer(codec)
        self._key_wanted = True
        self._last_key = -KEY_SPACING
        self._counted = time.monotonic()

    def joined(self) -> None:
        """Someone has come who needs a key frame to begin with."""
        self._key_wanted = True

    def ask_key(self) -> None:
        """Someone cannot go on without a key frame; one that has just been made is for them too."""
        if time.monotonic() - self._last_key > KEY_SPACING:
            self._key_wanted = True

    def submit(self, frame: ShowFrame) -> "asyncio.Future[list[tuple[float, Packed]]]":
        """Encode in the channel's thread: what to send, and how many seconds after the frame is due."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._encode, frame)

    def start_anew(self) -> None:
        """Forget an encoder that failed."""
        self._sound = self._video = None
        self._key_wanted = True

    def count(self, size: int) -> None:
        """So many bytes are sent now."""
        now = time.monotonic()
        self.rate = self.rate * math.exp((self._counted - now) / RATE_WINDOW) + 8 * size / RATE_WINDOW
        self._counted = now

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _encode(self, frame: ShowFrame) -> list[tuple[float, Packed]]:
        began = time.perf_counter()
        sent = self._packed(frame)
        self.latency.push(time.perf_counter() - began)
        return sent

    def _packed(self, frame: ShowFrame) -> list[tuple[float, Packed]]:
        if self.codec == "opus":
            self._sound = self._sound or SoundEncoder()
            packets = self._sound.encode(frame.sound, frame.index)
        else:
            self._video = self._video or VideoEncoder(self.codec, *self._size, self._bitrate)
            now = time.monotonic()
            key = self._key_wanted and now - self._last_key >= KEY_SPACING
            if key:
                self._key_wanted, self._last_key = False, now
            packets = self._video.encode(frame.picture, frame.index, key)
        sent = []
        for packet in packets:
            assert packet.pts is not None and packet.time_base is not None
            # A packet of sound goes when its first sample is due, not with the frame that completed it.
            later = (packet.pts - frame.index * HOP) / SAMPLE_RATE if self.codec == "opus" else 0.0
            packet.pts += round(ORIGIN / packet.time_base)
            sent.append((later, self._packer.pack(packet)))
        return sent


class PacketTrack(MediaStreamTrack):
    """What one viewer is sent of one kind: bounded, from one channel at a time."""

    def __init__(self, kind: str, turns: asyncio.Semaphore | None = None) -> None:
        self.kind = kind
        super().__init__()
        self.channel: Channel | None = None
        self.following: Channel | None = None  # goes on with this one from its next key frame
        self.dropped = 0
        self._turns = turns or asyncio.Semaphore(AT_ONCE)
        self._queue: asyncio.Queue[Packed] = asyncio.Queue(QUEUE)
        self._skipping = True  # a stream begins with a key frame
        self._last = -1

    def ask_key(self) -> None:
        for channel in (self.channel, self.following):
            if channel:
                channel.ask_key()

    def put(self, packed: Packed) -> None:
        """Hand over a frame; drops instead of waiting."""
        if self._skipping and not packed.key:
            return
        self._skipping = False
        if self._queue.full():
            self.dropped += self._queue.qsize()
            while not self._queue.empty():
                self._queue.get_nowait()
            if not packed.key:
                self._skipping = True
                self.ask_key()
                return
        if packed.timestamp <= self._last:  # the same picture from another rung: no two frames may bear one time
            packed = replace(packed, timestamp=self._last + 1)
        self._last = packed.timestamp
        self._queue.put_nowait(packed)

    async def recv(self) -> Any:  # of what aiortc asks, Frame or Packet, it is neither
        if self.readyState != "live":
            raise MediaStreamError
        packed = await self._queue.get()
        # All viewers' frames come at the same moment; sent in one go they would hold the event loop up.
        async with self._turns:
            await asyncio.sleep(0)
        return packed


@dataclass(frozen=True)
class Shape:
    """The picture: pixels, and bits per second of the highest rung."""

    width: int
    height: int
    bitrate: int = 4_000_000


class Broadcast:
    """The show as packets. Pictures and sound are encoded ahead of time and leave when they are due, so that the RTP
    clocks of both, which RTCP ties to the moment of sending, agree."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._channels: dict[tuple[str, int], Channel] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._made = -1
        self._gone_dropped = 0  # packets dropped for viewers who have left
        self._end_to_end = Window()  # from hearing a frame to sending it

    # -- viewers

    def track(self, kind: str) -> PacketTrack:
        """A track, "audio" or "video", that is sent nothing until it joins."""
        return PacketTrack(kind, self._turns)

    def join(self, track: PacketTrack, codec: str, rung: int = 0) -> None:
        """Send `track` the show from the next key frame on; from another rung of the codec it changes over there."""
        channel = self._channel(codec, rung)
        if track.channel is None:
            track.channel = channel
        elif track.channel is not channel:
            if track.following and track.following is not channel:
                track.following.tracks.discard(track)
            track.following = channel
        elif track.following:  # back before it had left
            track.following.tracks.discard(track)
            track.following = None
            return
        channel.tracks.add(track)
        channel.joined()

    def leave(self, track: PacketTrack) -> None:
        track.stop()
        for channel in self._channels.values():
            channel.tracks.discard(track)
        if track.channel:
            self._gone_dropped += track.dropped
        track.channel = track.following = None

    def stats(self) -> dict[str, Any]:
        """Counters: frames left out of the encoding, packets dropped for slow viewers; viewers and bitrate by rung."""
        channels = self._channels.values()
        tracks = {track for channel in channels for track in channel.tracks}
        watching, rate = Counter[str](), Counter[str]()
        for channel in channels:
            if channel.codec != "opus":
                name = RUNGS[channel.rung].name
                watching[name] += sum(track.channel is channel for track in channel.tracks)
                rate[f"{channel.codec}_{name}"] = round(channel.rate) if channel.tracks else 0
        return {
            "encode_skipped": sum(channel.left_out for channel in channels),
            "send_dropped": self._gone_dropped + sum(track.dropped for track in tracks),
            "watching": dict(watching),
            "bitrate": dict(rate),
        }

    def latency(self) -> dict[str, dict[str, float]]:
        """Of each encoder, and from hearing a frame to sending its picture."""
        encoders = {f"encode_{c.codec}_{RUNGS[c.rung].name}": c.latency.state() for c in self._channels.values()}
        return {"end_to_end": self._end_to_end.state(), **encoders}

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def _channel(self, codec: str, rung: int) -> Channel:
        if (codec, rung) not in self._channels:
            of, shape = RUNGS[rung], self._shape
            size = (shape.width // of.divisor // 2 * 2, shape.height // of.divisor // 2 * 2)
            self._channels[codec, rung] = Channel(codec, rung, size, shape.bitrate // of.thrift)
        return self._channels[codec, rung]

    # -- the show (engine.stage.frame.Outlet)

    def made(self, frame: ShowFrame) -> None:
        """Encode, ahead of its time."""
        if frame.index <= self._made:
            return
        self._made = frame.index
        for channel in self._channels.values():
            if not channel.tracks or (channel.codec == "opus" and frame.early):  # the room has heard it by then
                continue
            if channel.waiting >= channel.room:
                channel.left_out += 1
                continue
            channel.waiting += 1
            channel.submit(frame).add_done_callback(functools.partial(self._encoded, channel, frame))

    def shown(self, frame: ShowFrame) -> None:
        """Frames that no one announced are encoded now."""
        self.made(frame)

    def _encoded(self, channel: Channel, frame: ShowFrame, done: "asyncio.Future[list[tuple[float, Packed]]]") -> None:
        channel.waiting -= 1
        if done.cancelled():
            return
        if error := done.exception():
            log.error("%s encoder: %s; it starts anew", channel.codec, error)
            channel.start_anew()
            return
        loop = asyncio.get_running_loop()
        channel.count(sum(packed.size for _, packed in done.result()))
        wait = frame.leaves - unix_time() + (0.0 if frame.early else SETTLE)
        for later, packed in done.result():
            loop.call_later(max(wait + later, 0.0), self._send, channel, packed, frame.heard)

    def _send(self, channel: Channel, packed: Packed, heard: float) -> None:
        if channel.codec != "opus" and channel.tracks:
            self._end_to_end.push(unix_time() - heard)
        for track in tuple(channel.tracks):
            if track.following is channel and packed.key:
                assert track.channel is not None
                track.channel.tracks.discard(track)
                track.channel, track.following = channel, None
            if track.channel is channel:
                track.put(packed)
