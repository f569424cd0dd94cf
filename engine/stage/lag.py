"""How late the event loop is."""

import asyncio

from engine.stage.metrics import Window

EVERY = 0.05  # seconds between looks
KEPT = 600  # looks: the last half minute


class LoopLag:
    """Sleeps and measures by how much it is woken too late."""

    def __init__(self) -> None:
        self.window = Window(KEPT)

    @property
    def p99(self) -> float:
        """Seconds; 0 before anything was measured."""
        return self.window.quantile(0.99)

    def take(self) -> float:
        """`p99` since the last time it was taken."""
        p99, self.window = self.p99, Window(KEPT)
        return p99

    async def run(self) -> None:
        """Measure for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + EVERY
            await asyncio.sleep(EVERY)
            self.window.push(max(0.0, loop.time() - due))
