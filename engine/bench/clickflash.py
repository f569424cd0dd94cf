"""A test show without models: a click every half second, and a white picture in the frame that holds it.

Run as a process (`python -m engine.bench.clickflash PORT`): measuring it measures the way out and nothing else.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.stage.frame import Outlet, ShowFrame
from xdancer.music.demo import click_track
from xdancer.music.frame import FPS, HOP, BeatState

DELAY = 0.25  # seconds that a frame is announced ahead, as in a show
LOUD = 0.3


class ClickFlash:
    """What `engine.web.server.Web` needs of a show."""

    def __init__(self, width: int = 512, height: int = 896) -> None:
        self._sound = click_track(60.0, tempo=120.0).samples
        self._dark = np.full((height, width, 3), 16, np.uint8)
        self._white = np.full((height, width, 3), 255, np.uint8)

    @property
    def params(self) -> dict[str, Any]:
        return {}

    def set_params(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def state(self) -> dict[str, Any]:
        return {"tempo": 120.0, "delay_ms": round(1000 * DELAY)}

    def frame(self, index: int, due: float) -> ShowFrame:
        start = index * HOP % len(self._sound)
        sound = self._sound[start : start + HOP]
        picture = self._white if np.abs(sound).max() > LOUD else self._dark
        return ShowFrame(index, due, picture, sound, np.zeros((60, 3), np.float32), None, BeatState(tempo=120.0))

    def tap(self) -> dict[str, Any]:
        return {}

    async def run(self, outlet: Outlet) -> None:
        """Frames at their pace, for ever."""
        loop = asyncio.get_running_loop()
        begun, started = loop.time(), time.time()
        index = 0
        while True:
            outlet.made(self.frame(index, started + index / FPS + DELAY))
            index += 1
            await asyncio.sleep(max(0.0, begun + index / FPS - loop.time()))


async def main(port: int) -> None:
    from engine.config import load
    from engine.web.server import Web

    show = ClickFlash()
    web = Web(load(None, [f"port={port}"]), show)
    await web.start()
    await show.run(web)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
