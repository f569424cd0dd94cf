"""Poses between poses, minding joints that are not seen."""

import numpy as np


def mixed(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Poses between a and b (N, 60, 3), weight (N,) of b; a joint that only one of them shows stays where it has it."""
    weight = weight[:, None, None]
    both = (a[..., 2:] > 0) & (b[..., 2:] > 0)
    at = np.where(both, a[..., :2] + weight * (b[..., :2] - a[..., :2]), a[..., :2] + b[..., :2])  # unseen: 0, 0
    sure = a[..., 2:] + weight * (b[..., 2:] - a[..., 2:])
    return np.concatenate([np.where(sure > 0, at, 0.0), sure], axis=-1).astype(np.float32)


def at_times(pose: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The poses (T, 60, 3) at fractional frame numbers `times` (N,), held at both ends: (N, 60, 3)."""
    times = np.clip(times, 0, len(pose) - 1)
    low = times.astype(int)
    return mixed(pose[low], pose[np.minimum(low + 1, len(pose) - 1)], (times - low).astype(np.float32))
