"""The studio on stage and the one that stands by: one that dies is replaced, and the same dance goes on."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import numpy as np

from engine.config import Config
from engine.params import Moment, Params
from engine.studio.frame import StudioFrame
from engine.studio.handle import Calls, StudioProcess
from engine.studio.process import Go
from engine.studio.shared import SoundRing
from engine.worker import Failed
from xdancer.errors import UserError

log = logging.getLogger(__name__)
HISTORY = 128  # token rows kept, to go on from
HUNG_AFTER = 150  # frames of sound without a frame of dance: the studio is given up
HUNG_AFTER_WITH_SPARE = 45  # the same, of one that was live and where a spare could take over at once
MISSED_AFTER = 30  # frames of sound without a frame of dance: somebody else should dance
LIVE_WITHIN = 6  # frames: a studio this close to the sound is live
PAUSE_FIRST, PAUSE_MOST = 0.5, 15.0  # seconds before the next attempt, doubled while studios die as they begin


class Handle(Protocol):
    """What is asked of a studio process; a test has its own."""

    info: dict[str, Any] | None

    @property
    def pid(self) -> int | None: ...
    @property
    def waiting(self) -> int: ...
    async def start(self) -> None: ...
    def go(self, go: Go) -> None: ...
    def wake(self) -> None: ...
    def set(self, changes: Mapping[str, Any], moment: Moment) -> None: ...
    def set_lead(self, frames: int) -> None: ...
    def stop(self) -> None: ...
    async def join(self) -> None: ...


class Studios:
    """Owns the studio processes. `made` is called with each frame of the dance, in order, each index once."""

    def __init__(
        self,
        config: Config,
        sound: SoundRing,
        made: Callable[[StudioFrame], None],
        handle: Callable[[Config, Params, SoundRing, Calls], Any] = StudioProcess,
    ) -> None:
        self.params = config.params()
        self.lead = 0  # frames that the dance is ahead of the music
        self.replaced = 0
        self.info: dict[str, Any] | None = None
        self.newest = -1  # the last frame made
        self._config, self._sound, self._made, self._handle = config, sound, made, handle
        self._current: Handle | None = None
        self._spare: Handle | None = None
        self._began = False  # the current one has been told to go
        self._was_live = False  # and has caught up with the sound since
        self._progress = 0  # the frame of sound at which something was last made
        self._beat = -1  # the number of the beat it was shown with
        self._rows: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=HISTORY)
        self._pause = PAUSE_FIRST
        self._first_word: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def live(self) -> bool:
        """Whether the dance keeps up with the sound."""
        return self._began and self.newest >= self._sound.written - 1 + self.lead - LIVE_WITHIN

    @property
    def missed(self) -> bool:
        """Whether the dance has stopped: its studio was lost, or has made nothing for a second."""
        return not self.live and (self.replaced > 0 or self._sound.written - self._progress > MISSED_AFTER)

    @property
    def status(self) -> str:
        """A word for people."""
        if self._current is None or not self._began:
            return "starting" if not self.replaced else "replacing"
        return "live" if self.live else "catching up"

    @property
    def spare_ready(self) -> bool:
        return self._spare is not None and self._spare.info is not None

    @property
    def pids(self) -> dict[str, int | None]:
        """Processes of the studio on stage and of the spare."""
        studios = {"studio": self._current, "spare": self._spare}
        return {name: studio.pid for name, studio in studios.items() if studio}

    @property
    def waiting(self) -> int:
        """Frames made and not yet taken."""
        return self._current.waiting if self._current else 0

    async def start(self) -> None:
        """Start a studio and wait until it has its models. Raises UserError where it says what is missing."""
        self._current = await self._new()
        await self._first_word

    def begin(self) -> None:
        """The sound begins."""
        self._go()
        self._stand_by()

    def heard(self) -> None:
        """A frame of sound has been written."""
        if self._current and self._began:
            self._current.wake()
            patience = HUNG_AFTER_WITH_SPARE if self._was_live and self.spare_ready else HUNG_AFTER
            if self._sound.written - self._progress > patience:
                self._current.stop()
                self._gone(self._current, Failed(f"made nothing for {patience} frames", mistake=False))

    def set(self, changes: Mapping[str, Any], moment: Moment = "frame") -> None:
        """Change some parameters of all studios."""
        self.params = self.params.model_copy(update=dict(changes))
        for studio in (self._current, self._spare):
            if studio:
                studio.set(changes, moment if studio is self._current else "frame")

    def set_lead(self, frames: int) -> None:
        """Dance so far ahead of the music from now on."""
        self.lead = frames
        if self._current and self._began:
            self._current.set_lead(frames)

    async def stop(self) -> None:
        """End all processes."""
        for task in list(self._tasks):
            task.cancel()
        studios = [studio for studio in (self._current, self._spare) if studio]
        self._current = self._spare = None
        for studio in studios:
            studio.stop()
        await asyncio.gather(*(studio.join() for studio in studios))

    async def _new(self) -> Handle:
        handle: Handle = self._handle(
            self._config, self.params, self._sound, Calls(self._ready, self._take, self._gone)
        )
        await handle.start()
        return handle

    def _go(self) -> None:
        assert self._current
        self._began, self._was_live, self._progress = True, False, self._sound.written
        if not self._rows:
            self._current.go(Go(0, self.lead))
            return
        danced, tokens = (np.stack(rows) for rows in zip(*self._rows, strict=True))
        self._current.go(Go(max(self.newest + 1 - self.lead, 0), self.lead, danced, tokens, self._beat))

    def _ready(self, studio: Handle) -> None:
        self.info = studio.info
        if not self._first_word.done():
            self._first_word.set_result(None)
        elif studio is self._current:
            self._go()
            self._stand_by()

    def _take(self, studio: Handle, frame: StudioFrame) -> None:
        if studio is not self._current or frame.index <= self.newest:
            return
        self._progress, self.newest, self._beat = self._sound.written, frame.index, frame.beat.beat
        self._was_live |= self.live
        self._rows.append((frame.danced, frame.tokens))
        if len(self._rows) % HISTORY == 0 and self.live:
            self._pause = PAUSE_FIRST
        self._made(frame)

    def _gone(self, studio: Handle, failed: Failed) -> None:
        if not self._first_word.done():
            error = UserError(failed.reason if failed.mistake else f"the studio cannot start: {failed.reason}")
            self._first_word.set_exception(error)
            return
        if studio is self._spare:
            log.warning("studio: the spare is gone (%s)", failed.reason)
            self._spare = None
            self._later(self._replace_spare())
        elif studio is self._current:
            self.replaced += 1
            log.warning("studio: lost at frame %d (%s); replacing it", self.newest, failed.reason)
            self._current, self._spare, self._began = self._spare, None, False
            if self._current is None:
                self._later(self._replace())
            elif self._current.info is not None:
                self._go()
                self._later(self._replace_spare())

    async def _replace(self) -> None:
        await asyncio.sleep(self._wait())
        self._current = await self._new()

    async def _replace_spare(self) -> None:
        await asyncio.sleep(self._wait())
        if self._config.spare and self._spare is None:
            self._spare = await self._new()

    def _stand_by(self) -> None:
        if self._config.spare and self._spare is None:
            self._later(self._replace_spare())

    def _wait(self) -> float:
        pause, self._pause = self._pause, min(2 * self._pause, PAUSE_MOST)
        return pause

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
