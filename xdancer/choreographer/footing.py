"""The standing foot stays where it stands.

A pose that is foretold is the mean of what may come, and a plan draws joints along, feet as well: left alone, a dancer
glides. So of the feet on the floor the one that would move less is taken to bear the body, and what it would slide is
taken back: a share of it from the whole body, as who stands on a foot is carried by it, the rest from that leg alone.
"""

import numpy as np

from xdancer.pose.layout import ANKLES, FPS, INDEX

KNEES = np.array([INDEX["right_knee"], INDEX["left_knee"]])
NECK, HIPS = INDEX["neck"], [INDEX["right_hip"], INDEX["left_hip"]]
FLOOR = 0.1  # trunks: a foot that is higher than the other by more is in the air
STEP = 5.0  # trunks a second: a foot slower than this stands, a faster one steps
WHOLE = 0.3  # share of what is taken back that the whole body takes part in
LEAST = 16.0  # px: the shortest trunk, and one of which an end is not seen


def planted(pose: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The pose (60, 3) in canvas px that comes after the pose `before`, its standing foot not slid sideways. A joint
    that is not seen, confidence 0, neither stands nor moves."""
    there = (pose[ANKLES, 2] > 0) & (before[ANKLES, 2] > 0)
    trunk = LEAST
    if (pose[[NECK, *HIPS], 2] > 0).all():
        trunk = max(float(np.linalg.norm(pose[NECK, :2] - pose[HIPS, :2].mean(0))), LEAST)
    stands = there & (pose[ANKLES, 1] >= pose[ANKLES, 1].max() - FLOOR * trunk)
    if not stands.any():
        return pose
    slid = pose[ANKLES, 0] - before[ANKLES, 0]
    foot = int(np.where(stands, np.abs(slid), np.inf).argmin())
    step = STEP * trunk / FPS
    back = slid[foot] * step**2 / (step**2 + slid[foot] ** 2)
    out = pose.copy()
    out[:, 0] -= WHOLE * back * (pose[:, 2] > 0)
    out[ANKLES[foot], 0] -= (1 - WHOLE) * back
    out[KNEES[foot], 0] -= (1 - WHOLE) * back / 2 * (pose[KNEES[foot], 2] > 0)
    return out
