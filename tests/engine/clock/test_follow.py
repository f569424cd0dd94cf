"""Which beat is danced to: the heard one untouched, exact clocks in its place, and no jump between them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clock.follow import Follower
from engine.clock.source import exact
from engine.params import Params
from xdancer.music import MusicAnalyzer
from xdancer.music.clock import HOLD, BeatClock
from xdancer.music.demo import click_track
from xdancer.music.frame import BeatState

NONE = BeatState()
PLAIN = Params()


def line(frames: int, tempo: float, start: float = 0.0) -> list[BeatState]:
    """A steady exact clock, at position `start` at the beginning."""
    return [exact(start + (k + 1) / 30 * tempo / 60, tempo, "link") for k in range(frames)]


def audible(frames: int, tempo: float, first: int = 0) -> list[BeatState]:
    """What the analyzer's clock makes of a steady beat that begins at frame `first`."""
    clock, states = BeatClock(), []
    for n in range(first + 1, first + frames + 1):
        beats = (n - first) / 30 * tempo / 60
        states.append(clock.step(n / 30, tempo, beats % 1.0, int(beats) % 4, 0.9))
    return states


def follow(heard: list[BeatState], clocks: list[BeatState | None], params: Params = PLAIN) -> list[BeatState]:
    follower = Follower()
    both = enumerate(zip(heard, clocks, strict=True), start=1)
    return [follower.step(n / 30, ours, theirs, params) for n, (ours, theirs) in both]


def check(states: list[BeatState], first: int = 1) -> None:
    """What holds for any beat that is danced to: the count never goes back, each beat is struck in its own frame,
    beats are not bunched, and phase runs on without a jump, at half to one and a half times its speed."""
    last = None
    for n, (before, after) in enumerate(zip(states, states[1:], strict=False), start=first + 1):
        assert after.beat - before.beat == (after.struck is not None)
        if after.struck is not None:
            assert n / 30 - 1 / 30 - 1e-9 <= after.struck <= n / 30 + 1e-9
            assert last is None or after.struck - last > 0.5 * 60 / after.tempo
            last = after.struck
        if before.tempo > 0 and after.tempo > 0:
            advance = after.tempo / 60 / 30
            assert 0.4 * advance < (after.beat_phase - before.beat_phase) % 1.0 < 1.6 * advance + 0.01
            assert n / 30 - 1e-9 < after.ahead[0] <= n / 30 + 60 / after.tempo + 1e-9


def test_the_beat_that_is_heard_is_passed_on_untouched() -> None:
    heard = [frame.beat for frame in MusicAnalyzer().push(click_track(12.0, 104.0).samples[:, 0])]
    assert sum(beat.struck is not None for beat in heard) > 10
    assert follow(heard, [None] * len(heard)) == heard


def test_an_exact_clock_is_followed_to_the_number() -> None:
    clock = line(300, 127.0)
    states = follow([NONE] * 300, clock)
    check(states)
    for state, theirs in zip(states, clock, strict=True):
        assert (state.beat_phase, state.bar_phase) == pytest.approx((theirs.beat_phase, theirs.bar_phase), abs=1e-9)
        assert (state.source, state.confidence, state.tempo) == ("link", 1.0, 127.0)
    struck = [state.struck for state in states if state.struck is not None]
    np.testing.assert_allclose(struck, np.arange(1, len(struck) + 1) * 60 / 127, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(60, 180),
    st.floats(60, 180),
    st.floats(0, 4),
    st.lists(st.integers(1, 120), min_size=1, max_size=5),
)
def test_clocks_come_and_go_without_a_jump(heard: float, exactly: float, start: float, turns: list[int]) -> None:
    frames = sum(turns)
    there = np.repeat(np.arange(len(turns)) % 2 == 1, turns)
    clock = line(frames, exactly, start=start)
    states = follow(audible(frames, heard), [state if on else None for state, on in zip(clock, there, strict=True)])
    check(states)
    for state, on in zip(states, there, strict=True):
        assert state.source == ("link" if on else "audio")


