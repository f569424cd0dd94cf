"""A show that needs no models: clicks and flashes at the pace of the clock, for the web's tests."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.audio import Source
from engine.audio.files import demo_source
from engine.config import Config
from engine.control.performer import Performer
from engine.params import MOMENTS, Moment, Wishes
from engine.stage.frame import Outlet, ShowFrame
from xdancer.music.demo import click_track
from xdancer.music.frame import HOP, BeatState

WIDTH, HEIGHT = 128, 224


class PretendShow:
    """Every half second a click, and a white picture in the frame that holds it."""

    session = "pretend"

    def __init__(
        self,
        delay: float = 0.2,
        size: tuple[int, int] = (WIDTH, HEIGHT),
        source: Source | None = None,
        config: Config | None = None,
    ) -> None:
        self.delay, self.size = delay, size
        self.performer = Performer(config or Config(), self._set, lambda: ["street", "house", "ballet"])
        self.wishes = Wishes()
        self.patient = False  # changes for a beat or a bar wait until `strike`
        self.reported: asyncio.Queue[float] = asyncio.Queue()
        self.presentation = "delay"
        self.source = source or demo_source()
        track = click_track(60.0, tempo=120.0)
        self.sound = track.samples
        self.frames = len(self.sound) // HOP

    @property
    def params(self) -> dict[str, Any]:
        return self.performer.params

    def set_params(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        return self.performer.set(changes)

    def _set(self, changes: Mapping[str, Any], moment: Moment) -> None:
        self.wishes.put(changes, moment)
        self.strike("frame") if self.patient else self.strike(*MOMENTS)

    def strike(self, *moments: Moment) -> None:
        """The moment has come."""
        taken = self.wishes.take(moments)
        self.performer.active = self.performer.active.model_copy(update=taken)

    def delivered(self, seconds: float) -> None:
        self.reported.put_nowait(seconds)

    def state(self) -> dict[str, Any]:
        now = time.time()
        return {
            "now": now,
            "presentation": self.presentation,
            "tempo": 120.0,
            "beat_phase": now * 2 % 1,
            "beat_in_bar": int(now * 2) % 4,
            "beats_per_bar": 4,
            "confidence": 0.8,
            "level": -12.0,
            "delay_ms": round(1000 * self.delay),
            "source": {"name": "demo", "status": "playing"},
            "studio": {"status": "live", "replaced": 0, "styles": ["street", "house", "ballet"]},
            "frames": {"made": 7},
            "on": True,
            "name": "x",
            **self.performer.state(),
        }

    def frame(self, index: int, due: float) -> ShowFrame:
        k = index % self.frames
        sound = self.sound[k * HOP : (k + 1) * HOP]
        picture = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        picture[:, : 8 + index % 32] = (40, 90, 120)
        if np.abs(sound).max() > 0.3:
            picture[:] = 255
        return ShowFrame(index, due, picture, sound, np.zeros((60, 3), np.float32), None, BeatState(tempo=120.0))

    async def run(self, outlet: Outlet) -> None:
        """Frames at 30 a second, announced `delay` ahead, until cancelled."""
        start = time.time()
        waiting: list[ShowFrame] = []
        index = 0
        while True:
            now = time.time()
            while start + index / 30 <= now:
                frame = self.frame(index, start + index / 30 + self.delay)
                outlet.made(frame)
                waiting.append(frame)
                index += 1
            while waiting and waiting[0].due <= now:
                outlet.shown(waiting.pop(0))
            await asyncio.sleep(0.004)
