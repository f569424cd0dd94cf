"""Does a dancer repeat itself? The pose sequence against itself, bars later."""

from typing import Any

import numpy as np

from xdancer.evaluation.alignment import BODY, torso
from xdancer.evaluation.motion import longest_run
from xdancer.pose.layout import FPS

LAGS = 16  # bars
MOMENTS = 16  # of a bar that are compared
SAME = 0.9  # likeness from which a bar is the other one again
LONGEST = 8  # bars a dance may go on repeating itself


def likeness(pose: np.ndarray, bars: np.ndarray, lag: int) -> np.ndarray:
    """How like each bar is the one `lag` bars later: (B - 1 - lag,); 1 the same, about 0 for two bars at random.

    pose (T, 60, 3); bars (B,) s where bars begin. Of the body's joints about the frame's own centre, in trunks, an
    unseen one put where it stands in the mean: one minus the mean squared distance over twice the variance, which is
    the autocorrelation, bar by bar.
    """
    moments = _moments(pose, bars)
    if len(moments) <= lag:
        return np.zeros(0)
    variance = ((moments - moments.mean(axis=(0, 1))) ** 2).mean()
    apart = ((moments[lag:] - moments[: len(moments) - lag]) ** 2).mean(axis=(1, 2))
    return np.asarray(1 - apart / max(2 * variance, 1e-9))


def _moments(pose: np.ndarray, bars: np.ndarray) -> np.ndarray:
    """(B - 1, 16, 26): each bar at sixteen moments; bars that end after the motion are left out."""
    bars = bars[bars <= len(pose) / FPS]
    if len(bars) < 2:
        return np.zeros((0, MOMENTS, 2 * len(BODY)))
    part = np.arange(MOMENTS) / MOMENTS
    times = bars[:-1, None] + part * np.diff(bars)[:, None]
    body = pose[np.clip((times * FPS).astype(int), 0, len(pose) - 1)][:, :, BODY].astype(np.float64)
    seen = body[..., 2:] > 0
    middle = np.where(seen, body[..., :2], 0).sum(axis=2) / np.maximum(seen.sum(axis=2), 1)
    at = (body[..., :2] - middle[:, :, None]) / torso(pose)
    mean = np.where(seen, at, 0).sum(axis=(0, 1)) / np.maximum(seen.sum(axis=(0, 1)), 1)
    return np.where(seen, at, mean).reshape(len(times), MOMENTS, -1)


def repeats(pose: np.ndarray, bars: np.ndarray, period: int = 0) -> dict[str, Any]:
    """The longest stretch in which a dance repeats itself.

    `longest`: its length in bars, from its first showing to the end of its last; `lag`: bars after which it comes
    again; 0 where nothing of at least its own lag does. `by_lag`: mean likeness at lags of 1 to 16 bars.
    period: bars after which the music comes again, if it does; a dance that comes again with it does not repeat itself.
    """
    longest, found, by_lag = 0, 0, []
    for lag in range(1, LAGS + 1):
        alike = likeness(pose, bars, lag)
        by_lag.append(float(alike.mean()) if len(alike) else 0.0)
        run = longest_run(alike >= SAME)
        with_music = period > 0 and lag % period == 0
        if run >= lag and run + lag > longest and not with_music:
            longest, found = run + lag, lag
    return {"longest": longest, "lag": found, "by_lag": by_lag}
