"""Cleaning of captured positions: axes, glitches, frame rate, noise."""

import numpy as np
from scipy.signal import butter, sosfiltfilt

from xdancer.data.readers import Capture

CUTOFF_HZ = 9.0  # people move little above this; marker noise does
LONGEST_GAP = 0.2  # seconds that may be bridged where a glitch was cut out


def upright(capture: Capture, joints: tuple[str, str]) -> Capture:
    """The take with Y up. `joints` are a low and a high joint: Z is taken for up where they differ most along it."""
    low, high = (capture.positions[name] for name in joints)
    if np.argmax(np.abs(np.median(high - low, axis=0))) != 2:
        return capture
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # Z to Y, Y to -Z
    return Capture(
        capture.name,
        capture.fps,
        {n: p @ turn.T for n, p in capture.positions.items()},
        {n: turn @ r for n, r in capture.rotations.items()},
    )


def glitches(points: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Frames (T,) of positions (T, K, 3) where a joint jumps: true where nobody could have moved so.

    `limits` (K,) are the largest accelerations believed, in units of the file per frame squared: about 0.2 legs for
    wrists and ankles (a flip's hand at 16 m/s is real), less for joints nearer the trunk.
    """
    bad = np.zeros(len(points), dtype=bool)
    if len(points) < 5:
        return bad
    acceleration = np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1)
    hit = (acceleration > limits).any(axis=1)
    bad[1:-1] = hit
    bad[0], bad[-1] = hit[0], hit[-1]
    return bad


def bridged(values: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """`values` (T, ...) with the bad frames interpolated from the good ones around them."""
    if not bad.any() or bad.all():
        return values
    flat = values.reshape(len(values), -1).copy()
    good = np.flatnonzero(~bad)
    where = np.flatnonzero(bad)
    for column in range(flat.shape[1]):
        flat[where, column] = np.interp(where, good, flat[good, column])
    return flat.reshape(values.shape)


def longest_runs(bad: np.ndarray, gap: int, shortest: int) -> list[slice]:
    """Stretches of the take between gaps of more than `gap` bad frames, at least `shortest` frames long."""
    good = np.flatnonzero(~bad)
    if len(good) == 0:
        return []
    cuts = np.flatnonzero(np.diff(good) > gap + 1)
    starts, stops = good[np.r_[0, cuts + 1]], good[np.r_[cuts, len(good) - 1]] + 1
    return [slice(a, b) for a, b in zip(starts, stops, strict=True) if b - a >= shortest]


def smooth(values: np.ndarray, fps: float, cutoff: float = CUTOFF_HZ) -> np.ndarray:
    """Zero-phase low-pass along time; short or slow recordings come back as they are."""
    if len(values) < 16 or cutoff >= 0.45 * fps:
        return values
    return sosfiltfilt(butter(2, cutoff, fs=fps, output="sos"), values, axis=0)


def at_rate(values: np.ndarray, fps: float, rate: float = 30.0) -> np.ndarray:
    """Values (T, ...) at `fps` read at `rate` by linear interpolation."""
    if abs(fps - rate) < 0.05:
        return values
    times = np.arange(0, len(values) - 1, fps / rate)
    low = times.astype(int)
    part = (times - low).reshape(-1, *[1] * (values.ndim - 1))
    return values[low] * (1 - part) + values[np.minimum(low + 1, len(values) - 1)] * part
