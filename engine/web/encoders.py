"""Encoders: one frame of the show in, packets ready for RTP out. They run in threads; PyAV lets go of the GIL."""

import logging
from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext

log = logging.getLogger(__name__)

FPS = 30
SAMPLE_RATE = 48_000
HOP = 1_600
OPUS_SAMPLES = 960  # 20 ms, what browsers expect
KEY_EVERY = 2 * FPS  # frames between key frames where nobody asks for one

# The first that opens is taken. No frame may wait for another: no B-frames, no look-ahead, no frame threads.
# Constrained Baseline is what every browser decodes.
VIDEO_ENCODERS = {
    "h264": (
        ("h264_nvenc", {"preset": "p2", "tune": "ull", "zerolatency": "1", "rc": "cbr", "forced-idr": "1",
                        "profile": "baseline", "delay": "0"}),
        ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "level": "31"}),
    ),
    "vp8": (("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "error-resilient": "1"}),),
}  # fmt: skip


class VideoEncoder:
    """One video stream: pictures in order, packets with pts in frames of the show. `name` is FFmpeg's."""

    def __init__(self, codec: str, width: int, height: int, bitrate: int) -> None:
        """`codec` is "h264" or "vp8", `bitrate` in bits per second. Raises av.FFmpegError where none opens."""
        self._size = (width, height)
        *better, last = VIDEO_ENCODERS[codec]
        for self.name, options in better:
            try:
                self._context = _open(self.name, options, width, height, bitrate)
                return
            except (av.FFmpegError, ValueError) as error:  # no such hardware, no driver, or not built in
                log.debug("%s: %s", self.name, error)
        self.name, options = last
        self._context = _open(self.name, options, width, height, bitrate)

    def encode(self, picture: np.ndarray, index: int, key: bool) -> list[av.Packet]:
        """Picture uint8 (H, W, 3) RGB, scaled to the encoder's size, of frame `index`, greater than the last; `key`
        forces a key frame."""
        whole = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame = whole.reformat(*self._size, format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        frame.pict_type = av.video.frame.PictureType.I if key else av.video.frame.PictureType.NONE
        return list(self._context.encode(frame))


def _open(name: str, options: dict[str, str], width: int, height: int, bitrate: int) -> VideoCodecContext:
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.bit_rate, context.gop_size = bitrate, KEY_EVERY
    context.time_base, context.framerate = Fraction(1, FPS), Fraction(FPS, 1)
    context.thread_count = 1
    # A rung is what a viewer's line can carry, so no half second may hold more than its share.
    context.options = options | {"maxrate": str(bitrate), "bufsize": str(bitrate // 2)}
    context.open()
    return context


class SoundEncoder:
    """Opus, stereo, 20 ms a packet; pts in samples of the show."""

    def __init__(self, bitrate: int = 128_000) -> None:
        self._bitrate = bitrate
        self._next: int | None = None
        self._waiting = np.zeros((0, 2), np.float32)
        self._context = self._open()

    def _open(self) -> AudioCodecContext:
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate, context.layout, context.format = SAMPLE_RATE, "stereo", "flt"
        context.bit_rate, context.time_base = self._bitrate, Fraction(1, SAMPLE_RATE)
        context.options = {"application": "audio", "frame_duration": "20"}
        return context

    def encode(self, sound: np.ndarray, index: int) -> list[av.Packet]:
        """Sound float32 (1600, 2) of frame `index`; after a gap the stream starts anew at that frame."""
        start = index * HOP
        if self._next is None or start != self._next + len(self._waiting):
            self._next, self._waiting, self._context = start, np.zeros((0, 2), np.float32), self._open()
        samples = np.concatenate([self._waiting, np.clip(sound, -1.0, 1.0)])
        packets: list[av.Packet] = []
        for _ in range(len(samples) // OPUS_SAMPLES):
            block, samples = samples[:OPUS_SAMPLES], samples[OPUS_SAMPLES:]
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(block, np.float32).reshape(1, -1), format="flt", layout="stereo"
            )
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._next, Fraction(1, SAMPLE_RATE)
            packets += self._context.encode(frame)
            self._next += OPUS_SAMPLES
        self._waiting = samples
        return packets
