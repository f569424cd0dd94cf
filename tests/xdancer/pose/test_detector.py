"""Poses of people in pictures: who is assumed, and what MediaPipe's findings become."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from xdancer.errors import UserError
from xdancer.pose import mediapipe
from xdancer.pose.detector import standing
from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, INDEX, LEFT_HAND, RIGHT_HAND


@dataclass
class Mark:
    x: float
    y: float
    visibility: float = 0.0


@dataclass
class Marks:
    landmark: list[Mark]


@dataclass
class Found:
    """What MediaPipe's Holistic returns: landmarks from 0 to 1 across the picture."""

    pose_landmarks: Marks | None
    left_hand_landmarks: Marks | None = None
    right_hand_landmarks: Marks | None = None
    given: list[np.ndarray] = field(default_factory=list)

    def process(self, picture: np.ndarray) -> "Found":
        self.given.append(picture)
        return self


def body() -> Marks:
    return Marks([Mark(0.01 * k, 0.02 * k, 0.9) for k in range(33)])


def test_landmarks_become_joints_in_pixels() -> None:
    found = Found(body(), left_hand_landmarks=Marks([Mark(0.5, 0.5 + 0.01 * k) for k in range(21)]))
    pose = mediapipe.joints(found, 200, 100)
    np.testing.assert_allclose(pose[INDEX["left_knee"]], [0.25 * 200 - 0.5, 0.5 * 100 - 0.5, 0.9], rtol=1e-6)
    np.testing.assert_allclose(pose[INDEX["right_knee"]], [0.26 * 200 - 0.5, 0.52 * 100 - 0.5, 0.9], rtol=1e-6)
    np.testing.assert_allclose(pose[INDEX["neck"]], (pose[INDEX["left_shoulder"]] + pose[INDEX["right_shoulder"]]) / 2)
    assert (pose[LEFT_HAND][:, 2] == 1).all() and pose[LEFT_HAND][3, 1] == pytest.approx(52.5)
    seen = {k for k in range(39, 60) if pose[k, 2] > 0}  # of a hand that was not found: the wrist and two knuckles
    assert seen == {INDEX[f"right_{name}"] for name in ("hand_wrist", "index_1", "little_1")}
    np.testing.assert_allclose(pose[INDEX["right_index_1"]][:2], [39.5, 39.5], atol=1e-4)


def test_what_is_unsure_or_outside_is_not_there() -> None:
    marks = body()
    marks.landmark[25].visibility = 0.1
    marks.landmark[26].y = 1.2
    pose = mediapipe.joints(Found(marks), 200, 100)
    assert not pose[[INDEX["left_knee"], INDEX["right_knee"]]].any()
    assert not pose[RIGHT_HAND][4].any()


def test_nobody_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = object.__new__(mediapipe.MediaPipeDetector)
    detector._net = Found(None)
    with pytest.raises(UserError, match="nobody is to be seen"):
        detector.detect(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.skipif(mediapipe.installed(), reason="MediaPipe is installed")
def test_without_mediapipe_it_says_how_to_get_it() -> None:
    with pytest.raises(UserError, match=r"pip install 'xdancer\[pose\]'"):
        mediapipe.MediaPipeDetector()


def test_who_is_assumed_stands_upright_within_the_canvas() -> None:
    pose = standing()
    seen = pose[:, 2] > 0
    assert seen[:18].all() and (pose[seen, :2] > 0).all()
    assert (pose[:, 0] < CANVAS_WIDTH).all() and (pose[:, 1] < CANVAS_HEIGHT).all()
    assert pose[INDEX["right_shoulder"], 0] < pose[INDEX["left_shoulder"], 0]  # seen from the front
    assert pose[INDEX["nose"], 1] < pose[INDEX["right_hip"], 1] < pose[INDEX["right_ankle"], 1]
