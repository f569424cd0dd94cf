"""The person in the show, in virtual time, with a painter that takes as long as the test says."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import fakes
import numpy as np
import pytest
from fakes import CountingSource, FakePainter, FakeStudio, Memory

from engine.config import Config
from engine.stage.person import Person
from engine.stage.show import Show
from engine.stage.studios import Studios


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(FakeStudio, "all", [])
    monkeypatch.setattr(FakeStudio, "slowness", 0.01)
    monkeypatch.setattr(FakeStudio, "fails", None)
    monkeypatch.setattr(FakePainter, "slowness", 0.05)
    yield


def play(
    seconds: float, events: dict[float, Callable[[Show], None]] | None = None, **settings: Any
) -> tuple[Show, Memory]:
    """As `fakes.play`, with the person and the settings."""
    config = Config(width=64, height=64, renderer="diffusion", **settings)
    studios, person = partial(Studios, handle=FakeStudio), partial(Person, painter=FakePainter)
    return fakes.play(lambda: Show(config, CountingSource(), studios, None, person), seconds, events)


def there(memory: Memory) -> np.ndarray:
    """Whether the person is on show, by frame."""
    return np.array([tuple(frame.picture[0, 0]) == FakePainter.PINK for _, frame in memory.shown_at])


def test_the_person_is_on_show_and_nothing_is_late() -> None:
    show, memory = play(10.0)
    assert there(memory)[30:].all()
    assert show.presenter.repeated == 0 and show.presenter.delay == 0.25
    assert memory.state["person"]["stood_in"] == 0 and memory.state["person"]["status"] == "painting"


def test_while_the_painter_loads_the_skeleton_dances() -> None:
    show, memory = play(
        8.0, {0.0: lambda show: show.person.painter.lose(), 4.0: lambda show: show.person.painter.back()}
    )
    assert not there(memory)[10:110].any() and there(memory)[140:].all()
    assert show.presenter.repeated == 0


def test_who_is_drawn_slowly_is_waited_for_as_far_as_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePainter, "slowness", 0.5)
    show, memory = play(12.0)
    assert 0.5 < show.presenter.delay < 0.7
    assert there(memory)[-120:].all()
    monkeypatch.setattr(FakePainter, "slowness", 3.0)
    show, memory = play(12.0)
    assert show.presenter.delay == 1.0  # delay_most_ms
    assert not there(memory)[-120:].any() and memory.state["person"]["stood_in"] > 200


def test_a_painter_that_stops_is_stood_in_for_within_half_a_second_and_returns() -> None:
    events = {4.0: lambda show: show.person.painter.hang(), 7.0: lambda show: show.person.painter.back()}
    show, memory = play(10.0, events)
    person = there(memory)
    still = int(np.flatnonzero(~person[100:])[0]) + 100
    assert still - 4 * 30 <= 15 + 8  # the delay and half a second
    assert not person[still : 7 * 30].any() and person[-60:].all()
    assert show.presenter.repeated == 0


def test_a_show_that_anticipates_dances_further_ahead_for_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePainter, "slowness", 0.6)
    show, memory = play(20.0, presentation="anticipate", delay_ms=0)
    assert show.presenter.lead.frames > 0.6 * 30 and there(memory)[-120:].all()


def test_switched_to_the_skeleton_nobody_waits_any_more() -> None:
    show, memory = play(8.0, {4.0: lambda show: show.set_params({"renderer": "skeleton"})})
    assert there(memory)[60:110].all() and not there(memory)[-60:].any()
    assert [frame.index for _, frame in memory.shown_at] == [*range(len(memory.shown_at))]
