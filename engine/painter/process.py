"""The painter's process: the diffusion renderer and what it takes of the machine, apart from sound and dance.

It is told through a pipe what to paint; a frame that nobody can be waiting for any more is left out.
"""

import contextlib
import os
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.config import Config
from engine.painter.shared import PictureRing
from engine.worker import serve
from xdancer.errors import UserError

if TYPE_CHECKING:
    from engine.painter.painter import Painter

NICE = 5  # sound, dance and viewers go first
PATIENCE = 0.5  # seconds between looks at whether the stage is still there
SOON = 0.05  # and at whether another person is ready


@dataclass(frozen=True)
class Paint:
    """Frame `index` of the dance: tokens (5, 6), pose (60, 3)."""

    index: int
    tokens: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True)
class Wear:
    """Draw another person from now on; None: the one that the configuration names, or the weights bring along."""

    picture: Path | None


@dataclass(frozen=True)
class Frames:
    """How many frames a picture may wait for."""

    count: int


@dataclass(frozen=True)
class Working:
    """The painter draws, by this setting. `trouble`: why a picture was not taken, or what is only guessed about it."""

    levels: int
    stride: int
    trouble: str | None


def main(pipe: Connection, config: Config, pictures: PictureRing) -> None:
    """Run until the stage closes the pipe."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    serve(pipe, lambda: _Work(config, pipe, pictures).run())


class _Work:
    def __init__(self, config: Config, pipe: Connection, pictures: PictureRing) -> None:
        from engine.painter.models import make_painter
        from engine.painter.pace import Pace

        self._stage = os.getppid()
        self._config, self._pipe, self._pictures = config, pipe, pictures
        self._painter: Painter = make_painter(config)
        self._passes = self._painter.renderer.passes
        self._pace = Pace(passes=self._passes)
        self._trouble = GUESSED if self._painter.renderer.guessed else None
        self._waiting: deque[Paint] = deque()
        # To look at a picture takes a second or two, while whoever was there dances on.
        self._dressing_room = ThreadPoolExecutor(1, thread_name_prefix="wear")
        self._dressing: deque[Future[None]] = deque()

    def run(self) -> None:
        self._report()
        while os.getppid() == self._stage:
            self._hear()
            self._look_who_is_ready()
            if self._waiting:
                self._paint(self._waiting.popleft())

    def _hear(self) -> None:
        """All that the stage has said; waits where there is nothing to do."""
        idle = SOON if self._dressing else PATIENCE
        while self._pipe.poll(0 if self._waiting else idle):
            message = self._pipe.recv()
            if isinstance(message, Paint):
                self._waiting.append(message)
                if len(self._waiting) > self._pace.frames:  # nobody waits for the picture of the first any more
                    self._waiting.clear()
                    self._waiting.append(message)
            elif isinstance(message, Wear):
                self._wear(message.picture)
            elif isinstance(message, Frames) and message.count != self._pace.frames:
                self._pace = type(self._pace)(message.count, self._passes)
                self._change()

    def _paint(self, frame: Paint) -> None:
        painter = self._painter
        try:
            painted = painter.push(frame.index, frame.tokens, frame.pose)
        except (RuntimeError, MemoryError) as error:
            return self._make_do(error)
        for painting in painted:
            while not self._pictures.put(painting, PATIENCE):
                if os.getppid() != self._stage:
                    return
        if painted:
            self._pipe.send(None)  # there is something in the ring
            if self._pace.took(painter.spent, time.monotonic()) != painter.setting:
                self._change()

    def _change(self) -> None:
        self._painter.change(self._pace.setting)
        self._report()

    def _make_do(self, error: Exception) -> None:
        """Where the memory was too little for a picture, draw smaller ones; whatever else was wrong is raised."""
        from engine.painter.models import short_of_memory

        smaller = self._painter.make_do() if short_of_memory(error) else None
        if smaller is None:
            raise error
        self._passes = 1
        self._pace = type(self._pace)(self._pace.frames, self._passes)
        self._trouble = f"too little memory: {smaller} from now on"
        self._change()

    def _wear(self, picture: Path | None) -> None:
        from engine.painter.models import wear

        self._dressing.append(self._dressing_room.submit(wear, self._painter.renderer, self._config, picture))

    def _look_who_is_ready(self) -> None:
        while self._dressing and self._dressing[0].done():
            try:
                self._dressing.popleft().result()
                self._trouble = GUESSED if self._painter.renderer.guessed else None
            except UserError as error:
                self._trouble = str(error)
            self._report()

    def _report(self) -> None:
        setting = self._painter.setting
        self._pipe.send(Working(setting.levels, setting.stride, self._trouble))


GUESSED = "no pose detector: the person is taken to stand upright; pip install 'xdancer[pose]'"
