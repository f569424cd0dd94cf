"""The show in virtual time, with a fake studio: what is on show when, and that nothing stops it."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import fakes
import numpy as np
import pytest
from fakes import CountingSource, FakeStudio, Memory, run_virtually

from engine.config import Config
from engine.stage.heard import OnceHeard
from engine.stage.lead import DELIVERY, MARGIN, Lead
from engine.stage.show import Show
from engine.stage.studios import HUNG_AFTER, HUNG_AFTER_WITH_SPARE, Studios
from engine.worker import Failed
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
    """As `fakes.play`, with the settings."""
    source = CountingSource()
    return fakes.play(
        lambda: Show(Config(**SMALL, **settings), source, partial(Studios, handle=FakeStudio), draw), seconds, events
    )


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


@pytest.mark.parametrize(("spare", "patience"), [(False, HUNG_AFTER), (True, HUNG_AFTER_WITH_SPARE)])
def test_a_studio_that_hangs_is_replaced(spare: bool, patience: int) -> None:
    def hang(show: Show) -> None:
        FakeStudio.all[0].mute = True

    show, memory = play(5.0 + patience / 30 + 3.0, {5.0: hang}, spare=spare)
    assert FakeStudio.all[0].stopped and show.studios.replaced == 1 and memory.state["studio"]["status"] == "live"
    shown = indices(memory.shown_at)
    assert shown == list(range(len(shown)))
    # Meanwhile somebody dances: after a second without the studio, no picture is merely repeated.
    meanwhile = [frame for _, frame in memory.shown_at if 6.5 < frame.index / 30 < 5.0 + patience / 30]
    assert all((frame.picture == 77).all() for frame in meanwhile) and (spare or meanwhile)


def test_a_spare_that_is_still_catching_up_is_not_given_up_early() -> None:
    """The one that takes over is slow at first, while a second spare is ready: it has the longer patience."""

    def lose(show: Show) -> None:
        FakeStudio.all[1].slowness = (HUNG_AFTER_WITH_SPARE + 30) / 30
        FakeStudio.all[0].die()

    show, memory = play(20.0, {5.0: lose})
    assert show.studios.replaced == 1 and memory.state["studio"]["spare"]


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


def test_a_machine_that_slept_goes_on_where_it_was(caplog: pytest.LogCaptureFixture) -> None:
    def sleep(show: Show) -> None:
        asyncio.get_running_loop().sleep_through(1800)  # type: ignore[attr-defined]

    show, memory = play(1820.0, {5.0: sleep})
    shown = indices(memory.shown_at)
    assert shown == list(range(len(shown))) and 590 <= len(shown) <= 600
    assert show.studios.replaced == 0 and memory.state["studio"]["status"] == "live"
    times = np.array([time for time, _ in memory.shown_at])
    np.testing.assert_allclose(np.diff(times[170:]), 1 / 30, atol=1e-6)  # nothing is made up for in a rush
    assert [record.getMessage() for record in caplog.records] == [
        "clock: stood still for 1800.0 s; the machine slept, or has too much to do"
    ]


def test_a_wall_clock_that_is_set_moves_what_is_due_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    def adjust(show: Show) -> None:
        asyncio.get_running_loop().set_by = -3600.0  # type: ignore[attr-defined]

    _, memory = play(10.0, {5.0: adjust})
    times = np.array([time for time, _ in memory.shown_at])
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-6)
    ahead = np.array([frame.due - time for time, frame in memory.shown_at])
    np.testing.assert_allclose(ahead[160:] - ahead[0], -3600, atol=1e-3)
    assert [record.getMessage() for record in caplog.records] == [
        "clock: the wall clock moved by -3600.00 s; the show follows it"
    ]


def test_parameters_reach_the_studios_and_the_listeners() -> None:
    heard: list[dict[str, Any]] = []

    def change(show: Show) -> None:
        show.performer.listeners.append(heard.append)
        assert show.set_params({"energy": 0.8, "mirror": True, "apply": "bar"})["energy"] == 0.8
        show.set_params({"seed": 9})

    show, _ = play(4.0, {2.0: change})
    first, spare = FakeStudio.all
    assert (first.params.energy, first.params.mirror, first.params.seed) == (0.8, True, 9)
    assert first.params == spare.params and first.moment == "frame"
    assert [params["apply"] for params in heard] == ["bar", "frame"]
    assert show.params["seed"] == 9 and show.state()["params"]["mirror"] is True


def test_the_state_tells_what_has_taken_hold_from_what_is_wanted() -> None:
    seen: list[dict[str, Any]] = []

    def wait(show: Show) -> None:
        FakeStudio.all[0].holds = False  # the beat does not come
        show.set_params({"energy": 0.8, "hold": True, "apply": "bar"})
        show.set_params({"blackout": True})

    def look(show: Show) -> None:
        seen.append(show.state())
        FakeStudio.all[0].take_hold()

    _, memory = play(4.0, {1.0: wait, 2.0: look})
    assert seen[0]["params"]["energy"] == 0.8 and seen[0]["active"]["energy"] is None
    assert seen[0]["pending"] == {"energy": "bar", "hold": "bar", "blackout": "frame"}
    assert memory.state["active"]["energy"] == 0.8 and memory.state["pending"] == {}


def test_a_spare_that_takes_over_has_what_was_wanted() -> None:
    def die(show: Show) -> None:
        FakeStudio.all[0].holds = False
        show.set_params({"mirror": True, "apply": "bar"})
        FakeStudio.all[0].die()

    _, memory = play(5.0, {2.0: die})
    assert memory.state["active"]["mirror"] is True and memory.state["pending"] == {}


def test_a_free_run_goes_dark_without_a_studio() -> None:
    def die(show: Show) -> None:
        FakeStudio.all[0].die()
        show.set_params({"blackout": True, "mirror": True})

    states: list[dict[str, Any]] = []
    play(5.0, {4.0: die, 4.9: lambda show: states.append(show.state())}, spare=False)
    assert states[0]["active"]["blackout"] is True
    assert states[0]["pending"] == {"mirror": "frame"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"enrgy": 1}, "enrgy: unknown key; did you mean energy?"),
        ({"energy": 3}, "energy: "),
        ({"mirror": "perhaps"}, "mirror: "),
        ({"apply": "later"}, "apply: "),
        ({"style": "waltz"}, "'waltz'"),
        ({"renderer": "oil"}, "renderer: "),
        ({"reference": "/etc/passwd"}, "reference: "),
        ({"reference": "0123456789abcdef"}, "reference: "),
        ({"preset": "nobody"}, "there is no 'nobody'"),
        ({"preset": ["x"]}, "preset: "),
        ({"seed": -1}, "seed: "),
        ({"temperature": float("nan")}, "temperature: "),
        ({"a\nb": 1}, "unknown key"),
        ({"k" * 10_000: 1}, "too long"),
        ({str(k): 1 for k in range(10_000)}, "too many"),
        ({}, "nothing to change"),
        ({"apply": "bar"}, "nothing to change"),
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


def heard(frame: Any, first: float) -> float:
    """When the sound of a frame was heard, in the loop's time, where that of frame 0 was at `first`."""
    return first + frame.index / 30


