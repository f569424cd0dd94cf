"""Dances that are thrown off course and come back: what a model that feeds on its own past has to have seen.

Trained on flawless dances only, a dancer never learns what to do once it has grown, leans, or has an arm too long: the
errors add up (exposure bias; for pose, DART and others train on rollouts instead, which costs many times as much). Here
a real dance is jolted at random moments and the jolt dies away over tenths of a second. The jolted dance is tokenised
like any other; the frame of the jolt itself is not learned.
"""

from collections.abc import Callable

import numpy as np

from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, FPS, INDEX, LEFT_HAND, N_JOINTS, RIGHT_HAND

EVERY = 1.2  # s from jolt to jolt, in the mean
_LEFT, _RIGHT = (list(range(hand.start, hand.stop)) for hand in (LEFT_HAND, RIGHT_HAND))


def _named(*names: str) -> list[int]:
    return [INDEX[name] for name in names]


LIMBS = (
    _named("right_elbow", "right_wrist") + _RIGHT, _named("right_wrist") + _RIGHT, _RIGHT,
    _named("left_elbow", "left_wrist") + _LEFT, _named("left_wrist") + _LEFT, _LEFT,
    _named("right_knee", "right_ankle"), _named("right_ankle"),
    _named("left_knee", "left_ankle"), _named("left_ankle"),
    _named("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    _named("nose", "right_eye", "left_eye", "right_ear", "left_ear"),
)  # fmt: skip
NECK, HIPS = INDEX["neck"], _named("right_hip", "left_hip")


def jolted(rng: np.random.Generator, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The dance (T, 60, 3) with jolts that die away, and at which frames one strikes: bool (T,)."""
    out, struck = pose.astype(np.float32), np.zeros(len(pose), bool)
    seen = pose[..., 2:] > 0
    frame = rng.exponential(EVERY * FPS)
    while frame < len(pose):
        at = int(frame)
        kind, seconds = KINDS[rng.integers(len(KINDS))]
        fall = rng.uniform(0.6, 1.6) * seconds * FPS
        stop = min(at + int(6 * fall) + 1, len(pose))
        fading = np.exp(-np.arange(stop - at, dtype=np.float32) / fall)[:, None, None]
        out[at:stop, :, :2] += kind(rng, out[at:stop, :, :2], fading)
        struck[at] = True
        frame += rng.exponential(EVERY * FPS)
    x, y = out[..., 0], out[..., 1]
    inside = (x >= 0) & (x <= CANVAS_WIDTH - 1) & (y >= 0) & (y <= CANVAS_HEIGHT - 1)
    return np.where(seen & inside[..., None], out, 0.0), struck


def _grown(rng: np.random.Generator, xy: np.ndarray, fading: np.ndarray) -> np.ndarray:
    """The whole figure larger or smaller, wider or narrower."""
    factor = 0.09 * rng.normal() + 0.03 * rng.normal(size=2)
    return (xy - xy[:, HIPS].mean(1, keepdims=True)) * factor.astype(np.float32) * fading


def _leaning(rng: np.random.Generator, xy: np.ndarray, fading: np.ndarray) -> np.ndarray:
    """The whole figure turned about its hips."""
    arms = xy - xy[:, HIPS].mean(1, keepdims=True)
    return np.stack([-arms[..., 1], arms[..., 0]], axis=-1) * np.float32(0.1 * rng.normal()) * fading


def _moved(rng: np.random.Generator, xy: np.ndarray, fading: np.ndarray) -> np.ndarray:
    """The whole figure elsewhere."""
    return (rng.normal(size=2) * (30, 15)).astype(np.float32) * fading


def _bent(rng: np.random.Generator, xy: np.ndarray, fading: np.ndarray) -> np.ndarray:
    """One limb, or what hangs on it, out of place and out of proportion."""
    push = np.zeros((N_JOINTS, 2), np.float32)
    push[LIMBS[rng.integers(len(LIMBS))]] = 14 * rng.normal(size=2)
    return push * fading


def _shaken(rng: np.random.Generator, xy: np.ndarray, fading: np.ndarray) -> np.ndarray:
    """Every joint a little off."""
    return rng.normal(size=(N_JOINTS, 2)).astype(np.float32) * np.float32(rng.uniform(0.5, 4)) * fading


Kind = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]
KINDS: tuple[tuple[Kind, float], ...] = (  # with the seconds it takes to die away to a third
    (_grown, 0.4), (_leaning, 0.3), (_moved, 0.6), (_bent, 0.25), (_bent, 0.12), (_shaken, 0.06),
)  # fmt: skip
