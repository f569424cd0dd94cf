"""The show in virtual time, with a fake studio: what is on show when, and that nothing stops it."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from fakes import CountingSource, FakeStudio, Memory, run_virtually

from engine.config import Config
from engine.stage.show import Show
from engine.stage.studios import HUNG_AFTER, Studios
from engine.studio.process import Failed
from xdancer.errors import UserError

SMALL: dict[str, Any] = {"width": 64, "height": 64}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(FakeStudio, "all", [])
    monkeypatch.setattr(FakeStudio, "slowness", 0.01)
    monkeypatch.setattr(FakeStudio, "fails", None)
    yield


def draw(pose: np.ndarray, beat_phase: float) -> np.ndarray:
    return np.full((64, 64, 3), 77, np.uint8)


def play(
    seconds: float, events: dict[float, Callable[[Show], None]] | None = None, **settings: Any
) -> tuple[Show, Memory]:
    """A show of that many seconds after its sound began; `events` happen at their times."""

    async def main() -> tuple[Show, Memory]:
        show = Show(Config(**SMALL, **settings), source, partial(Studios, handle=FakeStudio), draw)
        memory = Memory()
        show.outlets.append(memory)
        running = asyncio.create_task(show.run())
        await show.started.wait()
        began = asyncio.get_running_loop().time()
        for time, event in sorted((events or {}).items()):
            await asyncio.sleep(began + time - asyncio.get_running_loop().time())
            event(show)
        await asyncio.sleep(began + seconds - asyncio.get_running_loop().time())
        assert not running.done(), running
        memory.state = show.state()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return show, memory

    source = CountingSource()
    return run_virtually(main())


def indices(remembered: list[Any]) -> list[int]:
    return [frame.index for _, frame in remembered]


def test_every_frame_is_shown_once_when_it_is_due_with_its_own_sound() -> None:
    show, memory = play(10.0)
    shown = indices(memory.shown_at)
    assert shown == list(range(len(shown))) and 290 <= len(shown) <= 293
    assert indices(memory.made_at) == list(range(len(memory.made_at)))
    times = np.array([time for time, _ in memory.shown_at])
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-6)
    for (made, early), (time, frame) in zip(memory.made_at, memory.shown_at, strict=False):
        assert (frame.sound == np.float32((frame.index + 1) / 10_000)).all()
        assert (frame.picture == frame.index % 256).all() and (frame.tokens == frame.index % 512).all()
        assert time - made == pytest.approx(0.25 - FakeStudio.slowness, abs=1e-6)
        assert early.due == frame.due
    state = memory.state
    assert state["frames"]["repeated"] == state["frames"]["dropped"] == 0
    assert state["studio"]["status"] == "live" and state["studio"]["tokenizer"] == "fake"


def test_due_is_unix_time_and_advances_with_the_frames() -> None:
    _, memory = play(2.0)
    dues = np.array([frame.due for _, frame in memory.shown_at])
    np.testing.assert_allclose(np.diff(dues), 1 / 30, atol=1e-5)


def test_a_slow_studio_gets_more_delay_and_then_no_frame_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeStudio, "slowness", 0.31)
    show, memory = play(30.0)
    assert 0.31 < show.presenter.delay < 0.4
    last = memory.shown_at[-200:]
    assert all(frame.tokens is not None for _, frame in last)
    assert show.presenter.repeated > 0
    assert show.presenter.dropped == show.presenter.repeated
    # Late or not, each frame's tokens go out once, in order.
    assert indices(memory.made_at) == list(range(len(memory.made_at)))


def test_the_delay_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeStudio, "slowness", 3.0)
    show, _ = play(60.0, delay_most_ms=400)
    assert 0.36 < show.presenter.delay <= 0.4


def test_a_studio_that_dies_is_replaced_by_the_spare_and_the_show_goes_on() -> None:
    show, memory = play(10.0, {5.0: lambda show: FakeStudio.all[0].die()})
    assert show.studios.replaced == 1 and memory.state["studio"]["status"] == "live"
    shown = indices(memory.shown_at)
    assert shown == list(range(len(shown))) and len(shown) > 290
    assert len(FakeStudio.all) == 3 and FakeStudio.all[2].went is None  # a new spare
    went = FakeStudio.all[1].went
    assert went is not None and went.danced is not None and len(went.danced) == 128  # the last rows, the newest last
    assert (went.danced[:, 0, 0] == np.arange(went.first - 128, went.first) % 512).all()
    assert went.beat == (went.first - 1) // 15


def test_without_a_spare_the_stage_dances_the_last_beat() -> None:
    show, memory = play(10.0, {5.0: lambda show: FakeStudio.all[0].die()}, spare=False)
    free = [frame for _, frame in memory.made_at if frame.tokens is None]
    assert 20 <= len(free) <= 40  # half a second of pause, half a second of loading
    assert (free[0].picture == 77).all()
    # A beat at 120 BPM has 15 frames: the free run repeats them.
    poses = np.array([frame.pose[0, 0] for frame in free])
    assert (poses[15:] == poses[: len(poses) - 15]).all() and len(set(poses)) > 5
    assert indices(memory.made_at) == sorted(set(indices(memory.made_at)))
    assert memory.state["studio"]["status"] == "live" and memory.shown_at[-1][1].tokens is not None


def test_a_studio_that_hangs_is_replaced() -> None:
    def hang(show: Show) -> None:
        FakeStudio.all[0].mute = True

    show, memory = play(5.0 + HUNG_AFTER / 30 + 3.0, {5.0: hang})
    assert FakeStudio.all[0].stopped and show.studios.replaced == 1 and memory.state["studio"]["status"] == "live"
    shown = indices(memory.shown_at)
    assert shown == list(range(len(shown)))
    # Meanwhile somebody dances: after a second without the studio, no picture is merely repeated.
    meanwhile = [frame for _, frame in memory.shown_at if 6.5 < frame.index / 30 < 9.0]
    assert all((frame.picture == 77).all() for frame in meanwhile)


def test_studios_that_keep_dying_do_not_stop_the_show() -> None:
    events = {time: (lambda show: FakeStudio.all[-1].die()) for time in np.arange(2.0, 20.0, 0.7).tolist()}
    show, memory = play(40.0, events)
    shown = indices(memory.shown_at)
    assert shown == list(range(len(shown))) and len(shown) > 1190
    assert memory.state["studio"]["status"] == "live" and len(FakeStudio.all) < 30


def test_missing_weights_end_it_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeStudio, "fails", Failed("no tokenizer 'live'", mistake=True))
    source = CountingSource()

    async def main() -> None:
        await Show(Config(**SMALL), source, partial(Studios, handle=FakeStudio), draw).run()

    with pytest.raises(UserError, match="no tokenizer 'live'"):
        run_virtually(main())
    assert source.closed and source.pulled == 0 and FakeStudio.all[0].stopped


def test_an_outlet_that_fails_does_not_stop_the_others() -> None:
    class Broken:
        def made(self, frame: Any) -> None:
            raise RuntimeError

        shown = made

    _, memory = play(3.0, {1.0: lambda show: show.outlets.insert(0, Broken())})
    assert len(memory.shown_at) > 80


def test_a_source_that_can_wait_loses_nothing() -> None:
    def pause(show: Show) -> None:
        show.source.gaps = 100  # type: ignore[attr-defined]

    _, memory = play(5.0, {2.0: pause})
    sounds = [frame.sound[0, 0] for _, frame in memory.shown_at]
    np.testing.assert_allclose(sounds, (np.arange(len(sounds)) + 1) / 10_000, rtol=1e-6)


def test_the_clock_follows_the_source() -> None:
    def hurry(show: Show) -> None:
        show.source.fast = 0.01  # type: ignore[attr-defined]

    show, _ = play(100.0, {0.0: hurry})
    assert 3020 < show.sound.written < 3040  # one per cent more than 3000


def test_parameters_reach_the_studios_and_the_listeners() -> None:
    heard: list[dict[str, Any]] = []

    def change(show: Show) -> None:
        show.listeners.append(heard.append)
        assert show.set_params({"energy": 0.8, "mirror": True, "apply": "bar"})["energy"] == 0.8
        show.set_params({"seed": 9})

    show, _ = play(4.0, {2.0: change})
    first, spare = FakeStudio.all
    assert (first.params.energy, first.params.mirror, first.params.seed) == (0.8, True, 9)
    assert first.params == spare.params and first.moment == "frame"
    assert [params["apply"] for params in heard] == ["bar", "frame"]
    assert show.params["seed"] == 9 and show.state()["params"]["mirror"] is True


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"enrgy": 1}, "enrgy: unknown key; did you mean energy?"),
        ({"energy": 3}, "energy: "),
        ({"mirror": "perhaps"}, "mirror: "),
        ({"apply": "later"}, "apply: "),
        ({"style": "waltz"}, "'waltz'"),
        ({"renderer": "diffusion"}, "renderer: "),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(changes: dict[str, Any], expected: str) -> None:
    said: list[str] = []

    def change(show: Show) -> None:
        before = show.params
        with pytest.raises(UserError) as caught:
            show.set_params(changes)
        said.append(str(caught.value))
        assert show.params == before

    play(2.0, {1.0: change})
    assert expected in said[0] and "\n" not in said[0]


def test_anticipation_shows_a_frame_when_its_sound_is_heard() -> None:
    show, memory = play(10.0, presentation="anticipate", lead=10)
    late = [time - made for (made, a), (time, b) in zip(memory.made_at[20:], memory.shown_at[30:], strict=False)]
    assert show.presenter.delay == 0 and late
    frames = {frame.index: time for time, frame in memory.made_at}
    for time, frame in memory.shown_at[30:]:
        assert time - frames[frame.index] == pytest.approx(10 / 30 - FakeStudio.slowness, abs=1e-6)
