"""Which clock leads, and that what the stage knows reaches the studio with the frame of sound it belongs to."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fakes import CountingSource, FakeStudio, run_virtually

from engine.clock.show import OTHERS, ShowClock
from engine.clock.source import exact
from engine.config import Config, load
from engine.stage.show import Show
from engine.stage.studios import Studios
from xdancer.errors import UserError
from xdancer.music.frame import BeatState

Event = Callable[[Show], object]


class Known:
    """A clock that is there or not, as the test says."""

    def __init__(self, name: str) -> None:
        self.name, self.status, self.there = name, "known", True

    def beat(self, index: int, at: float) -> BeatState | None:
        return exact(at * 2, 120.0, self.name) if self.there else None


def clock_of(**settings: Any) -> tuple[ShowClock, dict[str, Known]]:
    """A show's clock with three from outside."""
    clock = ShowClock(Config(osc={"port": 0}, midi={"port": "any"}, clock=settings))
    known = {name: Known(name) for name in OTHERS}
    for source in known.values():
        clock.add(source)
    return clock, known


def leader(clock: ShowClock) -> str | None:
    state = clock.beat(0, 10.0)
    return state.source if state else None


def test_auto_follows_whichever_exact_clock_is_there() -> None:
    clock, known = clock_of()
    for name in OTHERS:
        assert leader(clock) == name
        known[name].there = False
    assert leader(clock) is None  # the beat that is heard
    known["midi"].there = True
    assert leader(clock) == "midi"


def test_the_one_that_is_asked_for_leads_alone() -> None:
    clock, known = clock_of(source="midi")
    assert leader(clock) == "midi"
    known["midi"].there = False
    assert leader(clock) is None
    clock.follow("audio", 120.0)
    assert leader(clock) is None
    clock.follow("fixed", 120.0)
    assert leader(clock) == "fixed"
    clock.follow("osc", 120.0)
    assert leader(clock) == "osc"
    assert set(clock.state()) == {"tap", "fixed", "link", "midi", "osc"}


def test_taps_lead_once_the_hand_is_followed_and_are_forgotten_with_it() -> None:
    clock, _ = clock_of()
    assert not clock.tap.tap(9.0)
    assert clock.tap.tap(9.5)
    assert leader(clock) == "link"
    clock.follow("tap", 120.0)
    assert leader(clock) == "tap"
    clock.follow("auto", 120.0)
    clock.follow("tap", 120.0)
    assert leader(clock) is None


@pytest.mark.parametrize(
    ("clock", "why"),
    [
        ({"source": "link"}, r"clock.source: .*pip install 'xdancer\[link\]'"),
        ({"link": True}, r"clock.link: .*pip install 'xdancer\[link\]'"),
        ({"source": "midi"}, "clock.source: midi.port is off"),
        ({"source": "osc"}, "clock.source: osc.port is not set"),
    ],
)
def test_a_clock_that_cannot_be_had_says_why(clock: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aalink", None)
    with pytest.raises(UserError, match=why):
        ShowClock(Config(clock=clock))


def play(seconds: float, events: dict[float, Event], **settings: Any) -> Show:
    """A show without models, in virtual time."""
    FakeStudio.all, FakeStudio.slowness, FakeStudio.fails = [], 0.01, None

    async def main() -> Show:
        config = Config(width=64, height=64, mqtt={"url": "off"}, **settings)
        show = Show(config, CountingSource(), partial(Studios, handle=FakeStudio), lambda *_: None)
        running = asyncio.create_task(show.run())
        await show.started.wait()
        began = asyncio.get_running_loop().time()
        for at, event in [*sorted(events.items()), (seconds, lambda show: None)]:
            await asyncio.sleep(began + at - asyncio.get_running_loop().time())
            event(show)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return show

    return run_virtually(main())


def beats(show: Show) -> list[BeatState | None]:
    return show.sound.clock(0, show.sound.written)


def test_without_an_exact_clock_the_studio_is_told_nothing() -> None:
    assert set(beats(play(2.0, {}))) == {None}


def test_a_fixed_tempo_reaches_every_frame_and_can_be_changed() -> None:
    show = play(4.0, {2.0: lambda show: show.set_params({"tempo": 60})}, clock={"source": "fixed", "tempo": 120})
    told = beats(show)
    for n in range(58):
        assert told[n] == exact((n + 1) / 15, 120.0, "fixed")
    last = told[-1]
    assert last is not None and last.tempo == 60.0 and last.beat + last.beat_phase == pytest.approx(6.0, abs=0.15)


def test_a_hand_taps_the_beat_through_the_show() -> None:
    def released(show: Show) -> None:
        assert show.state()["clock"]["sources"]["tap"] == "120.0 BPM"
        show.set_params({"clock": "auto"})

    def tap(show: Show) -> None:
        show.performer.tap(asyncio.get_running_loop().time())

    events: dict[float, Event] = {1.0 + 0.5 * k: tap for k in range(4)}
    told = beats(play(5.0, {**events, 4.0: released}))
    assert next(k for k, beat in enumerate(told) if beat) == pytest.approx(45, abs=3)  # the second tap
    during = told[100]
    assert during is not None and (during.source, round(during.tempo)) == ("tap", 120)
    assert during.beat + during.beat_phase == pytest.approx((101 / 30 - 1.0) * 2, abs=0.1)
    assert told[130] is None  # let go


def test_a_clock_that_cannot_be_had_leaves_everything_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aalink", None)

    def refused(show: Show) -> None:
        before = show.params
        with pytest.raises(UserError, match="aalink"):
            show.set_params({"clock": "link", "energy": 0.9})
        assert show.params == before

    play(2.0, {1.0: refused})


def test_the_section_is_checked_and_becomes_parameters() -> None:
    config = load(None, ["clock.source=osc", "clock.tempo_scale=2", "clock.tempo_from=87", "clock.nudge_ms=-12"])
    params = config.params()
    assert (params.clock, params.tempo_scale, params.tempo_from, params.nudge_ms) == ("osc", 2.0, 87.0, -12.0)
    for wrong, said in (
        ("clock.tempo_scale=3", "clock.tempo_scale: expected one of 0.25, 0.5, 1, 2, 4"),
        ("clock.source=sundial", "clock.source: "),
        ("clock.linc=true", "clock.linc"),
    ):
        with pytest.raises(UserError, match=said):
            load(None, [wrong])
