"""Figures and dances whose measures can be worked out by hand, and a small corpus of them."""

from pathlib import Path

import numpy as np

from xdancer.music.features import N_FEATURES
from xdancer.pose.layout import FPS, INDEX

PLACES = {
    "nose": (256, 150), "neck": (256, 200), "right_shoulder": (156, 200), "right_elbow": (156, 300),
    "right_wrist": (156, 400), "left_shoulder": (356, 200), "left_elbow": (356, 300), "left_wrist": (356, 400),
    "right_hip": (246, 400), "right_knee": (246, 500), "right_ankle": (246, 600), "left_hip": (266, 400),
    "left_knee": (266, 500), "left_ankle": (266, 600),
}  # fmt: skip


def standing(frames: int) -> np.ndarray:
    """A figure with a trunk of 200 px and limbs of 100, all joints certain, seen from the front: (T, 60, 3)."""
    pose = np.zeros((frames, 60, 3), np.float32)
    pose[..., 2] = 1.0
    pose[:, :, :2] = (256, 300)
    for name, place in PLACES.items():
        pose[:, INDEX[name], :2] = place
    return pose


def stepping(frames: int, period: float, reach: float = 40.0, seed: int = 0) -> np.ndarray:
    """A figure that goes to and fro, `reach` px a step, and pauses every `period` s; what the arms do hangs on the
    seed, but pauses at the same times."""
    rng = np.random.default_rng(seed)
    pose = standing(frames)
    steps = (np.arange(frames) + 0.5) / FPS / period
    done = steps - np.sin(2 * np.pi * steps) / (2 * np.pi)  # rests at whole numbers
    number = done.astype(int)
    stops = rng.uniform(-1, 1, (number.max() + 2, 60, 2)) * 0.3 + np.where(np.arange(number.max() + 2) % 2, 1, -1)[
        :, None, None
    ] * np.array([0.5, 0.0])
    part = (done - number)[:, None, None]
    pose[..., :2] += reach * ((1 - part) * stops[number] + part * stops[number + 1])
    return pose


def write_corpus(folder: Path, seconds: int = 11) -> Path:
    """Two train songs and two held-out ones of 120 BPM, each danced twice in two views, stepping on the beat."""
    (folder / "songs").mkdir(parents=True)
    (folder / "dances").mkdir()
    frames = seconds * FPS
    rng = np.random.default_rng(0)
    beat = (np.arange(frames) + 1) / 15
    clock = {"tempo": np.full(frames, 120.0), "beat_phase": beat % 1, "bar_phase": beat / 4 % 1,
             "confidence": np.ones(frames)}  # fmt: skip
    beats = np.arange(0.5, seconds, 0.5)
    for number, (name, split) in enumerate((("a", "train"), ("b", "train"), ("one", "val"), ("two", "val"))):
        np.savez(
            folder / "songs" / f"{name}.npz", name=name, split=split, beats_s=beats, downbeats_s=beats[::4],
            energy=np.full(len(beats), 0.5), heard_features=rng.random((frames, N_FEATURES)).astype(np.float16),
            **{f"{kind}_{k}": v.astype(np.float32) for kind in ("heard", "exact") for k, v in clock.items()},
        )  # fmt: skip
        for k in range(2):
            views = [stepping(frames, 0.5, 40 + 5 * view, seed=10 * number + k) for view in range(2)]
            np.savez(
                folder / "dances" / f"{name}-{k}.npz", song=name, split=split, views=np.array(views, np.float16),
                idle=np.zeros(frames, bool), source=np.full(frames, "x"), style=np.full(frames, ("salsa", "street")[k]),
                energy=np.full(frames, 0.5, np.float32),
            )  # fmt: skip
    return folder
