"""Which rung a viewer is sent: down after lasting bad news, up on trial, ever more rarely where that fails."""

from hypothesis import given
from hypothesis import strategies as st

from engine.web.packing import Feedback
from engine.web.rungs import CLIMB_FIRST, PATIENCE, RungChooser

SENT = 4e6
LOSS, CLEAN, SOME = Feedback(lost=0.3), Feedback(lost=0.0), Feedback(lost=0.05)


def hear(chooser: RungChooser, feedback: Feedback, start: float, seconds: float) -> list[int]:
    """The rungs while `feedback` comes twice a second."""
    return [chooser.hear(feedback, SENT, start + k / 2) for k in range(int(2 * seconds) + 1)]


def test_one_bad_report_changes_nothing_and_lasting_ones_do() -> None:
    chooser = RungChooser(0.0)
    for second in range(20):
        assert chooser.hear(CLEAN if second % 2 else LOSS, SENT, float(second)) == 0
    rungs = hear(chooser, LOSS, 100.0, PATIENCE)
    assert rungs == [0] * (len(rungs) - 1) + [1]


def test_an_estimate_counts_against_what_is_sent_and_not_against_what_could_be() -> None:
    chooser = RungChooser(0.0)
    assert set(hear(chooser, Feedback(estimate=0.95 * SENT), 0.0, 30.0)) == {0}
    assert hear(chooser, Feedback(estimate=0.5 * SENT), 40.0, PATIENCE)[-1] == 1


def test_an_estimate_that_rises_is_given_time() -> None:
    chooser = RungChooser(0.0)
    for k in range(60):  # as Chromium does from the start, 8 % a second
        assert chooser.hear(Feedback(estimate=1e6 * 1.08 ** (k / 4)), SENT, k / 4) == 0


def test_loss_lasts_through_good_estimates_in_between() -> None:
    chooser = RungChooser(0.0)
    rungs = []
    for k in range(8):
        rungs += [chooser.hear(Feedback(estimate=2 * SENT), SENT, k / 2), chooser.hear(LOSS, SENT, k / 2 + 0.1)]
    assert rungs[-1] == 1


def test_each_climb_that_fails_doubles_the_wait_for_the_next() -> None:
    chooser, now, waits = RungChooser(0.0), 0.0, []
    for _ in range(3):
        while chooser.hear(LOSS, SENT, now) == 0:
            now += 0.5
        down = now
        while chooser.hear(CLEAN, SENT, now) == 1:
            now += 0.5
        waits.append(now - down)
    assert waits == [CLIMB_FIRST, 2 * CLIMB_FIRST, 4 * CLIMB_FIRST]


def test_a_little_loss_keeps_a_viewer_where_it_is() -> None:
    chooser = RungChooser(0.0)
    assert set(hear(chooser, SOME, 0.0, 60.0)) == {0}
    hear(chooser, LOSS, 100.0, PATIENCE)
    assert set(hear(chooser, SOME, 110.0, 300.0)) == {1}


@given(st.lists(st.floats(0, 1), max_size=200))
def test_whatever_is_reported_rungs_change_at_most_once_in_two_seconds(losses: list[float]) -> None:
    chooser, changes, rung = RungChooser(0.0), [], 0
    for k, lost in enumerate(losses):
        now = k / 3
        if chooser.hear(Feedback(lost=lost), SENT, now) != rung:
            rung = chooser.rung
            changes.append(now)
    assert all(b - a >= PATIENCE for a, b in zip(changes, changes[1:], strict=False))
