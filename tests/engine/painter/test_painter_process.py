"""The painter in its process: it paints, takes another person, says what is wrong, and is begun again when killed."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.config import Config, load
from engine.painter import models, process
from engine.painter.handle import PainterProcess
from engine.painter.pace import Setting
from engine.painter.painter import Painter
from engine.painter.shared import Painting, PictureRing
from engine.studio.shared import SLOTS
from tests.models import tiny_show
from xdancer.errors import UserError
from xdancer.renderer import Renderer

TOKENS = np.random.default_rng(2).integers(0, 512, (64, 5, 6)).astype(np.int16)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return load(None, [*tiny_show(tmp_path_factory.mktemp("weights"), "renderer"), "renderer=diffusion"])


@contextlib.asynccontextmanager
async def started(config: Config) -> AsyncIterator[tuple[PainterProcess, list[Painting]]]:
    made: list[Painting] = []
    painter = PainterProcess(config, made.append, frames=30)
    painter.start()
    try:
        yield painter, made
    finally:
        await painter.stop()


async def until(true: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not true():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)


class Dance:
    """Frames for the painter, in order, for as long as something is not true yet: how many of them a painter draws
    depends on how fast it is."""

    def __init__(self, painter: PainterProcess) -> None:
        self._painter = painter
        self._next = 0

    async def go_on_until(self, true: Callable[[], object]) -> None:
        def painted() -> object:
            self._painter.paint(self._next, TOKENS[self._next % len(TOKENS)], np.full((60, 3), 100.0, np.float32))
            self._next += 1
            return true()

        await until(painted)


async def test_it_paints_changes_the_person_and_is_begun_again(config: Config, tmp_path: Path) -> None:
    other, nobody = tmp_path / "other.png", tmp_path / "nobody.png"
    Image.fromarray(np.full((224, 128, 3), 200, np.uint8)).save(other)
    nobody.write_bytes(b"nothing")
    async with started(config) as (painter, made):
        dance = Dance(painter)
        painter.paint(0, TOKENS[0], np.zeros((60, 3), np.float32))  # nobody listens yet
        await until(lambda: painter.working)
        assert painter.status == "painting" and painter.working.trouble is None and not made
        await dance.go_on_until(lambda: len(made) >= 8)
        assert all(painting.picture.shape == (112, 64, 3) for painting in made)
        before = made[-1]
        painter.wear(other)
        await until(lambda: painter.working.trouble)
        assert "stand upright" in painter.working.trouble  # there is no detector
        since = len(made)
        await dance.go_on_until(lambda: len(made) >= since + 8)
        assert np.abs(made[-1].picture.astype(int) - before.picture).mean() > 1
        painter.wear(nobody)
        await until(lambda: "not a picture" in painter.working.trouble)
        since = len(made)
        await dance.go_on_until(lambda: len(made) >= since + 8)  # whoever was there goes on
        painter.wear(other)
        first = painter.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: painter.replaced == 1 and painter.working)
        assert painter.pid != first
        await until(lambda: "stand upright" in (painter.working.trouble or ""))  # it has been told again who dances
        since = len(made)
        await dance.go_on_until(lambda: len(made) >= since + 8)
    indices = [painting.index for painting in made]
    assert indices == sorted(set(indices))
    assert painter.status == "off" and painter.pid is None


async def test_a_painter_that_is_busy_hears_of_another_person_later(config: Config, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.fromarray(np.full((224, 128, 3), 200, np.uint8)).save(other)
    async with started(config) as (painter, _):
        await until(lambda: painter.working)
        os.kill(painter.pid, signal.SIGSTOP)
        while not painter.skipped:  # until it has no ear for more
            painter.paint(0, TOKENS[0], np.full((60, 3), 100.0, np.float32))
        painter.wear(other)
        os.kill(painter.pid, signal.SIGCONT)
        await until(lambda: painter.working.trouble)
        assert "stand upright" in painter.working.trouble


async def test_what_is_missing_is_said(config: Config) -> None:
    weights = config.weights.model_copy(update={"renderer": "/nowhere"})
    async with started(config.model_copy(update={"weights": weights})) as (painter, _):
        await until(lambda: painter.replaced)
        assert painter.status.startswith("waiting: ") and "/nowhere" in painter.status


class Hungry:
    """A renderer of whose pictures only the smallest fit in the memory."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def __getattr__(self, name: str) -> object:
        return getattr(self._renderer, name)

    def stream(self, *args: object, scale: int, **kwargs: object) -> object:
        stream = self._renderer.stream(*args, scale=scale, **kwargs)
        if scale > 1:
            stream._drawn = too_much
        return stream


def too_much(*args: object, **kwargs: object) -> None:
    torch.empty(10**15)


@contextlib.contextmanager
def at_work(config: Config, pictures: PictureRing) -> Iterator[Connection]:
    """The stage's end of the pipe to a painter at work in a thread of this process."""
    stage, worker = multiprocessing.Pipe()

    def work() -> None:
        with contextlib.suppress(EOFError, OSError):
            process._Work(config, worker, pictures).run()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    with stage:
        yield stage
    thread.join(10)


def test_where_memory_is_short_pictures_get_smaller_and_it_says_so(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    painter = models.make_painter(config)
    painter = Painter(Hungry(painter.renderer), 128, 224, Setting(1, 1))
    monkeypatch.setattr(models, "make_painter", lambda config: painter)
    pictures = PictureRing(128, 224)
    with at_work(config, pictures) as stage:
        told = [stage.recv()]
        for index in range(6):
            stage.send(process.Paint(index, TOKENS[index], np.full((60, 3), 100.0, np.float32)))
            while stage.poll(0.2):
                told.append(stage.recv())
    reports = [message for message in told if message is not None]
    assert [bool(report.trouble and "too little memory" in report.trouble) for report in reports] == [False, True]
    assert f"{painter.renderer.width} x {painter.renderer.height} px" in reports[-1].trouble
    assert [painting.index for painting in pictures.take()][-1] >= 3


def test_whoever_is_there_dances_on_while_another_person_is_looked_at(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()
    monkeypatch.setattr(models, "wear", lambda renderer, config, picture: looked.wait(60))
    pictures = PictureRing(64, 112)
    with at_work(config, pictures) as stage:
        assert stage.recv().trouble is None
        stage.send(process.Wear(Path("another.png")))
        for index in range(8):
            stage.send(process.Paint(index, TOKENS[index], np.full((60, 3), 100.0, np.float32)))
        assert stage.poll(60) and stage.recv() is None  # a picture, and no word yet of the other person
        assert list(pictures.take()) and not looked.is_set()
        looked.set()
        while stage.recv() is None:
            pass


def test_weights_that_do_not_fit_are_one_line(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Renderer, "from_pretrained", too_much)
    with pytest.raises(UserError, match="too little memory to load it"):
        models.make_painter(config)


def test_no_picture_is_overwritten_before_it_was_taken() -> None:
    ring = PictureRing(8, 4)
    for index in range(SLOTS):
        assert ring.put(Painting(index, np.full((4, 8, 3), index, np.uint8)), 0.0)
    assert not ring.put(Painting(99, np.zeros((4, 8, 3), np.uint8)), 0.01)
    taken = list(ring.take())
    assert [int(p.picture[0, 0, 0]) for p in taken] == [p.index for p in taken] == [*range(SLOTS)]
    assert ring.put(Painting(99, np.zeros((4, 8, 3), np.uint8)), 0.0) and [p.index for p in ring.take()] == [99]
