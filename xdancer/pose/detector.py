"""Finding a person's joints in a picture: what any detector is asked, and who is assumed where there is none."""

from typing import Protocol

import numpy as np

from xdancer.pose.layout import INDEX, N_JOINTS, SEEN

# Somebody from head to foot, arms a little away from the body, as large as a picture of them has them.
UPRIGHT = {
    "nose": (256, 118), "right_eye": (243, 106), "left_eye": (269, 106), "right_ear": (226, 112),
    "left_ear": (286, 112), "neck": (256, 195),
    "right_shoulder": (182, 202), "right_elbow": (158, 320), "right_wrist": (140, 430),
    "left_shoulder": (330, 202), "left_elbow": (354, 320), "left_wrist": (372, 430),
    "right_hip": (213, 445), "right_knee": (208, 632), "right_ankle": (206, 812),
    "left_hip": (299, 445), "left_knee": (304, 632), "left_ankle": (306, 812),
}  # fmt: skip
BODY = ("neck", "right_hip", "left_hip", "right_knee", "left_knee", "right_ankle", "left_ankle")
HANDS = {"right": (134, 480), "left": (378, 480)}


class PoseDetector(Protocol):
    def detect(self, picture: np.ndarray) -> np.ndarray:
        """The pose (60, 3) of the person in a picture, uint8 (H, W, 3), in its px. Raises UserError where nobody is."""
        ...


def whole(pose: np.ndarray) -> bool:
    """Whether all of a person, (60, 3), is to be seen, from the neck down to the ankles."""
    return bool((pose[[INDEX[name] for name in BODY], 2] >= SEEN).all())


def standing() -> np.ndarray:
    """The pose (60, 3), in canvas px, of somebody who stands upright and fills the canvas."""
    pose = np.zeros((N_JOINTS, 3), np.float32)
    for name, place in UPRIGHT.items():
        pose[INDEX[name]] = (*place, 1)
    for side, (x, y) in HANDS.items():
        for offset, finger in zip((-12, -4, 4, 12), ("index", "middle", "ring", "little"), strict=True):
            pose[INDEX[f"{side}_{finger}_1"]] = (x + offset, y, 1)
        pose[INDEX[f"{side}_hand_wrist"]] = pose[INDEX[f"{side}_wrist"]]
    return pose