def test_another_clock_is_met_within_a_beat() -> None:
    clock = line(120, 120.0, start=0.5)  # half a beat off what is heard
    states = follow(audible(120, 120.0), [None] * 60 + clock[60:])
    check(states)
    assert states[60].beat_phase != pytest.approx(clock[60].beat_phase, abs=0.2)
    for state, theirs in zip(states[77:], clock[77:], strict=True):
        assert state.beat_phase == pytest.approx(theirs.beat_phase, abs=1e-9)
        assert state.beat_in_bar == theirs.beat_in_bar


def test_a_clock_that_jumps_is_met_as_another_one_would_be() -> None:
    clock = line(60, 120.0) + line(60, 120.0, start=6.4)
    check(follow([NONE] * 120, clock))


def test_a_clock_that_goes_while_nothing_is_heard_is_held_for_a_while() -> None:
    gone = int(HOLD * 30)
    states = follow([NONE] * (60 + gone + 30), [*line(60, 120.0), *[None] * (gone + 30)])
    check(states)
    held = states[60 : 60 + gone]
    assert {(state.source, state.confidence, state.tempo) for state in held} == {("held", 0.0, 120.0)}
    assert states[-1].tempo == 0.0 and states[-1].beat == states[60 + gone - 1].beat


def test_what_is_heard_ends_the_holding_for_good() -> None:
    heard = [NONE] * 90 + audible(30, 120.0, first=90) + [NONE] * 60
    states = follow(heard, [*line(60, 120.0), *[None] * 120])
    assert [states[k].source for k in (59, 60, 89, 90, 119)] == ["link", "held", "held", "audio", "audio"]
    assert all(state.tempo == 0.0 for state in states[120:])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([None, 60.0, 100.0]),
    st.floats(-300, 300),
    st.floats(-2, 2),
    st.floats(71, 155),
)
def test_controls_are_met_without_a_jump(
    scale: float, low: float | None, ms: float, beats: float, tempo: float
) -> None:
    heard, follower = audible(300, tempo), Follower()
    turned = Params(tempo_scale=scale, tempo_from=low, nudge_ms=ms, nudge_beats=beats)
    states = [
        follower.step((n + 1) / 30, beat, None, turned if 100 <= n < 200 else PLAIN) for n, beat in enumerate(heard)
    ]
    check(states)
    for n in (99, 299):
        assert states[n].beat_phase == pytest.approx(heard[n].beat_phase, abs=1e-9)
    if low:
        assert low * 0.96 <= states[199].tempo / scale <= low * 2.08


def test_scale_and_range_leave_an_exact_clock_alone() -> None:
    clock = line(90, 172.0)
    assert follow([NONE] * 90, clock, Params(tempo_scale=0.5, tempo_from=70)) == follow([NONE] * 90, clock)


def test_a_nudge_is_for_every_clock() -> None:
    states = follow([NONE] * 90, line(90, 120.0), Params(nudge_ms=50))
    assert states[-1].beat_phase == pytest.approx((6.0 - 0.1) % 1.0)


def test_ten_per_cent_of_drift_are_followed() -> None:
    position, clock = 0.0, []
    for n in range(600):
        tempo = 120.0 * (1 + 0.1 * n / 600)
        position += tempo / 60 / 30
        clock.append(exact(position, tempo, "midi"))
    states = follow([NONE] * 600, clock)
    check(states)
    for state, theirs in zip(states, clock, strict=True):
        assert state.beat_phase == pytest.approx(theirs.beat_phase, abs=1e-9)


def test_nothing_known_says_so_and_keeps_the_count() -> None:
    follower = Follower()
    for n, state in enumerate(line(60, 120.0)):
        follower.step((n + 1) / 30, NONE, state, PLAIN)
    follower._exact = None
    state = follower.step(61 / 30, replace(NONE, beat=-1), None, PLAIN)
    assert (state.tempo, state.beat, state.struck) == (0.0, 3, None)
