"""Bar-pointer hidden Markov model, run forward only.

A state is (beat of the bar, tempo, position in the beat). Position moves on by one hop each hop; at the end of a beat
the tempo may change a little. N. Whiteley, A. T. Cemgil, S. Godsill: "Bayesian modelling of temporal structure in
musical audio", ISMIR 2006; state space and observation as in F. Krebs, S. Böck, G. Widmer: "An efficient state-space
model for joint tempo and meter tracking", ISMIR 2015.
"""

import numpy as np

from xdancer.music.features import HOP_RATE

SLOWEST, FASTEST = 70.0, 150.0  # beats a minute: little more than an octave, so that no song has two tempi in it
BEATS_PER_BAR = 4
TEMPO_CENTRE, TEMPO_SPREAD = 112.0, 0.45  # log-normal prior
STIFFNESS = 150.0  # how unlikely a change of tempo is at a beat
SPAN = 1.0 / 12.0  # part of a beat in which its activation is expected
FLOOR = 1e-2  # least likelihood of a hop
CLEAR = 0.4  # activation from which beats count as clear
CLEAR_S = 0.8  # seconds over which that is judged: short, for in a break belief goes astray within a beat or two
LEAK = 1e-9  # probability a weighing that everything starts anew
AFTER = np.arange(-1, BEATS_PER_BAR - 1)  # which beat of the bar each one comes after
KEEP = float(np.exp(-1.0 / (CLEAR_S * HOP_RATE)))


class BarPointer:
    """The forward filter: `advance` by hops, `weigh` with what was heard, then read the `state`."""

    def __init__(self) -> None:
        shortest, longest = round(60.0 * HOP_RATE / FASTEST), round(60.0 * HOP_RATE / SLOWEST)
        self.intervals = np.arange(shortest, longest + 1)  # hops a beat
        self._first = np.concatenate([[0], np.cumsum(self.intervals)[:-1]])
        self._last = self._first + self.intervals - 1
        position = np.concatenate([np.arange(n) / n for n in self.intervals])
        self._on_beat = np.flatnonzero(position < SPAN)
        turn = np.exp(2j * np.pi * position)
        self._turn = np.stack([turn.real, turn.imag], axis=1).astype(np.float32)
        log_tempo = np.log(60.0 * HOP_RATE / self.intervals / TEMPO_CENTRE)
        prior = np.exp(-0.5 * (log_tempo / TEMPO_SPREAD) ** 2) / self.intervals
        start = np.repeat(prior / self.intervals, self.intervals)
        self._start = np.tile(start / start.sum() / BEATS_PER_BAR, (BEATS_PER_BAR, 1)).astype(np.float32)
        self._leak = np.float32(LEAK) * self._start
        ratio = self.intervals[None, :] / self.intervals[:, None]
        change = np.exp(-STIFFNESS * np.abs(ratio - 1.0))
        self._change = (change / change.sum(axis=1, keepdims=True)).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything: all states as likely as the tempo prior has them."""
        self._belief = self._start.copy()
        self._spare = np.empty_like(self._belief)  # where the next state of belief is written
        self._sharp = self._mass = 0.0

    def advance(self, hops: int = 1) -> None:
        """Move on by `hops`, fewer than any beat has."""
        before, after = self._belief, self._spare
        self._mass *= KEEP**hops
        self._sharp *= KEEP**hops
        after[:, hops:] = before[:, :-hops]
        for hop in range(hops):
            ending = before[:, self._last - (hops - 1 - hop)]  # those that have gone `hop` hops into the next beat
            after[:, self._first + hop] = (ending @ self._change)[AFTER]
        self._belief, self._spare = after, before

    def weigh(self, beat: float, downbeat: float) -> None:
        """Weigh by the probability of a beat that is no downbeat, and of a downbeat, at this hop: 0..1, sum <= 1."""
        belief = self._belief
        self._mass += beat + downbeat
        self._sharp += (beat + downbeat) ** 2
        rest = (1.0 - beat - downbeat) * SPAN / (1.0 - SPAN) + FLOOR
        likelihood = np.full(BEATS_PER_BAR, beat + FLOOR, np.float32)
        likelihood[0] = downbeat + FLOOR
        belief[:, self._on_beat] *= likelihood[:, None] / np.float32(rest)
        belief *= (1.0 - LEAK) / float(belief.sum())
        belief += self._leak

    def state(self) -> tuple[float, float, int, float]:
        """(tempo in beats a minute, phase of the beat in 0..1, beat of the bar, confidence in 0..1).

        Confidence is how far belief agrees on the phase, times how clear the beats of the last seconds were: where
        nothing strikes, as in a breakdown, the belief only carries on what it knew.
        """
        by_position = self._belief.sum(axis=0)
        by_tempo = np.add.reduceat(by_position, self._first)
        best = int(np.argmax(by_tempo))
        low, high = max(best - 4, 0), min(best + 5, len(by_tempo))
        interval = float(by_tempo[low:high] @ self.intervals[low:high] / by_tempo[low:high].sum())
        states = slice(self._first[low], self._last[high - 1] + 1)
        x, y = by_position[states] @ self._turn[states]
        phase = float(np.arctan2(y, x) / (2.0 * np.pi)) % 1.0
        near = (self._turn[states] @ np.array([x, y], np.float32)) > 0.0
        beat = int(np.argmax((self._belief[:, states] * near).sum(axis=1)))
        return 60.0 * HOP_RATE / interval, phase, beat, float(np.hypot(x, y)) * self._clarity()

    def _clarity(self) -> float:
        """Mean activation, weighted by itself, against `CLEAR`: near 1 for peaks, near 0 for a murmur."""
        return min(1.0, self._sharp / (self._mass + 0.5) / CLEAR)
