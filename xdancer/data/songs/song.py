"""`Song`: what is known of a piece of music before it is heard."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SLOWEST, FASTEST = 75.0, 150.0  # BPM into which reference beats are folded by powers of two


@dataclass(frozen=True)
class Song:
    """A song and its grid; times are seconds from the first sample of its sound.

    quarters_s: (Q,) the quarter notes as written. downbeats_s: (D,) the bars' first beats.
    on_grid: share of onsets within 20 ms of a sixteenth or triplet. four_four: a single 4/4 signature, stated or
    implied. steady: one tempo throughout. drums: it has a drum track.
    """

    name: str
    source: str
    split: str
    path: Path
    quarters_s: np.ndarray
    downbeats_s: np.ndarray
    on_grid: float
    four_four: bool
    steady: bool
    drums: bool

    @property
    def tempo(self) -> float:
        """Median tempo of the quarter notes, BPM."""
        return 60.0 / float(np.median(np.diff(self.quarters_s)))

    def references(self) -> list[np.ndarray]:
        """The beats folded by powers of two into 75 to 150 BPM: one array for each phase that may count."""
        return fold(self.quarters_s)

    @property
    def beats_s(self) -> np.ndarray:
        """The folded beats that hold the downbeats: (B,) seconds."""
        options = self.references()
        return max(options, key=lambda beats: np.isin(np.round(self.downbeats_s, 4), np.round(beats, 4)).mean())


def fold(quarters_s: np.ndarray) -> list[np.ndarray]:
    """Quarter notes (Q,) folded by powers of two into 75 to 150 BPM, in every phase: [(B,), ...].

    >>> [len(beats) for beats in fold(np.arange(8) * 0.3)]  # 200 BPM: every second one, in two phases
    [4, 4]
    """
    tempo = 60.0 / float(np.median(np.diff(quarters_s)))
    step = 1
    while tempo / step > FASTEST:
        step *= 2
    beats = quarters_s
    while tempo < SLOWEST:
        tempo *= 2
        middles = (beats[:-1] + beats[1:]) / 2
        beats = np.sort(np.concatenate([beats, middles]))
    return [beats[phase::step] for phase in range(step)]
