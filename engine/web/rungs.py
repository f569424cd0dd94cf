"""Two sizes of the same picture, and which of them a viewer is sent."""

from dataclasses import dataclass

from engine.web.packing import Feedback

MUCH_LOST, LITTLE_LOST = 0.10, 0.02  # share of packets: too much for the rung, and little enough for the one above
ENOUGH = 0.9  # of what is sent must fit into a viewer's own estimate
PATIENCE = 2.0  # seconds of bad news, without any good, before a viewer goes down
CLIMB_FIRST, CLIMB_MOST = 10.0, 160.0  # seconds of good news before it goes up, doubled each time that went wrong
TRIAL = 15.0  # seconds within which going down again means that going up went wrong


@dataclass(frozen=True)
class Rung:
    """A quality: the picture's sides divided by `divisor`, the bitrate by `thrift`."""

    name: str
    divisor: int
    thrift: int


RUNGS = (Rung("full", 1, 1), Rung("half", 2, 4))


class RungChooser:
    """One viewer's rung, an index into RUNGS, from what its browser says. Times are seconds on any steady clock.

    A browser's estimate says when a rung is too much, but not whether a higher one would fit, for it grows only with
    what is sent. So going up is a trial, and the time to the next one doubles when it fails.
    """

    def __init__(self, now: float) -> None:
        self.rung = 0
        self._bad: dict[str, float] = {}  # of each kind of feedback: since when it has been bad
        self._good = now  # since when all has been good
        self._climbed = -TRIAL
        self._wait = CLIMB_FIRST
        self._estimate = 0.0

    def hear(self, feedback: Feedback, sent: float, now: float) -> int:
        """The rung after `feedback`, while `sent` bits per second were sent."""
        if feedback.lost is not None:
            kind, bad, good = "loss", feedback.lost > MUCH_LOST, feedback.lost <= LITTLE_LOST
        else:
            assert feedback.estimate is not None
            # Browsers begin with a low estimate and raise it by a few percent a second; only one that is low and no
            # longer rises is bad news.
            rises, self._estimate = feedback.estimate > self._estimate, feedback.estimate
            good = feedback.estimate >= ENOUGH * sent
            kind, bad = "estimate", not (good or rises)
        if not good:
            self._good = now
        if not bad:
            self._bad.pop(kind, None)
        elif now - self._bad.setdefault(kind, now) >= PATIENCE and self.rung + 1 < len(RUNGS):
            self._go(self.rung + 1, now)
        if self.rung > 0 and now - self._good >= self._wait:
            self._go(self.rung - 1, now)
        return self.rung

    def _go(self, rung: int, now: float) -> None:
        if rung < self.rung:
            self._climbed = now
        elif now - self._climbed < TRIAL:
            self._wait = min(2 * self._wait, CLIMB_MOST)
        else:
            self._wait = CLIMB_FIRST
        self.rung, self._good = rung, now
        self._bad.clear()
