"""The input meter."""

import numpy as np

FLOOR = -120.0  # dBFS that stand for silence
FALL = 0.5  # dB a frame by which the peak shown falls


class Meter:
    """Level of the sound that comes in: `level` is the last frame's RMS, `peak` falls slowly; both in dBFS."""

    def __init__(self) -> None:
        self.level = self.peak = FLOOR
        self.clipped = 0  # frames with samples at full scale

    def push(self, block: np.ndarray) -> None:
        """A frame (n, 2)."""
        highest = float(np.abs(block).max())
        self.level = _decibels(float(np.sqrt(np.square(block).mean())))
        self.peak = max(_decibels(highest), self.peak - FALL, FLOOR)
        self.clipped += highest >= 1.0

    def state(self) -> dict[str, float]:
        return {"level": round(self.level, 1), "peak": round(self.peak, 1), "clipped": self.clipped}


def _decibels(amplitude: float) -> float:
    return max(FLOOR, 20 * float(np.log10(max(amplitude, 1e-9))))
