"""What every exact clock is: something that knows, for a moment, where the beat is."""

from collections import deque
from typing import Protocol

import numpy as np

from xdancer.music.frame import BeatState

BEATS_PER_BAR = 4
SLOWEST, FASTEST = 20.0, 400.0  # beats a minute that are believed


class ClockSource(Protocol):
    """A clock other than the beat that is heard. Used on the event loop; times are the event loop's, in seconds.

    `status` is a word or a line for people.
    """

    @property
    def name(self) -> str: ...

    @property
    def status(self) -> str: ...

    def beat(self, index: int, at: float) -> BeatState | None:
        """The beat at the end of frame `index`, which is the time `at`; None while this clock is not there."""


def exact(position: float, tempo: float, source: str) -> BeatState:
    """The state at `position`, in beats since a downbeat, at `tempo` beats a minute."""
    beat = int(np.floor(position))
    phase = min(position - beat, 1.0 - 1e-9)  # a hair below a beat the difference can round to 1
    in_bar = beat % BEATS_PER_BAR
    return BeatState(
        tempo=tempo,
        beat_phase=phase,
        bar_phase=(in_bar + phase) / BEATS_PER_BAR,
        beat=beat,
        beat_in_bar=in_bar,
        beats_per_bar=BEATS_PER_BAR,
        confidence=1.0,
        source=source,
    )


class Pulses:
    """Beats against time: the straight line through the last pulses, so that what each of them is late evens out.

    `told`: the tempo in beats a minute where the peer says it; the line then has that slope.
    """

    def __init__(self, most: int) -> None:
        self._pulses: deque[tuple[float, float]] = deque(maxlen=most)
        self.told: float | None = None

    @property
    def last(self) -> tuple[float, float]:
        """Time and position of the last pulse, which there has to be."""
        return self._pulses[-1]

    def __len__(self) -> int:
        return len(self._pulses)

    def add(self, time: float, position: float) -> None:
        """A pulse at `time` that is beat `position`."""
        self._pulses.append((time, position))

    def clear(self, keep: int = 0) -> None:
        """Forget all but the last `keep` pulses."""
        while len(self._pulses) > keep:
            self._pulses.popleft()

    def shift(self, beats: float) -> None:
        """Move the line: the same tempo, but every position that much later."""
        moved = [(time, position + beats) for time, position in self._pulses]
        self._pulses.clear()
        self._pulses.extend(moved)

    def at(self, time: float) -> tuple[float, float] | None:
        """(position in beats, tempo) at `time`; None while the pulses do not tell."""
        if not self._pulses or (len(self._pulses) < 2 and self.told is None):
            return None
        times, positions = np.array(self._pulses).T
        centre, middle = times.mean(), positions.mean()
        away = times - centre
        slope = self.told / 60.0 if self.told is not None else away @ (positions - middle) / max(away @ away, 1e-9)
        if not SLOWEST <= 60.0 * slope <= FASTEST:
            return None
        return float(middle + slope * (time - centre)), float(60.0 * slope)
