"""A studio process, as the stage holds it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.config import Config
from engine.params import Moment, Params
from engine.studio import process
from engine.studio.frame import StudioFrame
from engine.studio.process import Failed, Go, Ready, SetParams
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
        self._failed: Failed | None = None
        self._gone = False

    async def start(self) -> None:
        """Make the process; returns as soon as it runs."""
        await asyncio.to_thread(self._spawn)  # some 30 ms that the event loop does not have
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
        self._send(go)
        self._heard.release()

    def wake(self) -> None:
        """A frame of sound has been written."""
        self._heard.release()

    def set(self, params: Params, moment: Moment) -> None:
        """Change the parameters."""
        self._send(SetParams(params, moment))

    def stop(self) -> None:
        """End the process; nothing is heard of it any more."""
        if self._gone:
            return
        self._gone = True
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self._pipe.close()
        self._process.terminate()

    async def join(self) -> None:
        """Wait until a stopped process has ended."""
        await asyncio.to_thread(self._process.join, 2.0)
        if self._process.is_alive():
            self._process.kill()

    def _spawn(self) -> None:
        self._frames = FrameRing(self._config.width, self._config.height)
        self._heard = context.Semaphore(0)
        self._pipe, theirs = context.Pipe()
        arguments = (self._config, self._params, theirs, self._sound, self._frames, self._heard)
        self._process = context.Process(target=process.main, args=arguments, name="studio", daemon=True)
        self._process.start()
        theirs.close()

    def _send(self, message: Go | SetParams) -> None:
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
