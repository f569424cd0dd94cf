"""The person in the show: the painter's process, and the frames that wait for its pictures."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.config import Config
from engine.control.references import References
from engine.painter.handle import PainterProcess
from engine.painter.shared import Painting
from engine.stage.easel import Easel
from engine.stage.presenter import Presenter
from engine.studio.frame import StudioFrame
from xdancer.errors import UserError
from xdancer.music.frame import FPS

MARGIN = 0.06  # seconds before a frame leaves by which it must have its picture: time to encode it
OFTEN = 0.1  # share of pictures too late at which the show has to wait longer for them
FEWEST = 3  # frames that a picture may wait for, in any show


class Person:
    """Passes frames on to `arrived`, each once and in order: at once where no person is wanted.

    `slow` is called with the seconds that pictures come too late, where too many do.
    """

    def __init__(
        self,
        config: Config,
        presenter: Presenter,
        references: References,
        arrived: Callable[[StudioFrame, np.ndarray], None],
        slow: Callable[[float], None],
        painter: Callable[..., Any] = PainterProcess,
    ) -> None:
        self.easel = Easel()
        spare = 60 / FPS if presenter.anticipates else config.delay_most_ms / 1000
        self.painter = painter(config, self._painted, max(FEWEST, int((spare - 0.4) * FPS)))
        self._config, self._presenter, self._references = config, presenter, references
        self._arrived, self._slow = arrived, slow
        self._reference: str | None = None
        self._news = asyncio.Event()

    def start(self) -> None:
        """Load the painter already where the show begins with the person."""
        if self._config.renderer == "diffusion":
            self.painter.start()

    async def stop(self) -> None:
        await self.painter.stop()

    def state(self) -> dict[str, Any]:
        """For /api/state: `stood_in` counts frames of the skeleton in the person's place."""
        working = self.painter.working
        return {
            "status": self.painter.status,
            "trouble": working.trouble if working else None,
            "levels": working.levels if working else 0,
            "stride": working.stride if working else 0,
            "replaced": self.painter.replaced,
            "stood_in": self.easel.stood_in,
            "skipped": self.painter.skipped,
            "waiting": len(self.easel),
        }

    def push(self, frame: StudioFrame, tokens: np.ndarray) -> None:
        """A frame that the studio has made."""
        if frame.params.renderer == "diffusion":
            self.painter.start()
            self._wear(frame.params.reference)
            self.painter.paint(frame.index, tokens, frame.pose)
        self.easel.put(frame, tokens)
        self._pass_on()

    async def run(self) -> None:
        """Let frames go whose time has come, for ever."""
        while True:
            first = self.easel.first()
            if first is None:
                self._news.clear()
                await self._news.wait()
                continue
            wait = self._deadline(first) - asyncio.get_running_loop().time()
            if wait > 0:
                await asyncio.sleep(min(wait, 1 / FPS))
            self._pass_on()

    def _pass_on(self) -> None:
        now = asyncio.get_running_loop().time()
        can_paint = self.painter.working is not None
        for frame, tokens in self.easel.take(lambda index: not can_paint or now >= self._deadline(index)):
            self._arrived(frame, tokens)
        self._news.set()

    def _painted(self, painting: Painting) -> None:
        late = asyncio.get_running_loop().time() - self._deadline(painting.index)
        self.easel.painted(painting, late)
        lateness = self.easel.late
        if len(lateness) == lateness.maxlen and sum(late > 0 for late in lateness) > OFTEN * len(lateness):
            self._slow(math.ceil(max(lateness) * FPS) / FPS)
            lateness.clear()
        self._pass_on()

    def _deadline(self, index: int) -> float:
        return self._presenter.leaves(index) - MARGIN

    def _wear(self, reference: str | None) -> None:
        if reference == self._reference:
            return
        self._reference = reference
        try:
            self.painter.wear(self._references.path(reference) if reference else None)
        except UserError:  # it has been forgotten since; whoever is on show stays
            return
