"""A studio process, as the stage holds it."""

import asyncio
import contextlib
import logging
import select
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.config import Config
from engine.params import MOMENTS, Moment, Params, Wishes
from engine.studio import process
from engine.studio.frame import StudioFrame
from engine.studio.process import Failed, Go, Ready, SetLead, SetParams
from engine.studio.shared import FrameRing, SoundRing, context

log = logging.getLogger(__name__)


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
        # Not sent yet; a later wish or lead takes the place of an earlier one.
        self._wishes = Wishes()
        self._word: Go | None = None
        self._lead: SetLead | None = None
        self._failed: Failed | None = None
        self._gone = False

    async def start(self) -> None:
        """Make the process; returns as soon as it runs."""
        await asyncio.to_thread(self._spawn)  # some 30 ms that the event loop does not have
        self._writable = select.poll()
        self._writable.register(self._pipe.fileno(), select.POLLOUT)
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._on_message)

    @property
    def pid(self) -> int | None:
        return self._process.pid

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
        if self._gone:
            return
        self._gone = True
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self._pipe.close()
        self._process.kill()  # it has nothing to put away, and one that is stopped does not hear SIGTERM

    async def join(self) -> None:
        """Wait until a stopped process has ended."""
        await asyncio.to_thread(self._process.join, 2.0)

    def _spawn(self) -> None:
        self._frames = FrameRing(self._config.width, self._config.height)
        self._heard = context.Semaphore(0)
        self._pipe, theirs = context.Pipe()
        arguments = (self._config, self._params, theirs, self._sound, self._frames, self._heard)
        self._process = context.Process(target=process.main, args=arguments, name="studio", daemon=True)
        self._process.start()
        theirs.close()

    def _deliver(self) -> None:
        """As much as the pipe takes: a studio that loads its models, or hangs, does not read; nobody waits for it."""
        for moment in MOMENTS:
            if self._wishes and self._room() and (changes := self._wishes.take([moment])):
                self._send(SetParams(changes, moment))
        if self._word and self._room():
            self._send(self._word)
            self._word = None
        if self._lead and not self._word and self._room():
            self._send(self._lead)
            self._lead = None

    def _room(self) -> bool:
        return not self._gone and bool(self._writable.poll(0))

    def _send(self, message: Go | SetParams | SetLead) -> None:
        with contextlib.suppress(OSError):  # it has gone, which the reader notices
            self._pipe.send(message)

    def _on_message(self) -> None:
        try:
            while not self._gone and self._pipe.poll():
                message = self._pipe.recv()
                if message is None:
                    for frame in self._frames.take():
                        self._calls.made(self, frame)
                elif isinstance(message, Ready):
                    self.info = message.info
                    self._calls.ready(self)
                elif isinstance(message, Failed):
                    self._failed = message
        except (EOFError, OSError):
            self._lost()

    def _lost(self) -> None:
        if self._gone:
            return
        self.stop()
        self._calls.gone(self, self._failed or Failed("its process ended", mistake=False))
