"""A clip's own beats: the moments at which the body comes to rest between two movements."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from xdancer.data.skeleton import Body, Clip

FPS = 30.0
SMOOTH = 2.0  # frames of Gaussian smoothing of the speed
SHORTEST, LONGEST = 12, 24  # frames a beat: 150 to 75 BPM
REACH = 3  # frames a beat may be moved to a pause
TIGHTNESS = 60.0  # how dear it is to leave the regular period (Ellis 2007)


@dataclass(frozen=True)
class Steps:
    """A clip with its beats.

    beats: (N,) frame numbers, N >= 2. energy: (N - 1,) mean joint speed between beats, leg lengths a second.
    rest: (N,) how clear a pause each beat is, 0..1. jerked: (N - 1,) largest acceleration of a joint between beats, leg
    lengths a second squared: that of a glitch exceeds any dancer's.
    shape: (T, 18, 3) body joints about the root, turned to face front, and velocity: the same a frame; for joining.
    """

    clip: Clip
    beats: np.ndarray
    energy: np.ndarray
    rest: np.ndarray
    jerked: np.ndarray
    shape: np.ndarray
    velocity: np.ndarray

    @property
    def period(self) -> float:
        return float(np.median(np.diff(self.beats)))


def speed(joints: np.ndarray) -> np.ndarray:
    """Mean speed (T,) of joints (T, J, 3), units a frame, smoothed."""
    step = np.linalg.norm(np.diff(joints, axis=0), axis=-1).mean(axis=1)
    return gaussian_filter1d(np.append(step, step[-1]), SMOOTH, mode="nearest")


def stillness(moved: np.ndarray) -> np.ndarray:
    """How much each frame is a pause (T,): 0, but at minima of speed (T,) the depth of the valley, 0..1."""
    out = np.zeros_like(moved)
    inner = np.flatnonzero((moved[1:-1] <= moved[:-2]) & (moved[1:-1] < moved[2:])) + 1
    scale = np.percentile(moved, 90) + 1e-6
    for t in inner:
        before, after = moved[max(t - 15, 0) : t + 1].max(), moved[t : t + 16].max()
        out[t] = min(min(before, after) - moved[t], scale) / scale
    return out


def track(rest: np.ndarray, period: float) -> np.ndarray:
    """Beats (N,) near `period` frames apart that fall on pauses: dynamic programming (Ellis 2007)."""
    score = gaussian_filter1d(rest, 1.0)
    best = score.copy()
    back = np.full(len(rest), -1)
    lags = np.arange(max(int(period * 0.75), 2), int(np.ceil(period * 1.33)) + 1)
    cost = -TIGHTNESS * np.log(lags / period) ** 2 * float(score.std() + 1e-6)
    for t in range(int(lags[0]), len(rest)):
        usable = lags[lags <= t]
        total = best[t - usable] + cost[: len(usable)]
        k = int(np.argmax(total))
        if total[k] > 0:
            best[t], back[t] = score[t] + total[k], t - usable[k]
    t = int(np.argmax(best[-int(period) :])) + len(rest) - int(period)
    beats = []
    while t >= 0:
        beats.append(t)
        t = back[t]
    return np.array(beats[::-1])


def settled(beats: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """The beats (N,), each moved to the clearest pause within REACH frames, if there is one: strictly increasing."""
    out = beats.copy()
    for k, t in enumerate(beats):
        low = max(t - REACH, out[k - 1] + 2 if k else 0)
        near = rest[low : t + REACH + 1]
        if len(near) and near.max() > 0.05:
            out[k] = low + int(np.argmax(near))
    return out


def period_of(rest: np.ndarray) -> float:
    """Frames a beat: the lag, 12 to 24, at which pauses repeat most."""
    wide = gaussian_filter1d(rest, 1.5)
    wide = wide - wide.mean()
    lags = np.arange(SHORTEST, min(LONGEST, len(wide) // 2) + 1)
    if not len(lags):
        return 16.0
    repeats = [
        sum(float(wide[m * lag :] @ wide[: -m * lag]) / m for m in (1, 2) if m * lag < len(wide)) for lag in lags
    ]
    return float(lags[int(np.argmax(repeats))])


def steps(clip: Clip, body: Body) -> Steps | None:
    """The clip's beats on a reference body; None where it is too short to hold four."""
    if len(clip) < 3 * LONGEST:
        return None
    joints = body.joints(clip)[:, :18] / body.leg_length
    moved = speed(joints)
    rest = stillness(moved)
    beats = track(rest, period_of(rest))
    if len(beats) < 4:
        return None
    beats = settled(beats, rest)
    energy = np.array([moved[a:b].mean() for a, b in zip(beats, beats[1:], strict=False)]) * FPS
    pull = np.linalg.norm(np.gradient(np.gradient(joints, axis=0), axis=0), axis=-1).max(axis=1) * FPS**2
    jerked = np.array([pull[a : b + 1].max() for a, b in zip(beats, beats[1:], strict=False)])
    shape = _facing_front(clip, joints)
    return Steps(clip, beats, energy, rest[beats], jerked, shape, np.gradient(shape, axis=0))


def _facing_front(clip: Clip, joints: np.ndarray) -> np.ndarray:
    """Joints (T, 18, 3) about the root and turned so that the pelvis faces +Z."""
    heading = clip.heading()
    sin, cos = np.sin(-heading)[:, None], np.cos(-heading)[:, None]
    local = joints - clip.root[:, None] * np.array([1, 0, 1])
    x = local[..., 0] * cos + local[..., 2] * sin
    z = local[..., 2] * cos - local[..., 0] * sin
    return np.stack([x, local[..., 1], z], axis=-1).astype(np.float32)
