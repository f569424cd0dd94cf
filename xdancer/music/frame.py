"""What the music analyzer says once a frame."""

from dataclasses import dataclass, field

import numpy as np

SAMPLE_RATE = 48_000
HOP = 1_600  # samples a frame: frame n covers samples [HOP n, HOP (n + 1))
FPS = 30


@dataclass(frozen=True, slots=True)
class BeatState:
    """The beat clock at the end of a frame. Phases are in [0, 1); times are seconds on the show clock.

    `beat` counts beats since the start (-1 before the first); `beat_in_bar` is 0 on the downbeat.
    `tempo` is 0 and `confidence` 0 while nothing is known. `struck` is the time of a beat that became final in
    this very frame, else None: at most one a frame. `ahead` holds the next predicted beats.
    """

    tempo: float = 0.0
    beat_phase: float = 0.0
    bar_phase: float = 0.0
    beat: int = -1
    beat_in_bar: int = 0
    beats_per_bar: int = 4
    confidence: float = 0.0
    struck: float | None = None
    ahead: tuple[float, ...] = ()
    source: str = "audio"

    def phases_after(self, frames: float) -> tuple[float, float]:
        """Beat and bar phase extrapolated by `frames` at the present tempo: ((0..1), (0..1))."""
        beats = frames / FPS * self.tempo / 60.0
        return (self.beat_phase + beats) % 1.0, (self.bar_phase + beats / self.beats_per_bar) % 1.0


@dataclass(frozen=True, slots=True)
class MusicFrame:
    """Features and beat clock of frame `index`; depends on no sample at or past HOP (index + 1).

    `features` is float32 (N_FEATURES,), level-independent after automatic gain; `level` is the input's RMS over
    the frame in dBFS (-120 for silence), before the gain.
    """

    index: int
    features: np.ndarray
    beat: BeatState = field(default_factory=BeatState)
    level: float = -120.0
