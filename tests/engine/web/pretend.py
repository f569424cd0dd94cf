"""A show that needs no models: clicks and flashes at the pace of the clock, for the web's tests."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.stage.frame import Outlet, ShowFrame
from xdancer.errors import UserError
from xdancer.music.demo import click_track
from xdancer.music.frame import HOP, BeatState

WIDTH, HEIGHT = 128, 224


class PretendShow:
    """Every half second a click, and a white picture in the frame that holds it."""

    def __init__(self, delay: float = 0.2, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
        self.delay, self.size = delay, size
        self.taps = 0
        self.values: dict[str, Any] = {"temperature": 1.0}
        track = click_track(60.0, tempo=120.0)
        self.sound = track.samples
        self.frames = len(self.sound) // HOP

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.values)

    def set_params(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        for name in changes:
            if name not in self.values:
                raise UserError(f"params: {name}: unknown key")
        self.values.update(changes)
        return self.params

    def tap(self) -> dict[str, Any]:
        self.taps += 1
        return {"wanted": "auto", "sources": {"tap": f"tap {self.taps}"}}

    def state(self) -> dict[str, Any]:
        return {"tempo": 120.0, "delay_ms": round(1000 * self.delay), "frames": {"made": 7}, "on": True, "name": "x"}

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
