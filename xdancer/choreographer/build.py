"""A dancer keeps their build.

Each frame goes on from the last, so that an error in size that nobody would see in one frame adds up: to the same music
for an hour, a dancer left alone grows or shrinks by several hundredths. So the longest that each limb has been seen of
late (shorter is foreshortening) is held against what it was at first, and what all of them have grown by is taken back,
slowly, from the whole figure, about the foot it stands on. And no limb gets much longer than it was: a plan that swings
wide would stretch an arm to get there.
"""

import numpy as np

from xdancer.pose.layout import ANKLES, FPS, HANDS, LIMB_BONES

LONG = 0.9  # the quantile of a limb's lengths that stands for how long it is
STEP = 0.005  # px a px of length: how fast that is followed
FIRST = 10 * FPS  # frames after which the build is taken for the dancer's own
PROPORTIONS = np.array([78, 122, 100, 78, 122, 100, 254, 182, 187, 254, 182, 187])  # of people's limbs to each other
LEAST = 0.85  # of what others tell of a limb: shorter than that nobody's is, it was only not seen at length
GIVE = 1.02  # times the length that a limb had at first: so long it may be
BACK = 1.0 / FPS  # share of what the figure has grown by that each frame takes back: the network pulls the other way


class Build:
    """How long the limbs of a dance are of late, and were at first."""

    def __init__(self, pose: np.ndarray) -> None:
        """The dance begins in this pose (60, 3), px."""
        self._lengths = lengths(pose)
        self._own: np.ndarray | None = None
        self._frames = 0

    @property
    def grown(self) -> float:
        """By how much limbs are longer than at first, as a logarithm: their mean."""
        if self._own is None:
            return 0.0
        known = ~np.isnan(self._own)
        return float(np.log(self._lengths[known] / self._own[known]).mean()) if known.any() else 0.0

    def push(self, pose: np.ndarray) -> None:
        """See the next pose (60, 3) of the dance."""
        seen = lengths(pose)
        self._lengths = np.where(np.isnan(self._lengths), seen, self._lengths)
        rise = np.where(seen > self._lengths, LONG, LONG - 1)
        self._lengths *= 1 + STEP * np.where(np.isnan(seen), 0.0, rise)
        self._frames += 1
        if self._frames == FIRST:
            size = np.nanmedian(self._lengths / PROPORTIONS) if np.isfinite(self._lengths).any() else 1.0
            self._own = np.maximum(self._lengths, LEAST * size * PROPORTIONS)

    def kept(self, pose: np.ndarray) -> np.ndarray:
        """The pose (60, 3) with some of what the figure has grown by taken back, and no limb too long."""
        standing = np.where(pose[ANKLES, 2] > 0, pose[ANKLES, 1], -np.inf)
        if self._own is None or np.isinf(standing).all():
            return pose
        foot, there = ANKLES[int(standing.argmax())], pose[:, 2:] > 0
        out = self._shortened(pose)
        out[:, :2] += (pose[foot, :2] - out[foot, :2]) * there
        out[:, :2] -= BACK * self.grown * (out[:, :2] - out[foot, :2]) * there
        return out

    def _shortened(self, pose: np.ndarray) -> np.ndarray:
        """The pose with limbs that are too long cut to what they may be, from the neck outwards; what hangs on them
        comes along."""
        assert self._own is not None
        out = pose.copy()
        now = lengths(pose)
        share = np.fmin(GIVE * self._own / now, 1.0)  # 1 where a limb is not seen, or never was
        for (a, b), part in zip(LIMB_BONES, share.tolist(), strict=True):
            if pose[a, 2] > 0 and pose[b, 2] > 0:
                out[b, :2] = out[a, :2] + part * (pose[b, :2] - pose[a, :2])
        for wrist, hand in HANDS:
            out[hand, :2] += (out[wrist, :2] - pose[wrist, :2]) * (pose[hand, 2:] > 0)
        return out


def lengths(pose: np.ndarray) -> np.ndarray:
    """Length of each limb in a pose (60, 3), px, at least 1; NaN where an end is not seen."""
    ends = pose[np.array(LIMB_BONES)]
    seen = (ends[..., 2] > 0).all(-1)
    length = np.linalg.norm(ends[:, 0, :2] - ends[:, 1, :2], axis=-1)
    return np.where(seen, np.maximum(length, 1.0), np.nan)