def test_anticipation_lets_a_frame_leave_so_early_that_it_is_seen_with_its_sound() -> None:
    show, memory = play(10.0, presentation="anticipate", lead=10)
    first = memory.made_at[0][0] - FakeStudio.slowness
    assert show.presenter.delay == 0
    made = {frame.index: time for time, frame in memory.made_at}
    for time, frame in memory.shown_at[30:]:
        assert heard(frame, first) - time == pytest.approx(DELIVERY, abs=1e-6) and frame.tokens is not None
        assert frame.due - frame.leaves == pytest.approx(DELIVERY)
        assert heard(frame, first) - made[frame.index] == pytest.approx(10 / 30 - FakeStudio.slowness, abs=1e-6)


def test_the_lead_follows_what_the_pipeline_and_the_way_to_the_viewers_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeStudio, "slowness", 0.2)

    def far(show: Show) -> None:
        for _ in range(40):
            show.delivered(0.4)

    show, memory = play(30.0, {10.0: far}, presentation="anticipate")
    assert show.studios.lead == int(np.ceil(30 * (0.2 + 0.4 + MARGIN)))
    shown = indices(memory.shown_at)
    assert shown == list(range(len(shown)))
    assert indices(memory.made_at) == list(range(len(memory.made_at)))  # a change of lead leaves no gap and no repeat
    first = memory.made_at[0][0] - 0.2
    for time, frame in memory.shown_at[-60:]:
        assert heard(frame, first) - time == pytest.approx(0.4, abs=1e-6) and frame.tokens is not None


def test_a_lead_that_is_not_needed_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def hurry(show: Show) -> None:
        FakeStudio.slowness = 0.01

    monkeypatch.setattr(FakeStudio, "slowness", 0.3)
    show, memory = play(40.0, {10.0: hurry}, presentation="anticipate")
    assert show.studios.lead == int(np.ceil(30 * (0.01 + DELIVERY + MARGIN)))
    assert indices(memory.made_at) == list(range(len(memory.made_at)))


def test_the_trim_moves_the_picture_against_the_room() -> None:
    show, memory = play(20.0, {10.0: lambda show: show.set_params({"trim_ms": 80})}, presentation="anticipate")
    first = memory.made_at[0][0] - FakeStudio.slowness
    offsets = {at: heard(frame, first) - time for at in (200, -1) for time, frame in [memory.shown_at[at]]}
    assert offsets[200] == pytest.approx(DELIVERY, abs=1e-6)
    assert offsets[-1] == pytest.approx(DELIVERY - 0.08, abs=1e-6)


def test_unlikely_reports_are_not_believed() -> None:
    lead = Lead(anticipate=True)
    for seconds in (-1.0, 0.0, 30.0, float("nan"), float("inf")):
        lead.reported(seconds)
    assert lead.delivery == DELIVERY
    lead.reported(0.3)
    assert lead.delivery == 0.3


def test_a_recorder_gets_each_frame_with_its_sound_though_the_picture_comes_first() -> None:
    kept = Memory()

    def record(show: Show) -> None:
        show.outlets.append(OnceHeard(kept, show.sound))

    play(10.0, {1.0: record}, presentation="anticipate", lead=10)
    recorded = [frame for _, frame in kept.shown_at]
    assert indices(kept.shown_at) == list(range(recorded[0].index, recorded[-1].index + 1)) and len(recorded) > 250
    assert all((frame.sound == np.float32((frame.index + 1) / 10_000)).all() for frame in recorded)
