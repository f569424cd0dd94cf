"""The bar pointer on activations that are known, and the clock on a tracker that is known."""

import numpy as np
import pytest

from xdancer.music.clock import PATIENCE, BeatClock
from xdancer.music.tracker import BarPointer


def follow(tempo: float, seconds: float, start: float = 0.0) -> BarPointer:
    """A pointer that was shown beats at `tempo`, every fourth a downbeat."""
    pointer, interval = BarPointer(), 60.0 * 120.0 / tempo
    for hop in range(0, int(seconds * 120), 2):
        pointer.advance()
        pointer.advance()
        count, within = divmod(hop - start * 120, interval)
        beat = within < 2
        pointer.weigh(0.7 if beat and count % 4 else 0.02, 0.7 if beat and not count % 4 else 0.01)
    return pointer


@pytest.mark.parametrize("tempo", [76.0, 97.0, 120.0, 149.0])
def test_tempo_phase_and_bar_are_found(tempo: float) -> None:
    seconds = 12.0
    found, phase, in_bar, confidence = follow(tempo, seconds).state()
    beats = seconds * tempo / 60.0
    assert found == pytest.approx(tempo, rel=0.02)
    assert abs((phase - beats + 0.5) % 1.0 - 0.5) < 0.1
    assert in_bar == int(beats - 0.1) % 4 or in_bar == int(beats + 0.1) % 4
    assert confidence > 0.5


def test_belief_stays_a_distribution_and_fades_where_nothing_is_heard() -> None:
    pointer = follow(110.0, 10.0)
    before = pointer.state()
    for _ in range(4 * 120):
        pointer.advance()
    after = pointer.state()
    assert pointer._belief.sum() == pytest.approx(1.0, abs=1e-3)
    assert after[3] < before[3]
    assert after[0] == pytest.approx(before[0], rel=0.03)


def test_nothing_is_believed_at_first() -> None:
    assert BarPointer().state()[3] < 0.05


class Show:
    """A clock and the tracker it listens to."""

    def __init__(self) -> None:
        self.clock, self.frame, self.struck = BeatClock(), 0, []

    def run(self, frames: int, tempo: float, confidence: float, offset: float = 0.0) -> None:
        for _ in range(frames):
            self.frame += 1
            now = self.frame / 30
            beats = now * tempo / 60 + offset
            self.state = self.clock.step(now, tempo, beats % 1.0, int(beats) % 4, confidence)
            if self.state.struck is not None:
                self.struck.append(self.state.struck)


def test_the_clock_strikes_the_beats_it_is_told() -> None:
    show = Show()
    show.run(300, 120.0, 0.9)
    np.testing.assert_allclose(show.struck, np.arange(1, len(show.struck) + 1) * 0.5, atol=1e-6)
    assert show.state.beat == len(show.struck) - 1


def test_it_runs_on_where_the_tracker_knows_nothing() -> None:
    show = Show()
    show.run(150, 120.0, 0.9)
    show.run(150, 97.0, 0.05)
    np.testing.assert_allclose(np.diff(show.struck), 0.5, atol=1e-6)


def test_another_phase_is_followed_only_when_it_lasts() -> None:
    show = Show()
    show.run(150, 120.0, 0.9)
    show.run(PATIENCE // 2, 120.0, 0.9, offset=0.5)
    show.run(150, 120.0, 0.9)
    np.testing.assert_allclose(np.diff(show.struck), 0.5, atol=1e-6)
    show.run(200, 120.0, 0.9, offset=0.5)
    assert show.struck[-1] % 0.5 == pytest.approx(0.25, abs=0.02)
    assert min(np.diff(show.struck)) > 0.27


def test_a_bar_counted_wrong_is_turned() -> None:
    show = Show()
    show.run(150, 120.0, 0.9)
    before = show.state.beat_in_bar
    show.run(240, 120.0, 0.9, offset=2.0)
    beats = show.frame / 30 * 2
    assert show.state.beat_in_bar == int(beats + 2) % 4 != before


def test_a_stopped_clock_knows_nothing() -> None:
    show = Show()
    show.run(100, 120.0, 0.9)
    show.clock.stop()
    show.run(1, 0.0, 0.0)
    assert show.state.tempo == 0.0 and show.state.beat == len(show.struck) - 1
