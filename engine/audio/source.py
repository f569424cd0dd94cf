"""Where the show's sound comes from: the protocol every source keeps, and how a configuration names one."""

from typing import Protocol

import numpy as np

from engine.config import AudioSettings
from xdancer.errors import UserError
from xdancer.music.frame import HOP

SCHEMES = ("http", "https", "rtmp", "rtmps", "rtsp", "rtsps")


class Source(Protocol):
    """A stream of 48 kHz stereo. It is pulled by the show, one frame of HOP samples after the other, and never blocks.

    A source that can wait (a file) gives None when its next samples are not decoded yet; one that cannot (a sound
    card, a network) gives silence for what is missing. `status` is a word or a line for people.
    """

    label: str
    status: str

    def start(self) -> None:
        """Begin. Raises UserError where it is certain that no sound will ever come."""

    def pull(self) -> np.ndarray | None:
        """The next HOP samples, float32 (HOP, 2) in [-1, 1], or None: not yet."""

    def skew(self) -> float:
        """By how much faster (0.0001 is 100 ppm) this source's clock runs than ours."""

    def close(self) -> None:
        """End; may be called at any time, more than once."""


def open_source(settings: AudioSettings) -> Source:
    """The source that `settings.source` names. Raises UserError where there can be no such source."""
    from engine.audio.files import demo_source, file_source

    name = settings.source
    scheme, separator, _ = name.partition("://")
    if name == "demo":
        return demo_source()
    if name == "device" or name.startswith("device:"):
        from engine.audio.device import DeviceSource

        return DeviceSource(name.partition(":")[2])
    if name == "browser":
        from engine.audio.browser import BrowserSource

        return BrowserSource()
    if separator:
        if scheme.lower() not in SCHEMES:
            raise UserError(f"audio.source: {scheme}:// is not supported; there are {', '.join(SCHEMES)}")
        from engine.audio.url import UrlSource

        return UrlSource(name)
    return file_source(name, settings.loop)


def clean(block: np.ndarray) -> np.ndarray:
    """Any sound (n,) or (n, 1) or (n, 2) as float32 (n, 2) in [-1, 1]; what is not finite becomes silence."""
    block = np.asarray(block, np.float32)
    if block.ndim == 1:
        block = block[:, None]
    block = np.clip(np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
    return np.repeat(block, 2, axis=1) if block.shape[1] == 1 else np.ascontiguousarray(block[:, :2])


def silence() -> np.ndarray:
    """A frame of silence."""
    return np.zeros((HOP, 2), np.float32)
