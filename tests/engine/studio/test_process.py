"""The studio in its process, under a real show in real time: the same tokens as rendered, and on after a crash."""

import asyncio
import os
import signal
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from fakes import Memory
from models import tiny_show

from engine.audio.files import file_source, read_file
from engine.cli.render import hops
from engine.clock.fixed import FixedClock
from engine.clock.settings import ClockSettings
from engine.config import Config, load
from engine.stage.show import Show
from engine.stage.studios import Studios
from engine.studio.frame import StudioFrame
from engine.studio.handle import Calls, StudioProcess
from engine.studio.models import load_models
from engine.studio.process import LEAP, Go, Ready, SetParams, main, resume
from engine.studio.shared import SLOTS, SOUND_FRAMES, FrameRing, SoundRing
from engine.studio.studio import Studio
from engine.worker import context
from xdancer.music.demo import click_track
from xdancer.music.frame import HOP, BeatState

FRAMES = 90


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return load(None, [*tiny_show(tmp_path_factory.mktemp("weights"), "choreographer"), "seed=5"])


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "song.wav"
    # Another rate than the show's, so that the resampler is part of what has to agree.
    soundfile.write(path, click_track(FRAMES / 30).samples[::2], 24_000, subtype="FLOAT")
    return path


def rendered(config: Config, song: Path) -> np.ndarray:
    studio = Studio(load_models(config), config.params())
    fixed = FixedClock(config.clock.tempo) if config.clock.source == "fixed" else None
    tokens = []
    for n, block in enumerate(hops(read_file(song))):
        tokens += [frame.tokens for frame in studio.push(block, False, [fixed.beat(n, 0.0) if fixed else None])]
    return np.stack(tokens)


async def played(config: Config, song: Path, kill_at: int | None = None) -> tuple[Show, Memory]:
    """The song in real time, until all was danced and shown. With `kill_at` the studio is killed once it has made that
    many frames; the sound pauses there until a spare is ready."""
    source = file_source(str(song), loop=False)
    pull, playing = source.pull, asyncio.Event()
    source.pull = lambda: pull() if playing.is_set() else None  # type: ignore[method-assign]
    playing.set()
    show = Show(config, source, Studios)
    memory = Memory()
    show.outlets.append(memory)
    running = asyncio.create_task(show.run())
    async with asyncio.timeout(120):
        while len(memory.shown_at) < FRAMES or show.studios.newest < FRAMES or kill_at is not None:
            await asyncio.sleep(0.02)
            assert not running.done(), running.result()
            if kill_at is not None and len(memory.made_at) >= kill_at:
                playing.clear()
                if show.studios.spare_ready:
                    os.kill(show.studios._current.pid, signal.SIGKILL)  # type: ignore[union-attr]
                    playing.set()
                    kill_at = None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return show, memory


@pytest.mark.parametrize("clock", ["audio", "fixed"])
async def test_live_makes_the_tokens_that_render_makes(config: Config, song: Path, clock: str) -> None:
    config = config.model_copy(update={"clock": ClockSettings(source=clock, tempo=100)})
    _, memory = await played(config, song)
    assert {frame.beat.source for _, frame in memory.made_at if frame.tokens is not None} == {clock}
    danced = {frame.index: frame.tokens for _, frame in memory.made_at if frame.tokens is not None}
    assert len(danced) > 60  # all of them, but for a machine so busy that the studio does not run for a second
    for index, tokens in enumerate(rendered(config, song)[:FRAMES]):
        np.testing.assert_array_equal(danced.get(index, tokens), tokens)


async def test_after_a_crash_the_same_dance_goes_on(config: Config, song: Path) -> None:
    show, memory = await played(config, song, kill_at=30)
    assert show.studios.replaced == 1
    expected = rendered(config, song)
    assert [frame.index for _, frame in memory.shown_at] == list(range(len(memory.shown_at)))
    again = [frame for _, frame in memory.made_at if frame.tokens is not None and frame.index < FRAMES]
    assert again[-1].index > 60
    counts = [frame.beat.beat for frame in again]
    assert set(np.diff(counts)) <= {0, 1} and counts[-1] > counts[0]
    # All rows and all the sound were kept, so that the new studio knows what the old one knew.
    for frame in again:
        np.testing.assert_array_equal(frame.tokens, expected[frame.index])


async def test_a_studio_that_does_not_read_holds_nobody_up(config: Config) -> None:
    def nothing(*of: object) -> None:
        pass

    studio = StudioProcess(config, config.params(), SoundRing(), Calls(nothing, nothing, nothing))
    await studio.start()
    assert studio.pid
    os.kill(studio.pid, signal.SIGSTOP)

    def turn_knobs() -> None:
        for n in range(5000):
            studio.set({"seed": n}, "frame")

    hands = threading.Thread(target=turn_knobs, daemon=True)
    hands.start()
    hands.join(30)
    assert not hands.is_alive()
    studio.stop()
    await studio.join()
    assert not psutil.pid_exists(studio.pid)


