"""An event loop on which an hour takes no time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
EPOCH = 1_700_000_000.0


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
    """Time passes only where everybody waits. Threads take none: their work is done at once."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self.set_by = 0.0  # seconds by which somebody has set the wall clock
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def unix_time(self) -> float:
        """The wall clock (engine.stage.wall)."""
        return EPOCH + self._jumping.now + self.set_by

    def sleep_through(self, seconds: float) -> None:
        """The machine sleeps: time passes, and nothing runs."""
        self._jumping.now += seconds

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
