"""A show in virtual time, as fast as the machine goes: the real studio, stage and encoders in one process, without
network. What it makes does not depend on how busy the machine is, so that every frame is accounted for."""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from engine.audio.files import read_demo
from engine.config import Config, load
from engine.params import Moment, Params
from engine.soak.report import Check, order, slope, summary
from engine.soak.virtual import run_virtually
from engine.stage.frame import ShowFrame
from engine.stage.metrics import resident_mb
from engine.stage.show import Show
from engine.stage.studios import MISSED_AFTER, Studios
from engine.studio.handle import Calls
from engine.studio.models import Models, load_models
from engine.studio.process import Go, resume
from engine.studio.shared import SoundRing
from engine.studio.studio import Studio
from engine.web.broadcast import Broadcast, PacketTrack, Shape
from engine.worker import Failed
from xdancer.errors import UserError
from xdancer.music.frame import FPS, HOP

LOADING = 3.0  # seconds that a studio takes to load its models
MAKING = 0.02  # seconds that it takes for a frame
EVERY = 60.0  # seconds between one trouble and the next; a multiple of TICK
SETTLED = 0.25  # share of the soak after which memory is judged
MEMORY_MOST = 1.0  # MB a minute
TICK = 5.0  # seconds between looks
OPUS_FPS = 50
HUNG_MOST = MISSED_AFTER + 1  # frames late or repeated, until somebody else dances
FREE_MOST = 5.0  # per cent: while a studio hangs, until that is noticed
NONSENSE = ({"enrgy": 1}, {"energy": 3}, {"style": 7}, {"apply": "later"}, {"seed": "x"}, {"renderer": "oil"})


