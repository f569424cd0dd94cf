"""Changes that wait for their moment."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.params import MOMENTS, Change, Moment, Params, Wishes

NAMES = ("energy", "style", "hold", "blackout")
changes = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9), max_size=3)


@given(st.lists(st.tuples(changes, st.sampled_from(MOMENTS), st.sets(st.sampled_from(MOMENTS))), max_size=20))
def test_the_last_wish_counts_and_holds_at_its_own_moment(
    steps: list[tuple[dict[str, int], Moment, set[Moment]]],
) -> None:
    wishes = Wishes()
    waiting: dict[str, tuple[int, str]] = {}
    for change, moment, come in steps:
        wishes.put(change, moment)
        waiting |= {name: (value, moment) for name, value in change.items()}
        due = {name: value for name, (value, moment) in waiting.items() if moment in come}
        assert wishes.take(come) == due
        waiting = {name: wish for name, wish in waiting.items() if name not in due}
        assert bool(wishes) == bool(waiting)


def test_a_blackout_does_not_wait_behind_a_style() -> None:
    wishes = Wishes()
    wishes.put({"style": "street", "hold": True}, "bar")
    wishes.put({"blackout": True}, "frame")
    assert wishes.take(["frame"]) == {"blackout": True}
    wishes.put({"style": None}, "frame")  # thought better of
    assert wishes.take(["frame"]) == {"style": None}
    assert wishes.take(["frame", "beat", "bar"]) == {"hold": True}


def test_only_what_was_sent_is_a_change() -> None:
    assert Change.model_validate({"energy": None, "apply": "bar"}).given() == {"energy": None}


@pytest.mark.parametrize(
    "value", ["/etc/passwd", "../me.png", "http://10.0.0.1/me.png", "C:\\me.png", "ABCDEF0123456789", "0" * 17]
)
def test_a_reference_is_never_a_path_or_an_address(value: Any) -> None:
    with pytest.raises(ValueError, match="reference"):
        Params(reference=value)
