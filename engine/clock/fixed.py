"""A tempo that somebody has set: counted in frames, so that a rendered dance has the same beats as a live one."""

from engine.clock.source import exact
from xdancer.music.frame import FPS, BeatState


class FixedClock:
    """A beat at the beginning of frame 0, and every 60 / `tempo` seconds after it."""

    name = "fixed"

    def __init__(self, tempo: float) -> None:
        self._tempo = tempo
        self._frame, self._position = 0, 0.0  # where the beat was at the beginning of that frame
        self._now = 0

    @property
    def status(self) -> str:
        return f"{self._tempo:g} BPM"

    def set(self, tempo: float) -> None:
        """Another tempo from the next frame on; the beats go on from where they are."""
        if tempo != self._tempo:
            self._position = self._at(self._now)
            self._frame, self._tempo = self._now, tempo

    def beat(self, index: int, at: float) -> BeatState:
        self._now = index + 1
        return exact(self._at(self._now), self._tempo, self.name)

    def _at(self, frame: int) -> float:
        """Beats at the beginning of `frame`."""
        return self._position + (frame - self._frame) / FPS * self._tempo / 60.0
