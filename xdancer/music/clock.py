"""The beat clock: turns what the tracker believes into beats that are struck once, in order, and never taken back."""

from xdancer.music.frame import FPS, BeatState

AHEAD = 8  # beats predicted
SURE = 0.25  # confidence from which a clock starts
FOLLOW = 0.25  # part of a small phase error taken off each frame, where the music is as clear as it has been
FAR = 0.2  # beats: a larger error is another hypothesis, followed only when it lasts
PATIENCE = 30  # frames it has to last, where it is as clear as the music has been
MEMORY = 0.999  # how much is left, a frame later, of how clear the music has been
CLEAR = 0.8  # part of that clarity from which another tempo altogether is believed
STEADY = 0.004  # part by which the tempo that is held follows the tracker's each frame
NEAR = 0.05  # part by which two tempi may differ and be the same
HOLD = 12.0  # seconds the clock runs on in silence


class BeatClock:
    """Beats at a smoothed tempo and phase, one step a frame.

    A beat that was struck stays struck: small errors of phase are taken off little by little and never backwards,
    and another phase altogether is followed only when it lasts. Where the tracker knows nothing the clock runs on.
    """

    def __init__(self, beats_per_bar: int = 4) -> None:
        self._beats_per_bar = beats_per_bar
        self._struck = -1  # beats struck so far, less one; carries on over restarts
        self.stop()

    def stop(self) -> None:
        """Nothing is known any more; the next `step` that is sure starts anew."""
        self._running = False
        self._phase = 0.0  # of the beat, 0..1
        self._tempo = 0.0
        self._held = 0.0  # the tempo of the last seconds, for where nothing is known
        self._in_bar = 0  # beat of the bar that is under way
        self._last = -1e9  # time of the last beat struck
        self._far = 0.0
        self._clearest = 0.0
        self._bar_votes = [0.0] * self._beats_per_bar

    def step(self, now: float, tempo: float, phase: float, in_bar: int, confidence: float) -> BeatState:
        """State at `now`, the end of the frame, in seconds. `phase` and `in_bar` are the tracker's at that time."""
        if not self._running:
            if confidence < SURE or tempo <= 0.0:
                return BeatState(beat=self._struck, confidence=confidence)
            self._running, self._tempo, self._phase, self._in_bar = True, tempo, phase, in_bar
            self._held = tempo
            return self._state(now, confidence, None)
        self._clearest = max(confidence, MEMORY * self._clearest)
        before = self._phase
        # As a break begins the tracker goes astray while it is still half sure: it is followed the less for that.
        clarity = confidence / self._clearest if confidence >= SURE else 0.0
        trust = clarity**4
        self._tempo = self._follow_tempo(tempo, clarity, trust)
        self._phase += self._tempo / 60.0 / FPS
        error = (phase - self._phase + 0.5) % 1.0 - 0.5
        if trust and abs(error) <= FAR:
            self._far = 0.0
            self._phase = max(before, self._phase + trust * FOLLOW * error)
        elif trust:  # the hats of a breakdown are less clear than the drums before it: do not follow them
            self._far += trust
            if self._far >= PATIENCE:
                self._phase += error
                self._far = 0.0
        struck = None
        interval = 60.0 / self._tempo
        if self._phase < 0.0:
            self._phase += 1.0
            self._in_bar = (self._in_bar - 1) % self._beats_per_bar
        elif self._phase >= 1.0:
            self._phase -= 1.0
            self._in_bar = (self._in_bar + 1) % self._beats_per_bar
            if now - self._phase * interval - self._last > 0.55 * interval:
                struck = self._last = max(now - self._phase * interval, now - 1.0 / FPS)
                self._struck += 1
        self._follow_bar(phase, in_bar, confidence)
        return self._state(now, confidence, struck)

    def _follow_tempo(self, tempo: float, clarity: float, trust: float) -> float:
        """The tempo of this frame, between the held one and the tracker's."""
        if abs(tempo / self._held - 1.0) < NEAR:
            self._held += trust * STEADY * (tempo - self._held)
            return self._held + trust * (tempo - self._held)
        if clarity >= CLEAR:
            self._held = tempo
        return self._held

    def _follow_bar(self, phase: float, in_bar: int, confidence: float) -> None:
        """Turn the bar where the tracker has long counted it otherwise."""
        if abs(phase - self._phase) > 0.25:
            return
        shift = (in_bar - self._in_bar) % self._beats_per_bar
        self._bar_votes = [0.997 * vote for vote in self._bar_votes]
        self._bar_votes[shift] += confidence
        best = max(range(self._beats_per_bar), key=self._bar_votes.__getitem__)
        if best and self._bar_votes[best] > 2.0 * self._bar_votes[0]:
            self._in_bar = (self._in_bar + best) % self._beats_per_bar
            self._bar_votes = self._bar_votes[best:] + self._bar_votes[:best]

    def _state(self, now: float, confidence: float, struck: float | None) -> BeatState:
        interval = 60.0 / self._tempo
        following = now + (1.0 - self._phase) * interval
        return BeatState(
            tempo=self._tempo,
            beat_phase=self._phase,
            bar_phase=(self._in_bar + self._phase) / self._beats_per_bar,
            beat=self._struck,
            beat_in_bar=self._in_bar,
            beats_per_bar=self._beats_per_bar,
            confidence=confidence,
            struck=struck,
            ahead=tuple(following + k * interval for k in range(AHEAD)),
        )
