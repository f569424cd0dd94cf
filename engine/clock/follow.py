"""The beat that the dance follows: one count, whichever clock it comes from."""

import math
from dataclasses import replace

from engine.clock.controls import at, fold, nudged, position, scaled
from engine.params import TempoParams
from engine.studio.frame import beat_at
from xdancer.music.clock import AHEAD, HOLD
from xdancer.music.frame import FPS, BeatState

PULL = 0.5  # part of its speed by which the beat hurries or waits to meet another clock
JITTER = 0.02  # beats by which an exact clock may be off from frame to frame without being another
APART = 0.55  # part of a beat that lies between two at least


Clock = tuple[str, float, float, float]  # source, factor, nudge in ms and in beats
UNTOUCHED: Clock = ("audio", 1.0, 0.0, 0.0)


class Follower:
    """Takes, frame by frame, the beat that is heard and the exact clock's where there is one, and gives the beat that
    is danced to: never back, each beat struck once, and no jump where one clock takes over from another.

    While nobody touches anything the beat that is heard is passed on as it is. Where the exact clock has gone and
    nothing is heard either, its tempo is held for HOLD seconds (source `held`, confidence 0).
    """

    def __init__(self) -> None:
        self.count = -1  # beats struck so far, less one
        self._octave = 1.0
        self._clock = UNTOUCHED  # which one, and how it was turned
        self._theirs = 0.0  # phase of that clock a frame ago
        self._ours: float | None = None  # phase that was danced to; None: no beat
        self._ahead = 0.0  # beats by which ours is ahead of theirs, on its way to none
        self._straight = True  # whether the last frame was passed on as it is
        self._last = -1e9  # time of the last beat struck
        self._exact: BeatState | None = None  # the last of the exact clock, where nothing else has been heard since
        self._gone = 0  # frames since

    def step(self, now: float, heard: BeatState, exact: BeatState | None, params: TempoParams) -> BeatState:
        """The beat at `now`, the end of the frame, in seconds on the show clock."""
        state, clock = self._turned(self._choose(heard, exact), params)
        if state.tempo <= 0.0:
            self._ours = None
            return replace(state, beat=self.count)
        before = self._ours
        self._meet(state, clock)
        straight = clock == UNTOUCHED and not self._ahead
        if straight and (self._straight or before is None):
            struck = self._once(state.struck, state)
        else:
            state = at(state, position(state) + self._ahead)
            struck = self._crossed(now, before, state)
            following = now + (1.0 - state.beat_phase) * 60.0 / state.tempo
            state = replace(state, ahead=tuple(following + k * 60.0 / state.tempo for k in range(AHEAD)))
        self._straight, self._ours = straight, state.beat_phase
        return replace(state, beat=self.count, struck=struck)

    def _choose(self, heard: BeatState, exact: BeatState | None) -> BeatState:
        if exact is not None:
            self._exact, self._gone = exact, 0
            return exact
        self._gone += 1
        if heard.tempo > 0.0 or self._gone > HOLD * FPS:
            self._exact = None
        if self._exact is None:
            return heard
        return replace(beat_at(self._exact, self._gone), source="held", confidence=0.0)

    def _turned(self, state: BeatState, params: TempoParams) -> tuple[BeatState, Clock]:
        factor = 1.0
        if state.source == "audio":
            self._octave = fold(state.tempo, params.tempo_from, self._octave)
            factor = params.tempo_scale * self._octave
        turned = nudged(scaled(state, factor), params.nudge_ms, params.nudge_beats)
        return turned, (state.source, factor, params.nudge_ms, params.nudge_beats)

    def _meet(self, state: BeatState, clock: Clock) -> None:
        """Another clock, or a jump of the same, is met little by little, at no less than half the speed."""
        advance = state.tempo / 60.0 / FPS
        jump = _nearest(state.beat_phase - self._theirs - advance)
        if self._ours is None:
            self._ahead = 0.0
        elif clock != self._clock:
            self._ahead = _nearest(self._ours + advance - state.beat_phase)
        elif clock != UNTOUCHED and abs(jump) > min(JITTER, advance / 2.0):
            self._ahead = _nearest(self._ahead - jump)
        else:
            self._ahead -= math.copysign(min(abs(self._ahead), PULL * advance), self._ahead)
        self._theirs, self._clock = state.beat_phase, clock

    def _crossed(self, now: float, before: float | None, state: BeatState) -> float | None:
        """The time of the beat that lies in this frame."""
        if before is None or state.beat_phase > before - 0.5:
            return None
        return self._once(max(now - state.beat_phase * 60.0 / state.tempo, now - 1.0 / FPS), state)

    def _once(self, struck: float | None, state: BeatState) -> float | None:
        if struck is None or struck - self._last <= APART * 60.0 / state.tempo:
            return None
        self.count += 1
        self._last = struck
        return struck


def _nearest(beats: float) -> float:
    """The same up to whole beats, in -0.5 .. 0.5."""
    return (beats + 0.5) % 1.0 - 0.5
