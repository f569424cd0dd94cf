"""What can be said of a motion by itself: does it move, twitch, freeze, leave the canvas, change its build?"""

import numpy as np

from xdancer.evaluation.alignment import BODY, speed, torso
from xdancer.pose.layout import BODY_BONES, CANVAS_HEIGHT, CANVAS_WIDTH, FPS

STILL = 0.15  # trunks a second: a second slower than this is frozen; a waiting dancer sways at about 0.3
ON_CANVAS = 7  # of the 14 joints from nose to ankles: with fewer the figure has left
LIMBS = tuple(bone for bone in BODY_BONES if max(bone) < 14 and bone != (1, 0))
MINUTE = 60 * FPS


def energy(pose: np.ndarray) -> float:
    """Mean speed of the body (T, 60, 3), trunks a second."""
    return float(speed(pose).mean()) if len(pose) > 1 else 0.0


def jerk(pose: np.ndarray) -> float:
    """Mean length of the third difference of the body's joints seen in all four frames, trunks a frame^3."""
    if len(pose) < 4:
        return 0.0
    body = pose[:, BODY].astype(np.float64)
    third = np.linalg.norm(np.diff(body[..., :2], n=3, axis=0), axis=-1)
    seen = np.lib.stride_tricks.sliding_window_view(body[..., 2] > 0, 4, axis=0).all(-1)
    return float(third[seen].mean() / torso(pose)) if seen.any() else 0.0


def frozen(pose: np.ndarray) -> float:
    """Share of whole seconds in which the body hardly moves."""
    moved = speed(pose)
    whole = len(moved) // FPS
    if not whole:
        return 0.0
    return float((moved[: whole * FPS].reshape(whole, FPS).mean(1) < STILL).mean())


def off_canvas(pose: np.ndarray) -> float:
    """Share of frames that show fewer than 7 of the 14 joints from nose to ankles on the canvas."""
    body = pose[:, :14]
    x, y = body[..., 0], body[..., 1]
    on = (body[..., 2] > 0) & (x >= 0) & (x < CANVAS_WIDTH) & (y >= 0) & (y < CANVAS_HEIGHT)
    return float((on.sum(1) < ON_CANVAS).mean())


def build(pose: np.ndarray) -> np.ndarray:
    """Length of each limb, px: 90th percentile over the frames that show both ends, as seen shortest lengths are only
    foreshortening; NaN where none does. (LIMBS,)"""
    out = np.full(len(LIMBS), np.nan)
    for k, (a, b) in enumerate(LIMBS):
        shown = (pose[:, a, 2] > 0) & (pose[:, b, 2] > 0)
        if shown.any():
            out[k] = np.percentile(np.linalg.norm(pose[shown, a, :2] - pose[shown, b, :2], axis=-1), 90)
    return out


def by_minute(pose: np.ndarray) -> dict[str, list[float]]:
    """Motion energy and mean change of limb lengths against the first minute, as shares of the first minute's."""
    minutes = [pose[start : start + MINUTE] for start in range(0, len(pose) - MINUTE + 1, MINUTE)]
    if not minutes:
        return {"energy": [], "bones": []}
    first, lengths = energy(minutes[0]), build(minutes[0])
    return {
        "energy": [energy(minute) / max(first, 1e-9) - 1 for minute in minutes],
        "bones": [float(np.nanmean(np.abs(build(minute) / lengths - 1))) for minute in minutes],
    }
