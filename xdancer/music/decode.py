"""Audio files to samples, through PyAV (FFmpeg)."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from xdancer.errors import UserError
from xdancer.music.frame import SAMPLE_RATE


def decode_audio(path: str | Path) -> np.ndarray:
    """The first audio stream of a file: float32 (N, channels), N > 0, 48 kHz, channels as in the file (at most 8).

    Samples that are not finite become 0. A file that breaks off half way gives what could be read. Raises
    UserError where the file is missing, empty, not audio, or nothing in it can be read.
    """
    blocks = list(iterate_audio(path))
    return np.concatenate(blocks)


def iterate_audio(path: str | Path, most_channels: int = 8) -> Iterator[np.ndarray]:
    """As `decode_audio`, in blocks float32 (n, channels) as they are decoded; more channels are mixed to stereo."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if not path.is_file():
        raise UserError(f"{path}: not a file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError) as error:
        raise UserError(f"{path}: not an audio file that FFmpeg can read ({_reason(error)})") from None
    with container:
        if not container.streams.audio:
            raise UserError(f"{path}: has no audio in it")
        sounded = False
        for block in container_blocks(container, most_channels):
            sounded = True
            yield block
    if not sounded:
        raise UserError(f"{path}: no sound could be read; the file may be truncated")


def mono(samples: np.ndarray) -> np.ndarray:
    """Mean of the channels: (N, channels) to float32 (N,)."""
    return samples.mean(axis=1, dtype=np.float32)


def container_blocks(container: av.container.InputContainer, most_channels: int = 8) -> Iterator[np.ndarray]:
    """The first audio stream of an open container, in blocks as `iterate_audio` gives them, to its end or breakage."""
    resampler = None
    for frame in _frames(container):
        if resampler is None:
            layout = frame.layout.name if frame.layout.nb_channels <= most_channels else "stereo"
            resampler = av.AudioResampler(format="flt", layout=layout, rate=SAMPLE_RATE)
        try:
            resampled = resampler.resample(frame)
        except (av.FFmpegError, ValueError):  # the format changed within the stream
            break
        yield from (_samples(out) for out in resampled if out.samples)
    if resampler is not None:
        yield from (_samples(out) for out in resampler.resample(None) if out.samples)


def _frames(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    packets = container.demux(audio=0)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):  # the end, or broken off: what came before still counts
            return
        try:
            frames = packet.decode()
        except av.InvalidDataError:  # one damaged packet; a radio's stream may hold some
            continue
        except av.FFmpegError:
            return
        yield from (frame for frame in frames if isinstance(frame, av.AudioFrame))


def _samples(frame: av.AudioFrame) -> np.ndarray:
    samples = frame.to_ndarray().reshape(frame.samples, -1)
    return np.where(np.isfinite(samples), samples, np.float32(0.0))


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip().split("\n")[0]
