"""What is measured of a running show: quantiles and rates over a sliding window, of bounded size."""

import time
from collections import deque
from typing import Any

import numpy as np
import psutil

KEPT = 1800  # values: the last minute of frames
SPAN = 5  # seconds over which a rate is taken
QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


class Window:
    """Durations in seconds: the quantiles of the last `kept` ones, the count and the sum of all."""

    def __init__(self, kept: int = KEPT) -> None:
        self.count = 0
        self.sum = 0.0
        self._values = np.zeros(kept)

    def push(self, seconds: float) -> None:
        """One more, which takes the place of the oldest."""
        self._values[self.count % len(self._values)] = seconds
        self.count += 1
        self.sum += seconds

    def quantile(self, share: float) -> float:
        """In seconds; 0 before anything was measured."""
        kept = self._values[: self.count]
        return float(np.quantile(kept, share)) if len(kept) else 0.0

    def state(self) -> dict[str, float]:
        """`p50_ms`, `p95_ms`, `p99_ms` of the window; `count` and `sum_ms` since the start."""
        kept = self._values[: self.count]
        values = np.quantile(kept, list(QUANTILES.values())) if len(kept) else np.zeros(len(QUANTILES))
        quantiles = {name: round(1000 * float(value), 3) for name, value in zip(QUANTILES, values, strict=True)}
        return {**quantiles, "count": self.count, "sum_ms": round(1000 * self.sum, 3)}


class Rate:
    """Amounts a second, over the last SPAN whole seconds."""

    def __init__(self) -> None:
        self.sum = 0
        self._seconds: deque[tuple[int, int]] = deque(maxlen=SPAN + 1)  # which second, how much

    def push(self, amount: int, now: float | None = None) -> None:
        """So much more, at `now` (seconds of any steady clock)."""
        self.sum += amount
        second = int(time.monotonic() if now is None else now)
        if self._seconds and self._seconds[-1][0] == second:
            amount += self._seconds.pop()[1]
        self._seconds.append((second, amount))

    def per_second(self, now: float | None = None) -> float:
        second = int(time.monotonic() if now is None else now)
        return sum(amount for at, amount in self._seconds if second - SPAN <= at < second) / SPAN


def resident_mb(processes: dict[str, int | None]) -> dict[str, float]:
    """Resident memory in MB of processes by id; one that has gone is left out."""
    sizes: dict[str, Any] = {}
    for name, pid in processes.items():
        if pid is not None:
            try:
                sizes[name] = round(psutil.Process(pid).memory_info().rss / 1e6, 2)
            except psutil.Error:
                continue
    return sizes
