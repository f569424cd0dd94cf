"""A process beside the stage, with a pipe to it: how the stage holds one, and how the work in it ends."""

import asyncio
import contextlib
import multiprocessing
import select
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from xdancer.errors import UserError

context: SpawnContext = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Failed:
    """The process cannot work, in one line. `mistake`: a person can do something about it."""

    reason: str
    mistake: bool


class GivenUp(Exception):
    """The work ends, and another process goes on with it; the message is for people."""


def serve(pipe: Connection, work: Callable[[], None]) -> None:
    """Do a process's `work` until it is done or the stage has gone; what ends it otherwise is told through the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the stage says when to stop
    try:
        work()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the stage has gone
    except GivenUp as reason:
        _say(pipe, Failed(str(reason), mistake=False))
        sys.exit(1)
    except UserError as error:
        _say(pipe, Failed(str(error), mistake=True))
        sys.exit(2)
    except Exception as error:
        traceback.print_exc()
        _say(pipe, Failed(f"{type(error).__name__}: {error}", mistake=False))
        sys.exit(1)


def _say(pipe: Connection, message: Failed) -> None:
    with contextlib.suppress(OSError):  # the stage has gone
        pipe.send(message)


class Worker:
    """The process as the stage holds it, on the event loop.

    It runs `main(pipe, *arguments)`. `hear` is called with each message from it, `lost` once where it ends by itself.
    """

    def __init__(
        self, name: str, main: Callable[..., None], hear: Callable[[Any], None], lost: Callable[[Failed], None]
    ) -> None:
        self._name, self._main, self._hear, self._lost = name, main, hear, lost
        self._process: SpawnProcess | None = None
        self._failed = Failed("its process ended", mistake=False)
        self._ended = False

    async def start(self, *arguments: Any) -> None:
        """Make the process; returns as soon as it runs."""
        await asyncio.to_thread(self._spawn, arguments)  # some 30 ms that the event loop does not have
        if self._ended:
            return
        self._writable = select.poll()
        self._writable.register(self._pipe.fileno(), select.POLLOUT)
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._on_message)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def room(self) -> bool:
        """Whether the pipe takes a message. A process that is busy, or hangs, does not read; nobody waits for it."""
        return not self._ended and bool(self._writable.poll(0))

    def send(self, message: Any) -> bool:
        """Tell it something; False where there is no room."""
        if not self.room:
            return False
        with contextlib.suppress(OSError):  # it has gone, which the reader notices
            self._pipe.send(message)
        return True

    def end(self) -> None:
        """End the process, even one that hangs; nothing is heard of it any more."""
        if self._ended:
            return
        self._ended = True
        if self._process is None:  # not made yet: whoever makes it sees to it
            return
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self._pipe.close()
        self._process.kill()  # it has nothing to put away, and one that is stopped does not hear SIGTERM

    async def join(self) -> None:
        """Wait until a process that was told to end has ended."""
        if self._process is not None:
            await asyncio.to_thread(self._process.join, 2.0)

    def _spawn(self, arguments: tuple[Any, ...]) -> None:
        self._pipe, theirs = context.Pipe()
        made = context.Process(target=self._main, args=(theirs, *arguments), name=self._name, daemon=True)
        made.start()
        theirs.close()
        self._process = made
        if self._ended:
            self._pipe.close()
            made.kill()

    def _on_message(self) -> None:
        try:
            while not self._ended and self._pipe.poll():
                message = self._pipe.recv()
                if isinstance(message, Failed):
                    self._failed = message
                else:
                    self._hear(message)
        except (EOFError, OSError):
            if not self._ended:
                self.end()
                self._lost(self._failed)
