"""Stand-ins: time that jumps, sound that is known, a studio without models, an outlet that remembers."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import numpy as np

from engine.config import Config
from engine.params import Moment, Params
from engine.stage.frame import ShowFrame
from engine.studio.frame import StudioFrame
from engine.studio.handle import Calls
from engine.studio.process import Failed, Go
from engine.studio.shared import SoundRing
from xdancer.music.frame import HOP, BeatState

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: where the loop would, time jumps to when it would wake."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which an hour takes no time. Threads take none either: their work is done at once."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


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
        self.waiting = 0
        self.params, self.moment = params, ""
        self.went: Go | None = None
        self.stopped = self.mute = False
        self._lead = config.lead
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
        self._position = go.first
        self.wake()

    def wake(self) -> None:
        while self.went and self._position < self._sound.written:
            asyncio.get_running_loop().call_later(self.slowness, self._make, self._position + self._lead)
            self._position += 1

    def _make(self, index: int) -> None:
        if self.stopped or self.mute:
            return
        row = np.full((5, 6), index % 512, np.int16)
        pose = np.full((60, 3), 0.5, np.float32)
        pose[:, 0] = index
        picture = np.full((*self._size, 3), index % 256, np.uint8)
        self._calls.made(self, StudioFrame(index, row, row, pose, BeatState(120.0, beat=index // 15), -20.0, picture))  # type: ignore[arg-type]

    def set(self, params: Params, moment: Moment) -> None:
        self.params, self.moment = params, moment

    def die(self) -> None:
        """Be lost, as a process that crashed."""
        self.stopped = True
        self._calls.gone(self, Failed("killed by the test", mistake=False))  # type: ignore[arg-type]

    def stop(self) -> None:
        self.stopped = True

    async def join(self) -> None:
        pass


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
