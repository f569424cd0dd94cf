"""How late the event loop is."""

import asyncio
from collections import deque

EVERY = 0.05  # seconds between looks
KEPT = 600  # looks: the last half minute


class LoopLag:
    """Sleeps and measures by how much it is woken too late."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=KEPT)

    @property
    def p99(self) -> float:
        """Seconds; 0 before anything was measured."""
        lags = sorted(self._lags)
        return lags[min(len(lags) - 1, int(0.99 * len(lags)))] if lags else 0.0

    def take(self) -> float:
        """`p99` since the last time it was taken."""
        p99 = self.p99
        self._lags.clear()
        return p99

    async def run(self) -> None:
        """Measure for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + EVERY
            await asyncio.sleep(EVERY)
            self._lags.append(max(0.0, loop.time() - due))
