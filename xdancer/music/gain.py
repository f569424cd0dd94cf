"""Automatic gain: how loud the music is of late, so that nothing after it depends on the level of the input."""

import math

import numpy as np

SILENCE_DB = -70.0  # RMS in dBFS below which a frame is silent
FLOOR_DB = -90.0  # RMS in dBFS below which a hop says nothing about the level
MEMORY_S = 6.0  # time constant of the reference level
FORGET_S = 2.0  # time constant with which silence wears the reference's weight off


class AutomaticGain:
    """Reference level: mean over the last seconds of the square root of the amplitude of the hops above the floor.

    The root is between the mean power, which takes long to come down after a loud passage, and the mean in dB, which
    the gaps between strokes draw far down. The mean is corrected for its start (as Adam's moments are), so the
    reference is right from the first sounding hop on and a song played 20 dB lower gives the same normalised values.
    Silence keeps the reference and lets its weight fall: what comes after a pause sets the level anew in a moment.
    """

    def __init__(self, rate: float) -> None:
        """`rate`: hops a second."""
        self._keep = float(np.exp(-1.0 / (MEMORY_S * rate)))
        self._forget = float(np.exp(-1.0 / (FORGET_S * rate)))
        self._sum = 0.0
        self._weight = 0.0

    def push(self, level: float) -> float:
        """Take one hop's level in dBFS; return the reference level in dBFS (the hop's own before anything sounded)."""
        if level > FLOOR_DB:
            self._sum = self._keep * self._sum + (1.0 - self._keep) * 10.0 ** (level / 40.0)
            self._weight = self._keep * self._weight + (1.0 - self._keep)
        elif self._weight > 1e-6:
            self._sum *= self._forget
            self._weight *= self._forget
        return 40.0 * math.log10(self._sum / self._weight) if self._weight > 0.0 else level


def level_db(samples: np.ndarray) -> np.ndarray:
    """RMS of the last axis in dBFS, float64, not below -120."""
    power = np.mean(np.square(samples, dtype=np.float64), axis=-1)
    return 10.0 * np.log10(np.maximum(power, 1e-12))
