"""The show: owns the clock, the sound, the studios, the presenter and the parameters."""

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.audio.meter import Meter
from engine.audio.source import Source
from engine.clock.show import ShowClock
from engine.config import Config
from engine.control.performer import Performer
from engine.stage.frame import Outlet
from engine.stage.freerun import FreeRun
from engine.stage.lag import LoopLag
from engine.stage.metrics import Window, resident_mb
from engine.stage.person import Person
from engine.stage.presenter import Presenter
from engine.stage.studios import Studios
from engine.stage.wall import unix_time
from engine.studio.frame import StudioFrame, beat_at
from engine.studio.shared import SoundRing
from xdancer.music.frame import FPS, BeatState
from xdancer.pose.detector import standing

log = logging.getLogger(__name__)
NOT_YET = 0.005  # seconds until a source that could not give sound is asked again
STALLED = 0.5  # seconds behind at which the clock gives up catching up: the machine slept
SOURCE_COUNTERS = ("underruns", "reconnects")  # of sources that can run dry or break off
INEXACT = ("audio", "held")  # where a beat can come from that no exact clock gives
QUIET = 60.0  # seconds in which what has been said is not said again
FREE_QUEUE = 8  # frames of a free run on their way; more are not drawn


class Show:
    """One show. Made on a running event loop; outlets are added before `run`.

    `outlets` get every frame, `performer` has the parameters. `reports` add to `state`, each under its name. `session`
    names this run.
    """

    def __init__(
        self,
        config: Config,
        source: Source,
        studios: Callable[..., Studios] = Studios,
        draw: Any = None,
        person: Callable[..., Person] = Person,
    ) -> None:
        self.config, self.source = config, source
        self.session = secrets.token_hex(4)
        self.outlets: list[Outlet] = []
        self.reports: dict[str, Callable[[], dict[str, Any]]] = {}
        self.stalls = 0  # times that the clock stood still
        self._quiet_until = 0.0
        self.started = asyncio.Event()  # the studio has its models, the sound has begun
        self.beat = BeatState()
        self.meter = Meter()
        self.clock = ShowClock(config)
        self.sound = SoundRing()
        self.presenter = Presenter(config, self.sound, self.outlets)
        self.studios = studios(config, self.sound, self._made)
        self.studios.set_lead(self.presenter.lead.frames)
        self.lag = LoopLag()
        self.latency = {stage: Window() for stage in ("music", "dance", "picture")} | self.presenter.latency
        self.performer = Performer(config, self.studios.set, self._styles)
        self.person = person(config, self.presenter, self.performer.references, self._arrived, self._slow)
        self.performer.tapped = self.clock.tap.tap
        if self.presenter.anticipates:
            self.performer.listeners.append(self._trim)
        self._spent = np.zeros(3)
        self._free = FreeRun()
        self._free_queue: asyncio.Queue[int] = asyncio.Queue(FREE_QUEUE)
        self._draw = draw

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as clients see them, with the `apply` of the last change."""
        return self.performer.params

    @property
    def models(self) -> dict[str, Any]:
        """Which models dance: tokenizer, tokenizer_sha256, receptive_field, choreographer, styles. Once `started`."""
        return dict(self.studios.info or {})

    def set_params(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """As `Performer.set`."""
        return self.performer.set(changes)

    def delivered(self, seconds: float) -> None:
        """A viewer has seen a frame so many seconds after it left."""
        self.presenter.lead.reported(seconds)

    def state(self) -> dict[str, Any]:
        """How the show is doing: for /api/state, the readout and the metrics."""
        presenter, studios = self.presenter, self.studios
        pids = {"stage": os.getpid(), **studios.pids}
        if self.person.painter.pid is not None:
            pids["painter"] = self.person.painter.pid
        music, dance, picture = (round(1000 * float(seconds), 2) for seconds in self._spent)
        return {
            "show": self.config.show,
            "session": self.session,
            "t": self.sound.written / FPS,
            "now": unix_time(),
            "frame": self.sound.written,
            "source": {
                "name": self.source.label,
                "status": self.source.status,
                **{name: getattr(self.source, name) for name in SOURCE_COUNTERS if hasattr(self.source, name)},
                **self.meter.state(),
            },
            "clock": {
                "source": self.beat.source,
                "exact": self.beat.source not in INEXACT,
                "confidence": round(self.beat.confidence, 3),
                "sources": self.clock.state(),
                "stalls": self.stalls,
            },
            "tempo": round(self.beat.tempo, 2),
            "beat": self.beat.beat,
            "beat_in_bar": self.beat.beat_in_bar,
            "beats_per_bar": self.beat.beats_per_bar,
            "beat_phase": round(self.beat.beat_phase, 3),
            "confidence": round(self.beat.confidence, 3),
            "level": round(self.meter.level, 1),
            "presentation": self.config.presentation,
            "delay_ms": round(1000 * presenter.delay),
            "pipeline_ms": round(1000 * presenter.behind, 1),
            "lead": self.studios.lead,
            "delivery_ms": round(1000 * presenter.lead.delivery),
            "frames": {
                "made": presenter.made,
                "shown": presenter.shown,
                "repeated": presenter.repeated,
                "dropped": presenter.dropped,
                "late": presenter.late,
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
            "person": self.person.state(),
            "latency": {stage: window.state() for stage, window in self.latency.items()},
            "loop_lag": self.lag.window.state(),
            "loop_lag_p99_ms": round(1000 * self.lag.p99, 2),
            "pids": pids,
            "memory_mb": resident_mb(pids),
            **self.performer.state(),
            **{name: report() for name, report in self.reports.items()},
        }

    def _trim(self, params: Mapping[str, Any]) -> None:
        self.presenter.delay = params["trim_ms"] / 1000

    def _styles(self) -> list[str] | None:
        return None if self.studios.info is None else list(self.studios.info.get("styles", []))

    async def run(self) -> None:
        """Run until cancelled. Raises UserError where the show cannot begin."""
        try:
            self.source.start()
            self.clock.start()
            self.person.start()
            await self.studios.start()
            async with asyncio.TaskGroup() as tasks:
                works = (self._feed(), self.presenter.run(), self._free_run(), self.person.run(), self.lag.run())
                for work in works:
                    tasks.create_task(work)
        finally:
            self.source.close()
            self.clock.stop()
            await self.person.stop()
            await self.studios.stop()
            self.performer.references.close()

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
                self._stalled(loop.time() - at)
                at = loop.time()

    def _stalled(self, seconds: float) -> None:
        """Count it, and say so unless it has just been said."""
        self.stalls += 1
        now = asyncio.get_running_loop().time()
        if now > self._quiet_until:
            log.warning("clock: stood still for %.1f s; the machine slept, or has too much to do", seconds)
            self._quiet_until = now + QUIET

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
            for frame in range(max(self.presenter.newest + 1, index - FREE_QUEUE), index + 1 + self.studios.lead):
                if not self._free_queue.full():
                    self._free_queue.put_nowait(frame)

    def _made(self, frame: StudioFrame) -> None:
        self._spent += 0.05 * (np.array(frame.spent) - self._spent)
        for stage, seconds in zip(("music", "dance", "picture"), frame.spent, strict=True):
            if seconds:
                self.latency[stage].push(seconds)
        self._free.remember(frame)
        if frame.index > self.presenter.newest:
            self.beat, self.performer.active = frame.beat, frame.params
            self.clock.follow(frame.params.clock, frame.params.tempo)
        self.person.push(frame, frame.tokens)

    def _arrived(self, frame: StudioFrame, tokens: np.ndarray) -> None:
        """The frame has its picture."""
        behind, lead = self.presenter.arrived(frame, tokens), self.presenter.lead
        if behind is not None and self.studios.live and lead.came(behind, self.presenter.delay):
            self.studios.set_lead(lead.frames)

    def _slow(self, seconds: float) -> None:
        """The person's pictures come so much too late."""
        if not self.presenter.anticipates:
            self.presenter.wait_longer(seconds, "the person is drawn late")
        elif self.presenter.lead.raise_by(seconds):
            self.studios.set_lead(self.presenter.lead.frames)

    async def _free_run(self) -> None:
        """Draw what is danced while no studio dances, in a thread."""
        await self.started.wait()
        if self._draw is None:  # before it is needed: who stands in at once has no time to get ready
            self._draw = await asyncio.to_thread(_skeleton, self.config.width, self.config.height)
        while True:
            index = await self._free_queue.get()
            if index <= self.presenter.newest:
                continue
            pose, last = self._free.frame(index)
            beat = beat_at(last.beat, index - last.index) if last else BeatState()
            picture = None
            dark = self.performer.wanted.blackout  # the one parameter that needs no studio
            self.performer.active = self.performer.active.model_copy(update={"blackout": dark})
            if not dark:
                picture = await asyncio.to_thread(self._draw, pose, beat.beat_phase)
            row = np.zeros((5, 6), np.int16)
            free = StudioFrame(index, row, row, pose, beat, self.meter.level, picture)
            self.presenter.arrived(free, None)


def _skeleton(width: int, height: int) -> Callable[[np.ndarray, float], np.ndarray]:
    """What draws a skeleton; the libraries for that are large, and loaded here."""
    from xdancer.renderer import SkeletonRenderer

    renderer = SkeletonRenderer(width, height)
    renderer.stream().draw(standing(), 0.0)
    return renderer.stream().draw
