"""The painter's process, as the stage holds it: begun anew where it dies."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.config import Config
from engine.painter import process
from engine.painter.process import Frames, Paint, Wear, Working
from engine.painter.shared import Painting, PictureRing
from engine.worker import Failed, Worker

log = logging.getLogger(__name__)
PAUSE_FIRST, PAUSE_MOST = 0.5, 30.0  # seconds before it is begun again, doubled while it dies at once
AGAIN = 0.05  # seconds until it is told again what it had no ear for


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
        self._told: Path | None = None
        self._worker: Worker | None = None
        self._pause = PAUSE_FIRST
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._worker.pid if self._worker else None

    def start(self) -> None:
        """Begin, where it has not begun yet; never waits."""
        if self._task is None and self._worker is None:
            self.status = "starting"
            self._task = asyncio.create_task(self._begin(0.0), name="painter")

    def paint(self, index: int, tokens: np.ndarray, pose: np.ndarray) -> None:
        """The next frame of the dance; one that the process has no ear for is left out."""
        if self.working and self._worker and not self._worker.send(Paint(index, tokens, pose)):
            self.skipped += 1

    def wear(self, picture: Path | None) -> None:
        """Draw another person from now on; None: the one that the show began with."""
        self._wanted = picture
        self._tell()

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
        ended, self._worker, self.working = self._worker, None, None
        self.status = "off"
        if ended:
            ended.end()
            await ended.join()

    async def _begin(self, wait: float) -> None:
        await asyncio.sleep(wait)
        self._ring = await asyncio.to_thread(PictureRing, self._config.width, self._config.height)
        self._worker = worker = Worker("painter", process.main, self._hear, self._lost)
        await worker.start(self._config, self._ring)
        worker.send(Frames(self._frames))
        self._told, self._task = None, None

    def _hear(self, message: Any) -> None:
        if message is None:
            self._pause = PAUSE_FIRST
            for painting in self._ring.take():
                self._painted(painting)
        elif isinstance(message, Working):
            self.working, self.status = message, "painting"
            self._tell()

    def _tell(self) -> None:
        """Who is to be drawn, as soon as the process listens: frames can be left out, this cannot."""
        if self.working and self._worker and self._told != self._wanted:
            if self._worker.send(Wear(self._wanted)):
                self._told = self._wanted
            else:
                asyncio.get_running_loop().call_later(AGAIN, self._tell)

    def _lost(self, failed: Failed) -> None:
        self._worker = self.working = None
        self.replaced += 1
        self.status = f"waiting: {failed.reason}" if failed.mistake else "replacing"
        log.warning("painter: lost (%s); beginning it again in %.1f s", failed.reason, self._pause)
        self._task = asyncio.create_task(self._begin(self._pause), name="painter")
        self._pause = min(2 * self._pause, PAUSE_MOST)
