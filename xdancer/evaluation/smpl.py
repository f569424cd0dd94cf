"""Motions of an SMPL body as poses on our canvas: what other projects write, seen from the front."""

import numpy as np

from xdancer.data import rotation
from xdancer.pose.layout import CANVAS_WIDTH, INDEX, N_JOINTS

N_SMPL = 24
HEIGHT, FLOOR = 600.0, 820.0  # px: from the feet to the base of the skull, and where the feet stand
LEFT_RIGHT = ((1, 2), (16, 17))  # hips and shoulders
PELVIS, NECK, HEAD, FEET = 0, 12, 15, (7, 8, 10, 11)

TO_OURS = {
    "left_shoulder": 16, "right_shoulder": 17, "left_elbow": 18, "right_elbow": 19, "left_wrist": 20, "right_wrist": 21,
    "left_hip": 1, "right_hip": 2, "left_knee": 4, "right_knee": 5, "left_ankle": 7, "right_ankle": 8,
    "left_hand_wrist": 20, "right_hand_wrist": 21,
}  # fmt: skip
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
# Of an average adult in a T-pose, metres, y up, x to the left: rounded from common body proportions.
_HALF = {
    0: (0, 0, 0), 3: (0, 0.11, 0), 6: (0, 0.13, 0), 9: (0, 0.06, 0), 12: (0, 0.21, 0), 15: (0, 0.10, 0),
    1: (0.08, -0.08, 0), 4: (0.02, -0.40, 0), 7: (0, -0.41, 0), 10: (0.02, -0.06, 0.12),
    13: (0.08, 0.11, 0), 16: (0.11, 0.04, 0), 18: (0.27, 0, 0), 20: (0.25, 0, 0), 22: (0.08, 0, 0),
}  # fmt: skip
OFFSETS = np.array([_HALF[j] if j in _HALF else np.multiply(_HALF[j - 1], (-1, 1, 1)) for j in range(N_SMPL)])


def joints(turns: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Forward kinematics: axis-angle rotations (T, 24, 3) rad, each relative to its parent, and root (T, 3) m, to joint
    positions (T, 24, 3) m on an average body."""
    angle = np.linalg.norm(turns, axis=-1)
    local = rotation.about(rotation.unit(turns), angle)
    world = np.empty_like(local)
    out = np.empty((len(turns), N_SMPL, 3))
    world[:, 0], out[:, 0] = local[:, 0], root
    for joint in range(1, N_SMPL):
        parent = PARENTS[joint]
        world[:, joint] = world[:, parent] @ local[:, joint]
        out[:, joint] = out[:, parent] + world[:, parent] @ OFFSETS[joint]
    return out


def projected(positions: np.ndarray) -> np.ndarray:
    """SMPL joints (T, 24, 3), any unit and axes, to poses (T, 60, 3) by orthographic projection from the front.

    Up is the axis along which the neck is above the pelvis; the front is where the dancer faces in the mean. The size
    is that of its greatest height, the middle that of its median place. Face and fingers, which SMPL has not, get
    confidence 0, all else 1.
    """
    spine = (positions[:, NECK] - positions[:, PELVIS]).mean(axis=0)
    axis = int(np.abs(spine).argmax())
    height = positions[..., axis] * np.sign(spine[axis])
    aside = _aside(positions, axis)
    across = positions @ aside
    floor = np.percentile(height[:, FEET].min(axis=1), 5)
    stature = np.percentile(height[:, HEAD] - height[:, FEET].min(axis=1), 95)
    scale = HEIGHT / max(float(stature), 1e-6)
    at = np.stack(
        [(across - np.median(across[:, PELVIS])) * scale + CANVAS_WIDTH / 2, FLOOR - (height - floor) * scale]
    )
    pose = np.zeros((len(positions), N_JOINTS, 3), np.float32)
    for name, joint in TO_OURS.items():
        pose[:, INDEX[name], :2] = at[:, :, joint].T
        pose[:, INDEX[name], 2] = 1.0
    shoulders = [INDEX["right_shoulder"], INDEX["left_shoulder"]]
    pose[:, INDEX["neck"]] = pose[:, shoulders].mean(axis=1)
    return pose


def _aside(positions: np.ndarray, up: int) -> np.ndarray:
    """Unit vector (3,) from the dancer's right to the left, level, in the mean; in the first frame of one who spins."""
    sideways = sum(positions[:, left] - positions[:, right] for left, right in LEFT_RIGHT)
    sideways = np.array(sideways)
    sideways[:, up] = 0.0
    mean = sideways.mean(axis=0)
    if np.linalg.norm(mean) < 0.2 * np.linalg.norm(sideways, axis=-1).mean():
        mean = sideways[0]
    return rotation.unit(mean)
