"""MediaPipe Holistic as a `PoseDetector`: the extra `pose`, whose package carries its models."""

import importlib.util
from typing import Any

import numpy as np

from xdancer.errors import UserError
from xdancer.pose.layout import HAND_JOINTS, INDEX, LEFT_HAND, N_JOINTS, RIGHT_HAND

MISSING = "finding a person's pose needs MediaPipe: pip install 'xdancer[pose]' (Python 3.11 or 3.12)"
# MediaPipe's landmarks by our joints (its left is the person's own, as ours).
LANDMARKS = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8, "left_shoulder": 11, "right_shoulder": 12,
    "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16, "left_hip": 23, "right_hip": 24,
    "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28,
}  # fmt: skip
FINGERS = {"index": (19, 20), "little": (17, 18)}  # left and right knuckles, where a hand is not found by itself
LEAST = 0.3  # visibility below which a joint is not there


def installed() -> bool:
    """Whether MediaPipe can be had here."""
    return importlib.util.find_spec("mediapipe") is not None


class MediaPipeDetector:
    """Raises UserError where MediaPipe is not installed."""

    def __init__(self) -> None:
        try:
            from mediapipe.python.solutions.holistic import Holistic
        except ImportError:
            raise UserError(MISSING) from None
        self._net: Any = Holistic(static_image_mode=True, model_complexity=1)

    def detect(self, picture: np.ndarray) -> np.ndarray:
        """The pose (60, 3) of the person in a picture, uint8 (H, W, 3), in its px. Raises UserError where nobody is."""
        found = self._net.process(picture)
        if found.pose_landmarks is None:
            raise UserError("reference: nobody is to be seen in the picture; take one of a whole person from the front")
        return joints(found, picture.shape[1], picture.shape[0])


def joints(found: Any, width: int, height: int) -> np.ndarray:
    """What MediaPipe found, as a pose (60, 3)."""
    pose = np.zeros((N_JOINTS, 3), np.float32)

    def place(mark: Any) -> np.ndarray:
        x, y = mark.x * width - 0.5, mark.y * height - 0.5
        inside = 0 <= mark.x < 1 and 0 <= mark.y < 1
        sure = min(max(float(mark.visibility), 0.0), 1.0) if inside else 0.0
        return np.array([x, y, sure], np.float32) if sure >= LEAST else np.zeros(3, np.float32)

    marks = found.pose_landmarks.landmark
    for name, number in LANDMARKS.items():
        pose[INDEX[name]] = place(marks[number])
    left, right = pose[INDEX["left_shoulder"]], pose[INDEX["right_shoulder"]]
    if min(left[2], right[2]) > 0:
        pose[INDEX["neck"]] = (left + right) / 2
    for side, (span, hand) in enumerate(
        ((LEFT_HAND, found.left_hand_landmarks), (RIGHT_HAND, found.right_hand_landmarks))
    ):
        name = ("left", "right")[side]
        if hand is not None:  # its landmarks are in the order of ours, and have no visibility of their own
            marked = np.array([[m.x * width - 0.5, m.y * height - 0.5, 1.0] for m in hand.landmark], np.float32)
            pose[span] = marked[: len(HAND_JOINTS)]
        else:
            pose[INDEX[f"{name}_hand_wrist"]] = pose[INDEX[f"{name}_wrist"]]
            for finger, numbers in FINGERS.items():
                pose[INDEX[f"{name}_{finger}_1"]] = place(marks[numbers[side]])
    return pose
