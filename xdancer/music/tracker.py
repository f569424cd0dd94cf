"""Bar-pointer hidden Markov model, run forward only.

A state is (beat of the bar, tempo, position in the beat). Position moves on by one hop each hop; at the end of a beat the tempo
may change a little. N. Whiteley, A. T. Cemgil, S. Godsill: "Bayesian modelling of temporal structure in musical audio", ISMIR 2006;
state space and observation as in F. Krebs, S. Böck, G. Widmer: "An efficient state-space model for joint tempo and meter tracking", ISMIR 2015.
"""

import numpy as np

from xdancer.music.features import HOP_RATE

SLOWEST, FASTEST = 70.0, 156.0  # beats a minute: an octave and a little, so that no song has two tempi in it
BEATS_PER_BAR = 4
TEMPO_CENTRE, TEMPO_SPREAD = 112.0, 0.45  # log-normal prior
TEMPO_STIFFNESS = 60.0  # how unlikely a change of tempo is at a beat
BEAT_SPAN = 1.0 / 12.0  # part of a beat in which its onset is expected
LEAK = 2e-5  # probability a hop that everything starts anew


class BarPointer:
    """The forward filter. `step` takes the activations of one hop; the rest tells the state after it."""

    def __init__(self) -> None:
        shortest, longest = round(60.0 * HOP_RATE / FASTEST), round(60.0 * HOP_RATE / SLOWEST)
        self.intervals = np.arange(shortest, longest + 1)  # hops a beat
        self._first = np.concatenate([[0], np.cumsum(self.intervals)[:-1]])
        self._last = self._first + self.intervals - 1
        position = np.concatenate([np.arange(n) / n for n in self.intervals])
        self._in_beat = position < BEAT_SPAN
        turn = np.exp(2j * np.pi * position)
        self._turn = np.stack([turn.real, turn.imag], axis=1).astype(np.float32)
        log_tempo = np.log(60.0 * HOP_RATE / self.intervals / TEMPO_CENTRE)
        prior = np.exp(-0.5 * (log_tempo / TEMPO_SPREAD) ** 2) / self.intervals
        start = np.repeat(prior / self.intervals, self.intervals)
        self._start = np.tile(start / start.sum() / BEATS_PER_BAR, (BEATS_PER_BAR, 1)).astype(np.float32)
        ratio = self.intervals[None, :] / self.intervals[:, None]
        change = np.exp(-TEMPO_STIFFNESS * np.abs(ratio - 1.0))
        self._change = (change / change.sum(axis=1, keepdims=True)).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything: all states as likely as the tempo prior has them."""
        self._belief = self._start.copy()

    def step(self, beat: float, downbeat: float, heard: bool = True) -> None:
        """Move one hop on and weigh by how likely a beat (of any kind), and a downbeat, lies at this hop: 0..1.

        Where nothing is `heard` the state only moves on."""
        belief = self._belief
        entering = np.roll(belief[:, self._last] @ self._change, 1, axis=0)
        belief[:, 1:] = belief[:, :-1]
        belief[:, self._first] = entering
        if heard:
            self._weigh(beat, downbeat)
        belief *= (1.0 - LEAK) / float(belief.sum())
        belief += LEAK * self._start

    def _weigh(self, beat: float, downbeat: float) -> None:
        belief = self._belief
        likelihood = np.empty((2, len(self._in_beat)), np.float32)
        rest = (1.0 - beat) * BEAT_SPAN / (1.0 - BEAT_SPAN) + 1e-3
        likelihood[0] = np.where(self._in_beat, downbeat + 1e-3, rest)
        likelihood[1] = np.where(self._in_beat, beat - downbeat + 1e-3, rest)
        belief[0] *= likelihood[0]
        belief[1:] *= likelihood[1]

    def state(self) -> tuple[float, float, int, float]:
        """(tempo in beats a minute, phase of the beat in 0..1, beat of the bar, confidence in 0..1)."""
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
        return 60.0 * HOP_RATE / interval, phase, beat, float(np.hypot(x, y))
