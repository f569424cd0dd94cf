"""The tempo of a hand that taps along."""

from engine.clock.source import FASTEST, SLOWEST, Pulses, exact
from xdancer.music.frame import BeatState

PAUSE = 2.0  # seconds after which a tap begins anew
KEPT = 8  # taps


class TapClock:
    """Two taps or more, at most PAUSE apart, give tempo and beat, the first of them the downbeat.

    One tap alone, later, sets the downbeat and leaves the tempo.
    """

    name = "tap"

    def __init__(self) -> None:
        self.forget()

    @property
    def status(self) -> str:
        if self._tempo is None:
            return "tap the beat"
        return f"{self._tempo:.1f} BPM"

    def forget(self) -> None:
        """As before the first tap."""
        self._pulses = Pulses(KEPT)
        self._tempo: float | None = None

    def tap(self, at: float) -> bool:
        """A tap, at that time. Returns whether the tempo is known."""
        self._take(at)
        return self._tempo is not None

    def _take(self, at: float) -> None:
        if not len(self._pulses) or at - self._pulses.last[0] > PAUSE:
            self._pulses.clear()
            self._pulses.told = self._tempo
            self._pulses.add(at, 0.0)
            return
        last, count = self._pulses.last
        if at - last < 60.0 / FASTEST:
            return  # a finger that bounced
        self._pulses.told = None
        missed = self._pulses.at(at) if len(self._pulses) > 2 else None
        self._pulses.add(at, max(count + 1, round(missed[0])) if missed else count + 1)
        found = self._pulses.at(at)
        self._tempo = min(max(found[1], SLOWEST), FASTEST) if found else self._tempo

    def beat(self, index: int, at: float) -> BeatState | None:
        now = self._pulses.at(at)
        return exact(*now, self.name) if now else None
