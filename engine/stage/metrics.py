"""What is measured of a running show: quantiles over a sliding window, of bounded size."""

from typing import Any

import numpy as np
import psutil

KEPT = 1800  # values: the last minute of frames
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
