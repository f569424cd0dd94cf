"""A studio process, as the stage holds it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.config import Config
from engine.params import MOMENTS, Moment, Params, Wishes
from engine.studio import process
from engine.studio.frame import StudioFrame
from engine.studio.process import Go, Ready, SetLead, SetParams
from engine.studio.shared import FrameRing, SoundRing
from engine.worker import Failed, Worker, context


@dataclass(frozen=True)
class Calls:
    """What the stage wants to hear of a studio; all of it is called on the event loop."""

    ready: Callable[["StudioProcess"], None]
    made: Callable[["StudioProcess", StudioFrame], None]
    gone: Callable[["StudioProcess", Failed], None]


class StudioProcess:
    """Starts on `start`, loads its models, then waits for `go`. `info` is there once it is ready."""

    def __init__(self, config: Config, params: Params, sound: SoundRing, calls: Calls) -> None:
        self.info: dict[str, Any] | None = None
        self._config, self._params, self._sound, self._calls = config, params, sound, calls
        self._worker = Worker("studio", process.main, self._hear, lambda failed: calls.gone(self, failed))
        # Not sent yet; a later wish or lead takes the place of an earlier one.
        self._wishes = Wishes()
        self._word: Go | None = None
        self._lead: SetLead | None = None

    async def start(self) -> None:
        """Make the process; returns as soon as it runs."""
        self._frames = await asyncio.to_thread(FrameRing, self._config.width, self._config.height)
        self._heard = context.Semaphore(0)
        await self._worker.start(self._config, self._params, self._sound, self._frames, self._heard)

    @property
    def pid(self) -> int | None:
        return self._worker.pid

    @property
    def waiting(self) -> int:
        """Frames made and not yet taken."""
        return self._frames.waiting

    def go(self, go: Go) -> None:
        """Begin."""
        self._word = go
        self._deliver()
        self._heard.release()

    def wake(self) -> None:
        """A frame of sound has been written."""
        self._deliver()
        self._heard.release()

    def set(self, changes: Mapping[str, Any], moment: Moment) -> None:
        """Change some parameters."""
        self._wishes.put(changes, moment)
        self._deliver()

    def set_lead(self, frames: int) -> None:
        """Dance so far ahead of the music from now on."""
        self._lead = SetLead(frames)
        self._deliver()

    def stop(self) -> None:
        """End the process, even one that hangs; nothing is heard of it any more."""
        self._worker.end()

    async def join(self) -> None:
        """Wait until a stopped process has ended."""
        await self._worker.join()

    def _deliver(self) -> None:
        """As much as the pipe takes."""
        for moment in MOMENTS:
            if self._wishes and self._worker.room and (changes := self._wishes.take([moment])):
                self._worker.send(SetParams(changes, moment))
        if self._word and self._worker.send(self._word):
            self._word = None
        if self._lead and not self._word and self._worker.send(self._lead):
            self._lead = None

    def _hear(self, message: Any) -> None:
        if message is None:
            for frame in self._frames.take():
                self._calls.made(self, frame)
        elif isinstance(message, Ready):
            self.info = message.info
            self._calls.ready(self)