def test_a_studio_that_takes_over_leaves_out_what_is_long_over() -> None:
    class Heard:
        lead = 0

        def resume(self, samples: np.ndarray, first: int, *of: object) -> None:
            self.got = (len(samples) // HOP, first)

    ring, rows, studio = SoundRing(), np.zeros((4, 5, 6), np.int16), Heard()
    for _ in range(400):
        ring.write(np.zeros((HOP, 2), np.float32))
    for first, begin in ((390, 390), (100, 400 - LEAP)):
        assert resume(studio, ring, Go(first, 0, rows, rows)) == begin  # type: ignore[arg-type]
        assert studio.got == (begin, 0)
    assert resume(studio, ring, Go(0, 0)) == 0  # type: ignore[arg-type]


BEAT = BeatState(120.5, 0.25, 0.5, 7, 1, 4, 0.75, None, (2.0, 2.5), "link")


def frame(index: int, drawn: bool = True) -> StudioFrame:
    row = np.full((5, 6), index, np.int16)
    picture = np.full((64, 64, 3), index, np.uint8) if drawn else None
    beat = BeatState(120.5, 0.25, 0.5, index, 1, 4, 0.75, None if index % 2 else 1.5, (2.0, 2.5), "link")
    return StudioFrame(index, row, row + 1, np.full((60, 3), 0.5, np.float32), beat, -12.5, picture, (0.1, 0.2, 0.3))


def test_frames_come_out_of_the_ring_as_they_went_in() -> None:
    ring = FrameRing(64, 64)
    for first in range(0, 40, 10):
        for index in range(first, first + 10):
            assert ring.put(frame(index, drawn=index % 3 > 0), timeout=0)
        assert ring.waiting == 10
        for index, got in zip(range(first, first + 10), ring.take(), strict=True):
            want = frame(index, drawn=index % 3 > 0)
            assert (got.index, got.beat, got.level, got.spent) == (index, want.beat, want.level, want.spent)
            assert (got.tokens == want.tokens).all() and (got.danced == want.danced).all()
            assert (got.pose == want.pose).all() and (got.picture is None) == (want.picture is None)
            assert got.picture is None or (got.picture == index).all()


def test_a_full_ring_refuses_and_overwrites_nothing() -> None:
    ring = FrameRing(64, 64)
    assert [ring.put(frame(index), timeout=0) for index in range(SLOTS + 1)] == [True] * SLOTS + [False]
    assert [got.index for got in ring.take()] == list(range(SLOTS))
    assert ring.put(frame(99), timeout=0)


def test_the_sound_ring_gives_what_it_still_has() -> None:
    ring = SoundRing()
    for index in range(SOUND_FRAMES + 20):
        ring.write(np.full((HOP, 2), index, np.float32), BEAT if index % 2 else None)
    assert (ring.written, ring.oldest) == (SOUND_FRAMES + 20, 21)
    assert ring.read(21, 23)[:, 0].tolist() == [21.0] * HOP + [22.0] * HOP
    for first, stop in ((20, 22), (SOUND_FRAMES + 19, SOUND_FRAMES + 21)):
        with pytest.raises(LookupError):
            ring.read(first, stop)
        with pytest.raises(LookupError):
            ring.clock(first, stop)
    assert ring.clock(21, 24) == [BEAT, None, BEAT]


async def test_a_studio_that_is_behind_hears_of_a_blackout_before_it_has_caught_up(config: Config) -> None:
    sound, frames, heard = SoundRing(), FrameRing(64, 112), context.Semaphore(0)
    for _ in range(SLOTS + 4):  # more than it can hand over: it stands in the middle of its work
        sound.write(np.zeros((HOP, 2), np.float32))
    pipe, theirs = context.Pipe()
    arguments = (theirs, config, config.params(), sound, frames, heard)
    process = context.Process(target=main, args=arguments, daemon=True)
    process.start()
    ready = await asyncio.to_thread(pipe.recv)
    assert isinstance(ready, Ready)
    pipe.send(Go(0, 0))
    while frames.waiting < SLOTS:
        await asyncio.to_thread(pipe.recv)
    pipe.send(SetParams({"blackout": True}, "frame"))
    got = list(frames.take())
    while len(got) < SLOTS + 4:
        await asyncio.to_thread(pipe.recv)
        got += frames.take()
    assert [frame.params.blackout for frame in got][-3:] == [True] * 3
    assert not got[0].params.blackout
    pipe.close()
    process.terminate()
    process.join()
