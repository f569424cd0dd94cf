"""Encoders: one frame of the show in, packets ready for RTP out. They run in threads; PyAV lets go of the GIL."""

from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext

FPS = 30
SAMPLE_RATE = 48_000
HOP = 1_600
OPUS_SAMPLES = 960  # 20 ms, what browsers expect
KEY_EVERY = 2 * FPS  # frames between key frames where nobody asks for one

# No frame may wait for another: no B-frames, no look-ahead, no frame threads.
VIDEO_OPTIONS = {
    "h264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "level": "31"}),
    "vp8": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "error-resilient": "1"}),
}


class VideoEncoder:
    """One video stream: pictures in order, packets with pts in frames of the show."""

    def __init__(self, codec: str, width: int, height: int, bitrate: int) -> None:
        name, options = VIDEO_OPTIONS[codec]
        context = av.CodecContext.create(name, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.bit_rate, context.gop_size = bitrate, KEY_EVERY
        context.time_base, context.framerate = Fraction(1, FPS), Fraction(FPS, 1)
        context.thread_count = 1
        context.options = options
        self._context = context

    def encode(self, picture: np.ndarray, index: int, key: bool) -> list[av.Packet]:
        """Picture uint8 (H, W, 3) RGB of frame `index`, greater than the last; `key` forces a key frame."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        frame.pict_type = av.video.frame.PictureType.I if key else av.video.frame.PictureType.NONE
        return list(self._context.encode(frame))


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
