"""What can be said of a motion by itself: does it move, twitch, freeze, slide, leave the canvas, change its build?"""

import numpy as np
from scipy.ndimage import maximum_filter1d

from xdancer.evaluation.alignment import BODY, speed, torso
from xdancer.evaluation.features import WINDOW
from xdancer.pose.layout import ANKLES, CANVAS_HEIGHT, CANVAS_WIDTH, FPS, LIMB_BONES, SEEN

STILL = 0.15  # trunks a second: a second slower than this is frozen; a waiting dancer sways at about 0.3
ON_CANVAS = 7  # of the 14 joints from nose to ankles: with fewer the figure has left
PLANTED = 0.1  # trunks: an ankle so near its lowest place within half a second stands on the floor
MINUTE = 60 * FPS


def energy(pose: np.ndarray) -> float:
    """Mean speed of the body (T, 60, 3), trunks a second."""
    return float(speed(pose).mean()) if len(pose) > 1 else 0.0


def by_pieces(values: np.ndarray, frames: int) -> np.ndarray:
    """Mean of values (T,) over each whole piece of so many frames; the rest is left out."""
    whole = len(values) // frames
    return np.asarray(values[: whole * frames].reshape(whole, frames).mean(axis=1))


def follows(pose: np.ndarray, wanted: np.ndarray) -> float:
    """Correlation of the body's speed with how lively the music is, `wanted` (T,), by pieces of five seconds; NaN where
    either is the same throughout."""
    moved, wanted = speed(pose), wanted[1 : len(pose)]
    pieces = [by_pieces(v, WINDOW) for v in (moved, wanted)]
    if len(pieces[0]) < 2 or min(piece.std() for piece in pieces) < 1e-6:
        return float("nan")
    return float(np.corrcoef(pieces[0], pieces[1])[0, 1])


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
    seconds = by_pieces(speed(pose), FPS)
    return float((seconds < STILL).mean()) if len(seconds) else 0.0


def longest_freeze(pose: np.ndarray, excused: np.ndarray | None = None) -> float:
    """Seconds of the longest stretch in which the body hardly moves, by whole seconds; those in which any frame is
    `excused` (T,) do not count."""
    still = by_pieces(speed(pose), FPS) < STILL
    if excused is not None:
        still &= ~excused[: len(still) * FPS].reshape(len(still), FPS).any(axis=1)
    return float(longest_run(still))


def longest_run(true: np.ndarray) -> int:
    """Length of the longest run of True in (N,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def sliding(pose: np.ndarray) -> float:
    """How fast a foot that should stand still moves sideways: mean, trunks a second.

    In 2-D the floor is not known: an ankle is taken to stand where it is within 0.1 trunks of its own lowest place half
    a second around. Of the ankles that stand in two frames in a row the one that moves less is the support; its
    horizontal speed counts. Frames in which neither stands, or in which not both are seen, do not; NaN where that is
    all of them. Cameras and shuffled steps leave something even of a real dance: to be read against the truth's own.
    """
    ankles = pose[:, ANKLES].astype(np.float64)
    if len(pose) < 2:
        return float("nan")
    trunk = torso(pose)
    seen = np.asarray((ankles[..., 2] > 0).all(axis=1))
    height = np.where(seen[:, None], ankles[..., 1], -np.inf)  # down is positive
    stands = height >= maximum_filter1d(height, FPS + 1, axis=0, mode="nearest") - PLANTED * trunk
    stands &= seen[:, None]
    both = stands[1:] & stands[:-1]
    speeds = np.where(both, np.abs(np.diff(ankles[..., 0], axis=0)) * FPS / trunk, np.inf).min(axis=1)
    counted = both.any(axis=1)
    return float(speeds[counted].mean()) if counted.any() else float("nan")


def unseen(pose: np.ndarray) -> float:
    """Share of the body's joints (neck to ankles, all frames) that are not shown: a limb lost is one in thirteen."""
    return float((pose[:, BODY, 2] < SEEN).mean()) if len(pose) else 0.0


def on_canvas(pose: np.ndarray) -> np.ndarray:
    """(T,) whether a frame shows at least 7 of the 14 joints from nose to ankles on the canvas."""
    body = pose[:, :14]
    x, y = body[..., 0], body[..., 1]
    on = (body[..., 2] > 0) & (x >= 0) & (x < CANVAS_WIDTH) & (y >= 0) & (y < CANVAS_HEIGHT)
    return np.asarray(on.sum(1) >= ON_CANVAS)


def off_canvas(pose: np.ndarray) -> float:
    """Share of frames in which the figure has left the canvas."""
    return float((~on_canvas(pose)).mean())


def exits(pose: np.ndarray) -> float:
    """How often the figure leaves the canvas, times a minute."""
    on = on_canvas(pose)
    return float((on[:-1] & ~on[1:]).sum() / max(len(pose), 1) * MINUTE)


def build(pose: np.ndarray) -> np.ndarray:
    """Length of each limb, px: 90th percentile over the frames that show both ends, as seen shortest lengths are only
    foreshortening; NaN where none does. (LIMB_BONES,)"""
    out = np.full(len(LIMB_BONES), np.nan)
    for k, (a, b) in enumerate(LIMB_BONES):
        shown = (pose[:, a, 2] > 0) & (pose[:, b, 2] > 0)
        if shown.any():
            out[k] = np.percentile(np.linalg.norm(pose[shown, a, :2] - pose[shown, b, :2], axis=-1), 90)
    return out


def by_minute(pose: np.ndarray) -> dict[str, list[float]]:
    """Of each whole minute: motion energy and mean change of limb lengths against the first one, as shares of that
    one's; share of frozen seconds and of frames off the canvas."""
    minutes = [pose[start : start + MINUTE] for start in range(0, len(pose) - MINUTE + 1, MINUTE)]
    if not minutes:
        return {"energy": [], "bones": [], "frozen": [], "off_canvas": []}
    first, lengths = energy(minutes[0]), build(minutes[0])
    grown = [np.abs(build(minute) / lengths - 1) for minute in minutes]
    return {
        "energy": [energy(minute) / max(first, 1e-9) - 1 for minute in minutes],
        "bones": [float(limbs[~np.isnan(limbs)].mean()) if not np.isnan(limbs).all() else 0.0 for limbs in grown],
        "frozen": [frozen(minute) for minute in minutes],
        "off_canvas": [off_canvas(minute) for minute in minutes],
    }
