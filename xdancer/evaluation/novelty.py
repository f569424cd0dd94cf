"""Novelty: how far a motion is from the nearest second of the training dances."""

from collections.abc import Iterable

import numpy as np

from xdancer.evaluation.alignment import torso
from xdancer.pose.layout import FPS, INDEX, mirror

SPAN, EVERY = FPS, 5  # frames of a window, and of which every fifth is looked at
KNOWN_STEP = 5  # frames from one training window to the next
SIDES = ("right", "left")
JOINTS = [INDEX[f"{s}_{n}"] for n in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in SIDES]
HIPS = [JOINTS.index(INDEX[f"{s}_hip"]) for s in SIDES]


def cuts(pose: np.ndarray, step: int) -> np.ndarray:
    """Seconds of poses (T, 60, 3), one begun every `step` frames: (N, D) float32.

    Twelve joints in six frames, in trunks from where the hips are in the mean of the window, so that place and size do
    not matter; scaled so that the Euclidean distance of two is the root mean square distance of a joint. Windows with
    an unseen joint are left out.
    """
    starts = np.arange(0, len(pose) - SPAN + 1, step)
    body = pose[:, JOINTS][starts[:, None] + np.arange(0, SPAN, EVERY)]  # (N, 6, 12, 3)
    body = body[(body[..., 2] > 0).all(axis=(1, 2))]
    at = body[..., :2] / torso(pose)
    at = at - at[:, :, HIPS].mean(axis=(1, 2), keepdims=True)
    count = at.shape[1] * at.shape[2]
    return (at.reshape(len(at), 2 * count) / np.sqrt(count)).astype(np.float32)


def nearest(queries: np.ndarray, known: Iterable[np.ndarray]) -> np.ndarray:
    """Distance (N,) of each of `queries` (N, D) to the nearest row of any of the arrays `known` (M, D)."""
    best = np.full(len(queries), np.inf, np.float32)
    own = (queries**2).sum(1)
    for rows in known:
        if len(rows) and len(queries):
            apart = (rows**2).sum(1) - 2 * (queries @ rows.T)
            best = np.minimum(best, apart.min(axis=1) + own)
    return np.sqrt(np.maximum(best, 0))


def novelty(motions: dict[str, list[np.ndarray]], training: Iterable[np.ndarray]) -> dict[str, float]:
    """For each row of motions (T, 60, 3): the median distance of its seconds to the nearest of the training poses or of
    their mirror images, trunks. NaN for a row that shows no whole body for a second."""
    parts = {name: [cuts(pose, SPAN) for pose in poses] for name, poses in motions.items()}
    asked = {name: np.concatenate(rows) if rows else np.zeros((0, 1), np.float32) for name, rows in parts.items()}
    usable = [name for name, rows in asked.items() if len(rows)]
    if not usable:
        return dict.fromkeys(motions, float("nan"))
    every = np.concatenate([asked[name] for name in usable])
    known = (cuts(way, KNOWN_STEP) for pose in training for way in (pose, mirror(pose)))
    found = np.split(nearest(every, known), np.cumsum([len(asked[name]) for name in usable])[:-1])
    medians = {name: float(np.median(each)) for name, each in zip(usable, found, strict=True)}
    return {name: medians.get(name, float("nan")) for name in motions}