def run(minutes: float, settings: list[str], say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Soak for so many minutes of the show. Raises UserError where the weights cannot be loaded."""
    config = load(None, ["mqtt.url=off", *settings])
    models = load_models(config)

    async def soak() -> dict[str, Any]:
        return await Soak(config, models, say).run(60 * minutes)

    return run_virtually(soak())


class DemoSource:
    """The demo track, again and again, as fast as it is asked for."""

    label, status = "demo", "playing"

    def __init__(self) -> None:
        samples = np.concatenate(list(read_demo()))
        self._frames = samples[: len(samples) // HOP * HOP].reshape(-1, HOP, 2)
        self._next = 0

    def start(self) -> None:
        return

    def pull(self) -> np.ndarray:
        block: np.ndarray = self._frames[self._next % len(self._frames)]
        self._next += 1
        return block

    def skew(self) -> float:
        return 0.0

    def close(self) -> None:
        return


class InlineStudio:
    """In a studio process's place: the same work, done at once, that takes virtual time."""

    def __init__(self, models: Models, config: Config, params: Params, sound: SoundRing, calls: Calls) -> None:
        self.info: dict[str, Any] | None = None
        self.pid, self.waiting = None, 0
        self.hangs = False
        self._models, self._sound, self._calls = models, sound, calls
        self._made: Callable[..., None] = calls.made
        self._studio: Studio | None = Studio(models, params)
        self._position: int | None = None

    async def start(self) -> None:
        asyncio.get_running_loop().call_later(LOADING, self._loaded)

    def _loaded(self) -> None:
        if self._studio:
            self.info = self._models.info()
            self._calls.ready(self)  # type: ignore[arg-type]

    def go(self, go: Go) -> None:
        assert self._studio
        self._position = resume(self._studio, self._sound, go)
        self.wake()

    def wake(self) -> None:
        while self._studio and self._position is not None and self._position < self._sound.written and not self.hangs:
            place = (self._position, self._position + 1)
            for frame in self._studio.push(self._sound.read(*place), clock=self._sound.clock(*place)):
                asyncio.get_running_loop().call_later(MAKING, self._made, self, frame)
            self._position += 1

    def set(self, changes: Mapping[str, Any], moment: Moment) -> None:
        if self._studio:
            self._studio.set(changes, moment)

    def set_lead(self, frames: int) -> None:
        if self._studio:
            self._studio.lead = frames

    def die(self) -> None:
        """Be lost, as a process that was killed."""
        self._studio = None
        self._calls.gone(self, Failed("killed by the soak", mistake=False))  # type: ignore[arg-type]

    def stop(self) -> None:
        self._studio = None

    async def join(self) -> None:
        return


class Ledger:
    """An outlet that counts, and is in no hurry."""

    def __init__(self) -> None:
        self.made_frames: list[int] = []
        self.shown_frames: list[int] = []
        self.danced_frames: list[int] = []

    def made(self, frame: ShowFrame) -> None:
        self.made_frames.append(frame.index)
        if frame.tokens is not None:
            self.danced_frames.append(frame.index)

    def shown(self, frame: ShowFrame) -> None:
        self.shown_frames.append(frame.index)


class Soak:
    """One fast soak: a show, viewers who read and one who does not, and something that goes wrong every minute."""

    def __init__(self, config: Config, models: Models, say: Callable[[str], None]) -> None:
        self._say = say
        self._show = Show(config, DemoSource(), partial(Studios, handle=partial(InlineStudio, models)))
        self._broadcast = Broadcast(Shape(config.width, config.height))
        self._ledger = Ledger()
        self._show.outlets += [self._broadcast, self._ledger]
        self._sent: Counter[str] = Counter()
        self._taken = self._hung = 0

    async def run(self, seconds: float) -> dict[str, Any]:
        began = time.perf_counter()
        running = asyncio.create_task(self._show.run())
        viewers = [asyncio.create_task(self._watch(codec)) for codec in ("h264", "vp8", "opus")]
        idle = self._join("h264")
        await self._show.started.wait()
        memory: list[tuple[float, float]] = []
        second = 0.0
        while second < seconds:
            if second and second % EVERY == 0:
                self._trouble(int(second // EVERY))
            await asyncio.sleep(TICK)
            second += TICK
            memory.append((second, resident_mb({"stage": os.getpid()})["stage"]))
        await asyncio.sleep(1.0)  # what is on its way arrives
        state = self._show.state()
        assert not running.done(), running
        for task in (running, *viewers):
            task.cancel()
        await asyncio.gather(running, *viewers, return_exceptions=True)
        self._broadcast.close()
        return self._report(seconds, state, memory, idle.dropped, time.perf_counter() - began)

    async def _watch(self, codec: str) -> None:
        track = self._join(codec)
        while True:
            await track.recv()
            self._sent[codec] += 1

    def _join(self, codec: str) -> PacketTrack:
        track = self._broadcast.track("audio" if codec == "opus" else "video")
        self._broadcast.join(track, codec)
        return track

    def _trouble(self, number: int) -> None:
        """Studios die and hang in turn, guests come and go, and somebody plays with the knobs."""
        studio: Any = self._show.studios._current
        if studio is not None:
            self._say(f"{EVERY * number:6.0f} s  studio {'hangs' if number % 2 else 'killed'}")
            if number % 2:
                studio.hangs = True
                self._hung += 1
            else:
                studio.die()
        for _ in range(50):
            self._broadcast.leave(self._join("h264"))
            self._show.set_params({"energy": number % 10 / 10, "apply": "bar"})
            for nonsense in NONSENSE:
                with contextlib.suppress(UserError):
                    self._show.set_params(nonsense)
                    self._taken += 1

    def _report(
        self, seconds: float, state: dict[str, Any], memory: list[tuple[float, float]], idle: int, took: float
    ) -> dict[str, Any]:
        ledger = self._ledger
        settled = [(at, size) for at, size in memory if at >= SETTLED * seconds]
        growth = 60 * slope(*zip(*settled, strict=True))
        strikes = max(0, int((seconds - TICK) // EVERY))
        missed = state["frames"]["late"] + state["frames"]["repeated"]
        pictures = self._sent["h264"] + self._sent["vp8"]
        holes = ledger.shown_frames[-1] + 1 - len(ledger.shown_frames)
        checks = [
            Check("frames shown", len(ledger.shown_frames), None),
            Check("frames heard and not shown", state["frame"] - len(ledger.shown_frames), FPS, "frames"),
            Check("frames left out of the show", holes, 0),
            Check("frames shown out of order or twice", order(ledger.shown_frames), 0),
            Check("frames made out of order or twice", order(ledger.made_frames), 0),
            Check("frames late or repeated while a studio was there", missed - HUNG_MOST * self._hung, 0),
            Check(
                "frames without tokens", 100 * (1 - len(ledger.danced_frames) / len(ledger.made_frames)), FREE_MOST, "%"
            ),
            Check("studios struck and not replaced", strikes - state["studio"]["replaced"], 0),
            Check("nonsense taken for a setting", self._taken, 0),
            Check("packets dropped for a viewer who does not read", idle, None),
            Check("pictures missing for those who do", 2 * len(ledger.made_frames) - pictures, 2 * FPS),
            Check(
                "seconds of sound missing for them",
                len(ledger.made_frames) / FPS - self._sent["opus"] / OPUS_FPS,
                1.0,
                "s",
            ),
            Check("frames that wait", sum(state["queues"].values()), 16, "frames"),
            Check("memory grows", growth, MEMORY_MOST, "MB/min"),
            Check("faster than the show", seconds / took, None, "x"),
        ]
        return summary(checks, {"seconds": seconds, "frames": state["frames"]})
