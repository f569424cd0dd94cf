"""Beat alignment: how near the moments at which a body pauses lie to the beats of the music, and the reverse.

After Bailando's score (arXiv 2203.13055) and AIST++'s (arXiv 2101.08779), with sigma in seconds and both directions; as
random motion scores high too, a score is always set beside what chance gives. `original` is their formula as published,
whose sigma is 3 frames of whatever rate the motion has: say that rate with every figure.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import argrelextrema

from xdancer.pose.layout import FPS, INDEX

SIGMA = 0.05  # s
SMOOTH = 1 / 12  # s of Gaussian smoothing of the speed: 5 frames of 60 a second
SHIFTS, OTHERS = 20, 5
FRAMES = 3  # sigma of the published formula
FRAMES_SMOOTH = 5  # of its smoothing
BODY = np.arange(1, 14)  # neck to ankles
DIRECTIONS = ("recall", "precision")


def torso(pose: np.ndarray) -> float:
    """Length of the trunk, px: 90th percentile of neck to mid-hip over frames (T, 60, 3) that show both; else 200."""
    joints = [INDEX[name] for name in ("neck", "right_hip", "left_hip")]
    shown = (pose[:, joints, 2] > 0).all(axis=1)
    if not shown.any():
        return 200.0
    hips = pose[shown][:, joints[1:], :2].mean(axis=1)
    return max(float(np.percentile(np.linalg.norm(pose[shown, joints[0], :2] - hips, axis=-1), 90)), 1.0)


def speed(pose: np.ndarray) -> np.ndarray:
    """Mean speed of the body's joints, weighted by confidence, from frame to frame: (T - 1,), trunks a second."""
    body = pose[:, BODY].astype(np.float64)
    step = np.linalg.norm(np.diff(body[..., :2], axis=0), axis=-1)
    weight = np.minimum(body[1:, :, 2], body[:-1, :, 2])
    return (step * weight).sum(1) / np.maximum(weight.sum(1), 1e-6) * FPS / torso(pose)


def motion_beats(pose: np.ndarray) -> np.ndarray:
    """Times (s) of the local minima of the smoothed speed of poses (T, 60, 3). Frame n shows (n + 0.5) / 30 s."""
    if len(pose) < 4:
        return np.zeros(0)
    smooth = gaussian_filter1d(speed(pose), SMOOTH * FPS, mode="nearest")
    return (argrelextrema(smooth, np.less)[0] + 1.0) / FPS


def nearness(of: np.ndarray, to: np.ndarray) -> float:
    """Mean over times `of` of exp(-d^2 / 2 sigma^2), d to the nearest of times `to`: 0..1; 0 where either is empty.

    >>> round(nearness(np.array([1.0, 2.0]), np.array([1.05, 5.0])), 4)  # one sigma off, and far off
    0.3033
    """
    if not len(of) or not len(to):
        return 0.0
    distance = np.abs(of[:, None] - to[None]).min(axis=1)
    return float(np.exp(-(distance**2) / (2 * SIGMA**2)).mean())


def scores(motion: np.ndarray, music: np.ndarray) -> np.ndarray:
    """(recall, precision): music beats near a motion beat, motion beats near a music beat."""
    return np.array([nearness(music, motion), nearness(motion, music)])


def alignment(
    motion: np.ndarray,
    music: np.ndarray,
    others: list[np.ndarray],
    bar: float,
    seconds: float,
    seed: int = 0,
    danced: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, Any]:
    """Scores (recall, precision) of motion beats against music beats, their chance level, and the ratio of beats.

    All times in seconds; beats of the music past the motion's `seconds` count nowhere. Chance: the mean over 20 random
    shifts of the music by 0 to 2 bars (of `bar` seconds) and the beats of up to 5 `others`. `danced`, where given,
    picks the music beats that count.
    """
    rng = np.random.default_rng(seed)
    music = music[music < seconds]  # folded into a shorter motion, a longer song would be beats everywhere
    keep = danced or (lambda times: times[times < seconds])
    shifted = [np.sort((music + shift) % seconds) for shift in rng.uniform(0, 2 * bar, SHIFTS)]
    return {
        "score": scores(motion, keep(music)),
        "chance": np.mean([scores(motion, keep(wrong)) for wrong in [*shifted, *others[:OTHERS]]], axis=0),
        "beat_ratio": len(motion) / max(len(keep(music)), 1),
    }


def original(pose: np.ndarray, music: np.ndarray, fps: int = FPS) -> np.ndarray:
    """The published score, sigma 3 frames: (mean over music beats as Bailando has it, over motion beats as AIST++ has).

    pose (T, 60, 3); music beats (B,) s. fps: 30, or a multiple to which the speed is interpolated. The published code
    has 60; at 30 the same formula forgives twice as much. (0, 0) where either has no beat. Distances are in frames as
    published, but not rounded to whole ones.
    """
    moved, each = speed(pose), fps // FPS
    if not len(moved):
        return np.zeros(2)
    fine = np.interp(np.arange(each * (len(moved) - 1) + 1) / each, np.arange(len(moved)), moved)
    pauses = argrelextrema(gaussian_filter1d(fine, FRAMES_SMOOTH), np.less)[0] + each
    beats = music[music < len(pose) / FPS] * fps
    if not len(pauses) or not len(beats):
        return np.zeros(2)
    apart = np.square(beats[:, None] - pauses[None])
    near = [np.exp(-apart.min(axis=axis) / (2 * FRAMES**2)).mean() for axis in (1, 0)]
    return np.array(near)
