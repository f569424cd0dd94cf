"""A dancer keeps their build.

Each frame goes on from the last, so that an error in size that nobody would see in one frame adds up: to the same music
for an hour, a dancer left alone grows or shrinks by several hundredths. So the longest that each limb has been seen of
late (shorter is foreshortening) is held against what it was at first, and what all of them have grown by is taken back,
slowly, from the whole figure, about the foot it stands on. And no limb gets much longer than it was: a plan that swings
wide would stretch an arm to get there.

What one pose shows of a build is foreshortened here and there, but how large the figure is can be told from the limbs
that look longest beside people's proportions; which limbs are whose own is known after ten seconds. Who begins without
feet in the picture is left to come into it first, and looked at anew every ten seconds: few dances that were learned
from stay so near.
"""

import numpy as np

from xdancer.pose.layout import ANKLES, FPS, HANDS, LIMB_BONES, SEEN

LONG = 0.9  # the quantile of a limb's lengths that stands for how long it is
STEP = 0.005  # px a px of length: how fast that is followed
FIRST = 10 * FPS  # frames after which the lengths of limbs, beside each other, are taken for the dancer's own
UPRIGHT = 70  # percent of the limbs of one pose that are no longer, for its size, than those of people are in the mean
PROPORTIONS = np.array([78, 122, 100, 78, 122, 100, 254, 182, 187, 254, 182, 187])  # of people's limbs to each other
LEAST = 0.85  # of what others tell of a limb: shorter than that nobody's is, it was only not seen at length
GIVE = 1.02  # times the length that a limb had at first: so long it may be
BACK = 1.0 / FPS  # share of what the figure has grown by that each frame takes back: the network pulls the other way


class Build:
    """How long the limbs of a dance are of late, and were at first."""

    def __init__(self, pose: np.ndarray) -> None:
        """The dance begins in this pose (60, 3), px."""
        self._meet(pose)

    def _meet(self, pose: np.ndarray) -> None:
        """Take the figure in this pose for as large as it looks; one whose feet are not to be seen for nobody yet."""
        self._frames = 0
        self._lengths = lengths(pose)
        whole = (pose[ANKLES, 2] >= SEEN).any()
        self._own = _quantile(self._lengths / PROPORTIONS, UPRIGHT) * PROPORTIONS * (1.0 if whole else np.nan)

    @property
    def grown(self) -> float:
        """By how much limbs are longer than at first, as a logarithm: the middle one."""
        return float(np.log(_quantile(self._lengths / self._own, 50)))

    def push(self, pose: np.ndarray) -> None:
        """See the next pose (60, 3) of the dance."""
        seen = lengths(pose)
        self._lengths = np.where(np.isnan(self._lengths), seen, self._lengths)
        rise = np.where(seen > self._lengths, LONG, LONG - 1)
        self._lengths *= 1 + STEP * np.where(np.isnan(seen), 0.0, rise)
        self._frames += 1
        if self._frames == FIRST and np.isnan(self._own).all():
            self._meet(pose)
        elif self._frames == FIRST:
            self._own = np.maximum(self._lengths / np.exp(self.grown), LEAST * self._own)

    def kept(self, pose: np.ndarray) -> np.ndarray:
        """The pose (60, 3) with some of what the figure has grown by taken back, and no limb too long."""
        standing = np.where(pose[ANKLES, 2] > 0, pose[ANKLES, 1], -np.inf)
        if np.isinf(standing).all():
            return pose
        foot, there = ANKLES[int(standing.argmax())], pose[:, 2:] > 0
        out = self._shortened(pose) if self._frames >= FIRST else pose.copy()
        out[:, :2] += (pose[foot, :2] - out[foot, :2]) * there
        out[:, :2] -= BACK * self.grown * (out[:, :2] - out[foot, :2]) * there
        return out

    def _shortened(self, pose: np.ndarray) -> np.ndarray:
        """The pose with limbs that are too long cut to what they may be, from the neck outwards; what hangs on them
        comes along."""
        out = pose.copy()
        now = lengths(pose)
        share = np.fmin(GIVE * self._own / now, 1.0)  # 1 where a limb is not seen, or never was
        for (a, b), part in zip(LIMB_BONES, share.tolist(), strict=True):
            if pose[a, 2] > 0 and pose[b, 2] > 0:
                out[b, :2] = out[a, :2] + part * (pose[b, :2] - pose[a, :2])
        for wrist, hand in HANDS:
            out[hand, :2] += (out[wrist, :2] - pose[wrist, :2]) * (pose[hand, 2:] > 0)
        return out


def _quantile(values: np.ndarray, percent: float) -> float:
    """A percentile of those of the values that are known; 1 where none is."""
    known = values[~np.isnan(values)]
    return float(np.percentile(known, percent)) if len(known) else 1.0


def lengths(pose: np.ndarray) -> np.ndarray:
    """Length of each limb in a pose (60, 3), px, at least 1; NaN where an end is not seen."""
    ends = pose[np.array(LIMB_BONES)]
    seen = (ends[..., 2] > 0).all(-1)
    length = np.linalg.norm(ends[:, 0, :2] - ends[:, 1, :2], axis=-1)
    return np.where(seen, np.maximum(length, 1.0), np.nan)
