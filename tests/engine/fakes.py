"""Stand-ins: time that jumps, sound that is known, a studio without models, an outlet that remembers."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.config import Config
from engine.painter.process import Working
from engine.painter.shared import Painting
from engine.params import Moment, Params
from engine.soak.virtual import VirtualLoop, run_virtually
from engine.stage.frame import ShowFrame
from engine.stage.show import Show
from engine.studio.frame import StudioFrame
from engine.studio.handle import Calls
from engine.studio.process import Go
from engine.studio.shared import SoundRing
from engine.worker import Failed
from xdancer.music.frame import HOP, BeatState

__all__ = ["CountingSource", "FakePainter", "FakeStudio", "Memory", "VirtualLoop", "play", "run_virtually"]


class CountingSource:
    """Sound that names its frame: every sample of frame n is (n + 1) / 10000. `gaps`: pulls that get nothing yet."""

    label = "counting"

    def __init__(self, gaps: int = 0) -> None:
        self.status = "starting"
        self.pulled = 0
        self.closed = False
        self.gaps = gaps
        self.fast = 0.0

    def start(self) -> None:
        self.status = "playing"

    def pull(self) -> np.ndarray | None:
        if self.gaps > 0:
            self.gaps -= 1
            return None
        self.pulled += 1
        return np.full((HOP, 2), self.pulled / 10_000, np.float32)

    def skew(self) -> float:
        return self.fast

    def close(self) -> None:
        self.closed = True


class FakeStudio:
    """Takes the place of a studio process: makes frame n as soon as it has heard it, after `slowness` seconds.

    `FakeStudio.all` are those made since the test began, oldest first. Frame n has tokens full of n mod 512.
    """

    all: list["FakeStudio"] = []
    slowness = 0.01
    fails: Failed | None = None

    def __init__(self, config: Config, params: Params, sound: SoundRing, calls: Calls) -> None:
        self.info: dict[str, Any] | None = None
        self.waiting, self.pid = 0, None
        self.params, self.moment = params, ""
        self.active = params
        self.went: Go | None = None
        self.stopped = self.mute = False
        self.holds = True  # parameters take hold as soon as they are set
        self._lead = 0
        self._next = 0
        self._at = 0.0
        self._size = (config.height, config.width)
        self._sound, self._calls = sound, calls
        self._position = 0
        FakeStudio.all.append(self)

    async def start(self) -> None:
        asyncio.get_running_loop().call_later(0.5, self._load)

    def _load(self) -> None:
        if self.fails:
            self._calls.gone(self, self.fails)  # type: ignore[arg-type]
            return
        self.info = {"tokenizer": "fake", "styles": ["street"]}
        self._calls.ready(self)  # type: ignore[arg-type]

    def go(self, go: Go) -> None:
        self.went = go
        self._position, self._lead = go.first, go.lead
        self._next = go.first + go.lead if go.danced is not None else 0
        self.wake()

    def wake(self) -> None:
        while self.went and self._position < self._sound.written:
            rows = range(self._next, max(self._position + self._lead + 1, self._next))
            loop = asyncio.get_running_loop()
            self._at = max(loop.time() + self.slowness, self._at + 1e-9)  # none overtakes the one before
            loop.call_at(self._at, self._make_rows, rows, self._position)
            self._next = rows.stop
            self._position += 1

    def _make_rows(self, rows: range, position: int) -> None:
        for index in rows:
            self._make(index, index - position)

    def _make(self, index: int, lead: int) -> None:
        if self.stopped or self.mute:
            return
        row = np.full((5, 6), index % 512, np.int16)
        pose = np.full((60, 3), 0.5, np.float32)
        pose[:, 0] = index
        picture = np.full((*self._size, 3), index % 256, np.uint8)
        beat = BeatState(120.0, beat=index // 15)
        made = StudioFrame(index, row, row, pose, beat, -20.0, picture, params=self.active, lead=lead)
        self._calls.made(self, made)  # type: ignore[arg-type]

    def set(self, changes: Mapping[str, Any], moment: Moment) -> None:
        self.params, self.moment = self.params.model_copy(update=dict(changes)), moment
        if self.holds:
            self.take_hold()

    def take_hold(self) -> None:
        """The beat comes that the parameters wait for."""
        self.active = self.params

    def set_lead(self, frames: int) -> None:
        self._lead = frames

    def die(self) -> None:
        """Be lost, as a process that crashed."""
        self.stopped = True
        self._calls.gone(self, Failed("killed by the test", mistake=False))  # type: ignore[arg-type]

    def stop(self) -> None:
        self.stopped = True

    async def join(self) -> None:
        pass


class FakePainter:
    """Takes the place of a painter's process: a frame's picture comes `slowness` seconds after the frame, pink."""

    PINK = (255, 0, 255)
    slowness = 0.05

    def __init__(self, config: Config, painted: Callable[[Painting], None], frames: int) -> None:
        self.status, self.pid, self.replaced, self.skipped = "off", None, 0, 0
        self.working: Working | None = None
        self.frames = frames
        self.worn: Path | None = None
        self._painted, self._size, self._hangs, self._lost = painted, (config.height, config.width), False, False

    def start(self) -> None:
        if not self._lost:
            self.status, self.working = "painting", Working(1, 1, None)

    def paint(self, index: int, tokens: np.ndarray, pose: np.ndarray) -> None:
        if self.working and not self._hangs:
            asyncio.get_running_loop().call_later(self.slowness, self._paint, index)

    def _paint(self, index: int) -> None:
        if self.working and not self._hangs:
            self._painted(Painting(index, np.full((*self._size, 3), self.PINK, np.uint8)))

    def wear(self, picture: Path | None) -> None:
        self.worn = picture

    def lose(self) -> None:
        """Its process has ended, and takes a while to come back."""
        self._lost, self.working = True, None

    def hang(self) -> None:
        """It is there and does nothing."""
        self._hangs = True

    def back(self) -> None:
        self._lost = self._hangs = False
        self.start()

    async def stop(self) -> None:
        self.working = None


def play(
    make: Callable[[], Show], seconds: float, events: dict[float, Callable[[Show], None]] | None = None
) -> tuple[Show, "Memory"]:
    """A show, in virtual time, of that many seconds after its sound began; `events` happen at their times."""

    async def main() -> tuple[Show, Memory]:
        show, memory = make(), Memory()
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

    return run_virtually(main())


class Memory:
    """An outlet that remembers, with the loop's time."""

    def __init__(self) -> None:
        self.made_at: list[tuple[float, ShowFrame]] = []
        self.shown_at: list[tuple[float, ShowFrame]] = []
        self.state: dict[str, Any] = {}  # the show's, at the end

    def made(self, frame: ShowFrame) -> None:
        self.made_at.append((asyncio.get_running_loop().time(), frame))

    def shown(self, frame: ShowFrame) -> None:
        self.shown_at.append((asyncio.get_running_loop().time(), frame))
