"""The show: owns the clock, the sound, the studios, the presenter and the parameters."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from engine.audio.meter import Meter
from engine.audio.source import Source
from engine.clock.show import ShowClock
from engine.config import Config, first_error
from engine.params import Change, Params
from engine.stage.frame import Outlet
from engine.stage.freerun import FreeRun
from engine.stage.lag import LoopLag
from engine.stage.presenter import Presenter
from engine.stage.studios import Studios
from engine.studio.frame import StudioFrame, beat_at
from engine.studio.shared import SoundRing
from xdancer.errors import UserError
from xdancer.music.frame import FPS, BeatState

log = logging.getLogger(__name__)
NOT_YET = 0.005  # seconds until a source that could not give sound is asked again
STALLED = 0.5  # seconds behind at which the clock gives up catching up: the machine slept
INEXACT = ("audio", "held")
FREE_QUEUE = 8  # frames of a free run on their way; more are not drawn


class Show:
    """One show. Made on a running event loop; outlets are added before `run`.

    `outlets` get every frame. `listeners` are called with the parameters after each change. `session` names this run.
    """

    def __init__(
        self, config: Config, source: Source, studios: Callable[..., Studios] = Studios, draw: Any = None
    ) -> None:
        self.config, self.source = config, source
        self.session = secrets.token_hex(4)
        self.outlets: list[Outlet] = []
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        self.started = asyncio.Event()  # the studio has its models, the sound has begun
        self.beat = BeatState()
        self.meter = Meter()
        self.clock = ShowClock(config.clock)
        self.sound = SoundRing()
        self.presenter = Presenter(config, self.sound, self.outlets)
        self.studios = studios(config, self.sound, self._made)
        self.lag = LoopLag()
        self._params = config.params()
        self._apply = "frame"
        self._spent = np.zeros(3)
        self._free = FreeRun()
        self._free_queue: asyncio.Queue[int] = asyncio.Queue(FREE_QUEUE)
        self._draw = draw

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as clients see them, with the `apply` of the last change."""
        return {**self._params.model_dump(), "apply": self._apply}

    @property
    def models(self) -> dict[str, Any]:
        """Which models dance: tokenizer, tokenizer_sha256, receptive_field, choreographer, styles. Once `started`."""
        return dict(self.studios.info or {})

    def set_params(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change some parameters, taking hold as `apply` (frame, beat, bar) says; returns all of them.

        Raises UserError, one line, where a name or value is wrong.
        """
        try:
            change = Change.model_validate(changes)
        except ValidationError as error:
            raise UserError(f"params: {first_error(error, Change)}") from None
        styles = self.models.get("styles", [])
        if change.style is not None and self.studios.info and change.style not in styles:
            raise UserError(f"params: style: there is no {change.style!r}, only {', '.join(styles) or 'none'}")
        if change.renderer == "diffusion":
            raise UserError("params: renderer: diffusion is not in this version")
        given = {name: getattr(change, name) for name in change.model_fields_set if name != "apply"}
        if "clock" in given:
            self.clock.follow(change.clock)
        if "tempo" in given:
            self.clock.fixed.set(change.tempo)
        self._params, self._apply = self._params.model_copy(update=given), change.apply
        self.studios.set(Params(**self._params.model_dump()), change.apply)
        for listener in self.listeners:
            listener(self.params)
        return self.params

    def tap(self) -> dict[str, Any]:
        """The beat is now: for a hand that taps along. Returns what the clocks make of it."""
        self.clock.tap.tap(asyncio.get_running_loop().time())
        return self.clock.state()

    def state(self) -> dict[str, Any]:
        """How the show is doing: for /api/state, the readout and the metrics."""
        presenter, studios = self.presenter, self.studios
        music, dance, picture = (round(1000 * float(seconds), 2) for seconds in self._spent)
        return {
            "show": self.config.show,
            "session": self.session,
            "t": self.sound.written / FPS,
            "frame": self.sound.written,
            "source": {"name": self.source.label, "status": self.source.status, **self.meter.state()},
            "tempo": round(self.beat.tempo, 2),
            "beat": self.beat.beat,
            "beat_in_bar": self.beat.beat_in_bar,
            "beats_per_bar": self.beat.beats_per_bar,
            "beat_phase": round(self.beat.beat_phase, 3),
            "confidence": round(self.beat.confidence, 3),
            "clock": {"source": self.beat.source, "exact": self.beat.source not in INEXACT, **self.clock.state()},
            "level": round(self.meter.level, 1),
            "presentation": self.config.presentation,
            "delay_ms": round(1000 * presenter.delay),
            "pipeline_ms": round(1000 * presenter.behind, 1),
            "frames": {
                "made": presenter.made,
                "shown": presenter.shown,
                "repeated": presenter.repeated,
                "dropped": presenter.dropped,
            },
            "queues": {"studio": studios.waiting, "presenter": presenter.waiting, "free_run": self._free_queue.qsize()},
            "studio": {
                "status": studios.status,
                "replaced": studios.replaced,
                "spare": studios.spare_ready,
                "music_ms": music,
                "dance_ms": dance,
                "picture_ms": picture,
                **self.models,
            },
            "loop_lag_p99_ms": round(1000 * self.lag.p99, 2),
            "params": self.params,
        }

    async def run(self) -> None:
        """Run until cancelled. Raises UserError where the show cannot begin."""
        try:
            self.source.start()
            self.clock.start()
            await self.studios.start()
            async with asyncio.TaskGroup() as tasks:
                for work in (self._feed(), self.presenter.run(), self._free_run(), self.lag.run()):
                    tasks.create_task(work)
        finally:
            self.source.close()
            self.clock.stop()
            await self.studios.stop()

    async def _feed(self) -> None:
        """The show clock: one frame of sound after the other, at the pace of the source."""
        loop = asyncio.get_running_loop()
        block = await self._pull()
        self.studios.begin()
        self.started.set()
        at = loop.time()
        while True:
            self._hear(block, at)
            at += (1 - self.source.skew()) / FPS
            await asyncio.sleep(max(0.0, at - loop.time()))
            block = await self._pull()
            if loop.time() - at > STALLED:
                log.warning("clock: stood still for %.1f s", loop.time() - at)
                at = loop.time()

    async def _pull(self) -> np.ndarray:
        while True:
            block = self.source.pull()
            if block is not None:
                return block
            await asyncio.sleep(NOT_YET)

    def _hear(self, block: np.ndarray, at: float) -> None:
        index = self.sound.written
        self.meter.push(block)
        self.sound.write(block, self.clock.beat(index, at))
        self.presenter.heard(index, at)
        self.studios.heard()
        if self.studios.missed:
            for frame in range(max(self.presenter.newest + 1, index - FREE_QUEUE), index + 1 + self.config.lead):
                if not self._free_queue.full():
                    self._free_queue.put_nowait(frame)

    def _made(self, frame: StudioFrame) -> None:
        self._spent += 0.05 * (np.array(frame.spent) - self._spent)
        self._free.remember(frame)
        if frame.index > self.presenter.newest:
            self.beat = frame.beat
        self.presenter.arrived(frame, frame.tokens)

    async def _free_run(self) -> None:
        """Draw what is danced while no studio dances, in a thread."""
        while True:
            index = await self._free_queue.get()
            if index <= self.presenter.newest:
                continue
            pose, last = self._free.frame(index)
            beat = beat_at(last.beat, index - last.index) if last else BeatState()
            picture = None
            if not self._params.blackout:
                picture = await asyncio.to_thread(self._picture, pose, beat.beat_phase)
            row = np.zeros((5, 6), np.int16)
            free = StudioFrame(index, row, row, pose, beat, self.meter.level, picture)
            self.presenter.arrived(free, None)

    def _picture(self, pose: np.ndarray, beat_phase: float) -> np.ndarray:
        if self._draw is None:
            from xdancer.renderer import SkeletonRenderer

            self._draw = SkeletonRenderer(self.config.width, self.config.height).stream().draw
        picture: np.ndarray = self._draw(pose, beat_phase)
        return picture
