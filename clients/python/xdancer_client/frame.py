"""What the show says, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Beat:
    """Beat `number` of the show, at `due` (Unix time), in frame `frame`; `in_bar` is 0 on the downbeat."""

    number: int
    in_bar: int
    bpm: float
    confidence: float
    source: str
    frame: int
    due: float

    @property
    def downbeat(self) -> bool:
        return self.in_bar == 0

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "Beat":
        return cls(
            body["beat"],
            body["beat_in_bar"],
            body["bpm"],
            body["confidence"],
            body["source"],
            body["frame"],
            body["due"],
        )


@dataclass(frozen=True, slots=True)
class Frame:
    """Frame `index` of the show, 30 a second, on show at `due` (Unix time); `t` is seconds on the show clock.

    `pose` is float32 (60, 3): x, y in pixels of the canvas (512 x 896, origin top left) and confidence in [0, 1]; a
    joint of confidence 0 is not there. `tokens` is int16 (5, 6), None while the show dances without its choreographer.
    `exact`: the pose is the show's own, not yet so for the first rows after a gap when only tokens are followed. `beat`
    is the one that falls on this frame, if one does. `missed` frames before this one never came.
    """

    index: int
    due: float
    t: float
    pose: np.ndarray
    tokens: np.ndarray | None
    beat: Beat | None = None
    exact: bool = True
    missed: int = 0
