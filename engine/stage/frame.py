"""What the presenter hands to every outlet: WebRTC, MQTT, recorder."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xdancer.music.frame import BeatState


@dataclass(frozen=True, slots=True)
class ShowFrame:
    """Frame `index` of the show, complete.

    `due` is the Unix time at which it is on show (picture and sound alike), `leaves` the one at which it is sent to
    viewers: `early` seconds before, where the show anticipates and allows for delivery; `heard` the one at which the
    music that it was made from was complete. `picture` is uint8 (H, W, 3) RGB, `sound` float32 (1600, 2) at 48 kHz
    (zeros where it has not been heard yet), `pose` float32 (60, 3) in canvas pixels, `tokens` int16 (5, 6), or None
    where the dance is not the choreographer's (free-running). `level` is the input's level in dBFS.
    """

    index: int
    due: float
    picture: np.ndarray
    sound: np.ndarray
    pose: np.ndarray
    tokens: np.ndarray | None
    beat: BeatState
    level: float = -120.0
    early: float = 0.0
    heard: float = 0.0

    @property
    def leaves(self) -> float:
        return self.due - self.early


class Outlet(Protocol):
    """A way out of the show. Both hooks run on the event loop and must return at once; an outlet that cannot keep up
    drops and counts. Each hook has every index at most once, in order."""

    def made(self, frame: ShowFrame) -> None:
        """`frame` has come from the studio; it leaves at `frame.leaves`, or should have left: it may be late."""

    def shown(self, frame: ShowFrame) -> None:
        """`frame` leaves for the viewers now. Every index of the show comes, from 0, without a gap; where the picture
        is a repeat, `frame` was not `made`, but its sound is right."""
