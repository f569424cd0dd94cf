"""What a performer does to a beat, in numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import controls
from engine.clock.source import exact
from xdancer.music.frame import BeatState

positions = st.floats(0.0, 5000.0)
factors = st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0])


def heard(position: float, tempo: float = 120.0) -> BeatState:
    return exact(position, tempo, "audio")


@pytest.mark.parametrize(
    ("factor", "position", "beat", "in_bar", "phase", "tempo"),
    [
        (2.0, 5.75, 11, 3, 0.5, 240.0),  # beat 5 is the second of its bar: twice as fast, the bar has 2 of these
        (0.5, 5.75, 2, 2, 0.875, 60.0),
        (0.5, 3.0, 1, 1, 0.5, 60.0),
        (0.25, 6.0, 1, 1, 0.5, 30.0),
        (1.0, 5.75, 5, 1, 0.75, 120.0),
    ],
)
def test_scaling_by_hand(factor: float, position: float, beat: int, in_bar: int, phase: float, tempo: float) -> None:
    got = controls.scaled(heard(position), factor)
    assert (got.beat, got.beat_in_bar, got.tempo) == (beat, in_bar, tempo)
    assert got.beat_phase == pytest.approx(phase) and got.bar_phase == pytest.approx((in_bar + phase) / 4)


@given(positions, factors)
def test_scaling_there_and_back_changes_nothing(position: float, factor: float) -> None:
    back = controls.scaled(controls.scaled(heard(position), factor), 1.0 / factor)
    assert controls.position(back) == pytest.approx(position, abs=1e-6)
    assert back.tempo == 120.0


@given(positions, st.floats(-1000.0, 1000.0), st.floats(-4.0, 4.0))
def test_a_nudge_sets_the_beats_later_by_that_much(position: float, ms: float, beats: float) -> None:
    got = controls.nudged(heard(position), ms, beats)
    assert controls.position(got) == pytest.approx(position - ms / 500.0 - beats, abs=1e-6)
    assert 0.0 <= got.beat_phase < 1.0 and int(got.bar_phase * 4) == got.beat_in_bar


def test_what_is_not_turned_is_passed_on_as_it_is() -> None:
    beat = heard(7.3)
    assert controls.scaled(beat, 1.0) is beat and controls.nudged(beat, 0.0, 0.0) is beat
    nothing = BeatState()
    assert controls.scaled(nothing, 2.0) is nothing and controls.nudged(nothing, 20.0, 1.0) is nothing


@given(st.floats(20.0, 400.0), st.floats(35.0, 150.0))
def test_a_tempo_is_brought_into_its_octave(tempo: float, lowest: float) -> None:
    factor = controls.fold(tempo, lowest)
    assert lowest * 0.96 - 1e-9 <= tempo * factor <= 2.08 * lowest + 1e-9
    assert factor in {2.0**k for k in range(-4, 5)}


def test_a_tempo_at_the_edge_of_the_range_does_not_flutter() -> None:
    factor, factors = 1.0, []
    for tempo in (90.0, 87.5, 86.9, 87.2, 86.0, 88.0, 80.0, 86.0, 88.0):
        factors.append(factor := controls.fold(tempo, 87.0, factor))
    assert factors == [1, 1, 1, 1, 1, 1, 2, 2, 2]
    assert controls.fold(174.0, None, 2.0) == 1.0
