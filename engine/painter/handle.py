"""The painter's process, as the stage holds it: begun anew where it dies."""

import asyncio
import contextlib
import logging
import select
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.config import Config
from engine.painter import process
from engine.painter.process import Frames, Paint, Wear, Working
from engine.painter.shared import Painting, PictureRing
from engine.studio.process import Failed
from engine.studio.shared import context

log = logging.getLogger(__name__)
PAUSE_FIRST, PAUSE_MOST = 0.5, 30.0  # seconds before it is begun again, doubled while it dies at once


class PainterProcess:
    """From `start` to `stop`. `painted` is called with each picture, on the event loop.

    status: for people. working: how it draws, None while it does not. replaced: times it had to be begun again.
    """

    def __init__(self, config: Config, painted: Callable[[Painting], None], frames: int) -> None:
        self.status = "off"
        self.working: Working | None = None
        self.replaced = 0
        self.skipped = 0  # frames it was not told of, for it did not listen
        self._config, self._painted, self._frames = config, painted, frames
        self._wanted: Path | None = None
        self._process: Any = None
        self._pause = PAUSE_FIRST
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Begin, where it has not begun yet; never waits."""
        if self._task is None and self._process is None:
            self.status = "starting"
            self._task = asyncio.create_task(self._begin(0.0), name="painter")

    def paint(self, index: int, tokens: np.ndarray, pose: np.ndarray) -> None:
        """The next frame of the dance; one that the process has no ear for is left out."""
        if self.working is None:
            return
        if not self._send(Paint(index, tokens, pose)):
            self.skipped += 1

    def wear(self, picture: Path | None) -> None:
        """Draw another person from now on; None: the one that the show began with."""
        if picture != self._wanted:
            self._wanted = picture
            if self.working is not None:
                self._send(Wear(picture))

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
        ended = self._process
        self._end()
        self.status = "off"
        if ended is not None:
            await asyncio.to_thread(ended.join, 2.0)

    async def _begin(self, wait: float) -> None:
        await asyncio.sleep(wait)
        await asyncio.to_thread(self._spawn)  # some 30 ms that the event loop does not have
        self._writable = select.poll()
        self._writable.register(self._pipe.fileno(), select.POLLOUT)
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._on_message)
        self._send(Frames(self._frames))
        if self._wanted is not None:
            self._send(Wear(self._wanted))
        self._task = None

    def _spawn(self) -> None:
        self._ring = PictureRing(self._config.width, self._config.height)
        self._pipe, theirs = context.Pipe()
        arguments = (self._config, theirs, self._ring)
        self._process = context.Process(target=process.main, args=arguments, name="painter", daemon=True)
        self._process.start()
        theirs.close()
        self._failed: Failed | None = None

    def _send(self, message: Paint | Wear | Frames) -> bool:
        if self._process is None or not self._writable.poll(0):
            return False
        with contextlib.suppress(OSError):  # it has gone, which the reader notices
            self._pipe.send(message)
        return True

    def _on_message(self) -> None:
        try:
            while self._process is not None and self._pipe.poll():
                message = self._pipe.recv()
                if message is None:
                    self._pause = PAUSE_FIRST
                    for painting in self._ring.take():
                        self._painted(painting)
                elif isinstance(message, Working):
                    self.working, self.status = message, "painting"
                elif isinstance(message, Failed):
                    self._failed = message
        except (EOFError, OSError):
            self._lost()

    def _lost(self) -> None:
        failed = self._failed or Failed("its process ended", mistake=False)
        self._end()
        self.replaced += 1
        self.status = f"waiting: {failed.reason}" if failed.mistake else "replacing"
        log.warning("painter: lost (%s); beginning it again in %.1f s", failed.reason, self._pause)
        self._task = asyncio.create_task(self._begin(self._pause), name="painter")
        self._pause = min(2 * self._pause, PAUSE_MOST)

    def _end(self) -> None:
        if self._process is None:
            return
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self._pipe.close()
        self._process.kill()
        self._process = self.working = None
