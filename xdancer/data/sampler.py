"""Poses for training, made on the fly: any clip on any body before any camera."""

from pathlib import Path

import numpy as np

from xdancer.data import corpus
from xdancer.data.cameras import Camera
from xdancer.data.confidence import observed
from xdancer.data.skeleton import Body, Clip
from xdancer.errors import UserError
from xdancer.pose.layout import N_JOINTS, mirror


class PoseSampler:
    """Random windows of posed motion from a corpus folder: the whole clips and people of one split, and only those.

    Windows are drawn by the length of the clips times the weight of their source, played at 0.8 to 1.25 of their
    speed, half of them mirrored; `vary` jitters the proportions of the bodies. Raises UserError where the folder holds
    no motion of that split.
    """

    def __init__(self, folder: Path | str, split: str = "train", seed: int = 0, vary: float = 0.05) -> None:
        self.rng = np.random.default_rng(seed)
        self.vary = vary
        folder = Path(folder)
        weights = corpus.weights(folder)
        self.clips = [c for c in map(Clip.load, sorted((folder / "motion").glob("*.npz"))) if c.split == split]
        self.bodies = [b for b in map(Body.load, sorted((folder / "bodies").glob("*.npz"))) if b.split == split]
        if not self.clips or not self.bodies:
            raise UserError(f"{folder}: no motion or bodies of split {split}; run `xdancer corpus build`")
        chances = np.array([len(c) * weights.get(c.source, 1.0) for c in self.clips], dtype=np.float64)
        self.chances = chances / chances.sum()

    def batch(self, n: int, frames: int) -> np.ndarray:
        """`n` windows of poses: float32 (n, frames, 60, 3), px and confidence."""
        joints = np.empty((n, frames, N_JOINTS, 3), dtype=np.float32)
        statures = np.empty(n)
        for i, clip in enumerate(self.rng.choice(len(self.clips), n, p=self.chances)):
            body = self.bodies[self.rng.integers(len(self.bodies))]
            if self.vary:
                body = body.varied(self.rng, self.vary)
            joints[i] = self._window(self.clips[clip], body, frames)
            statures[i] = body.stature
        poses = observed(self.rng, joints, Camera.sample(self.rng, joints, statures))
        flipped = self.rng.random(n) < 0.5
        poses[flipped] = mirror(poses[flipped])
        return poses

    def _window(self, clip: Clip, body: Body, frames: int) -> np.ndarray:
        """A stretch of the clip at a speed of its own; a clip that is too short is held at its end."""
        pace = self.rng.uniform(0.8, 1.25)
        need = int(np.ceil((frames - 1) * pace)) + 2
        start = int(self.rng.integers(max(len(clip) - need, 0) + 1))
        joints = body.joints(clip.cut(start, start + need))
        times = np.minimum(np.arange(frames) * pace, len(joints) - 1)
        low = np.minimum(times.astype(int), max(len(joints) - 2, 0))
        part = (times - low).astype(np.float32)[:, None, None]
        return joints[low] * (1 - part) + joints[np.minimum(low + 1, len(joints) - 1)] * part
