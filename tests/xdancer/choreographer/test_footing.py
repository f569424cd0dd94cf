"""The standing foot: what stays, what is carried along, and what may move."""

import numpy as np
import pytest

from xdancer.choreographer import footing
from xdancer.choreographer.footing import planted
from xdancer.pose.layout import FPS, INDEX

RIGHT, LEFT, KNEE, WRIST = (INDEX[n] for n in ("right_ankle", "left_ankle", "right_knee", "left_wrist"))
STEP = footing.STEP * 100 / FPS  # px a frame, of a trunk of 100 px
SLOW = STEP / 100


def standing() -> np.ndarray:
    """A pose (60, 3) with a trunk of 100 px, both feet at one height."""
    pose = np.zeros((60, 3), np.float32)
    for name, x, y in [
        ("neck", 256, 200), ("right_hip", 240, 300), ("left_hip", 272, 300), ("right_knee", 238, 380),
        ("right_ankle", 236, 460), ("left_knee", 274, 380), ("left_ankle", 276, 460), ("left_wrist", 320, 300),
    ]:  # fmt: skip
        pose[INDEX[name]] = x, y, 0.9
    return pose


def moved(right: float, left: float, others: float = 0.0) -> np.ndarray:
    """`standing` with the ankles and all other joints shifted sideways."""
    pose = standing()
    pose[pose[:, 2] > 0, 0] += others
    pose[RIGHT, 0] += right - others
    pose[LEFT, 0] += left - others
    return pose


def test_whoever_glides_stands() -> None:
    made = planted(moved(SLOW, SLOW + 1, others=SLOW), standing())
    assert made[RIGHT, 0] == pytest.approx(236, abs=1e-3 * SLOW + 1e-4)
    assert made[WRIST, 0] == pytest.approx(320 + (1 - footing.WHOLE) * SLOW, abs=1e-3)
    np.testing.assert_array_equal(made[:, 1:], standing()[:, 1:])


def test_the_knee_gives_half_way() -> None:
    made = planted(moved(SLOW, 5), standing())
    assert made[KNEE, 0] - 238 == pytest.approx(-SLOW * (footing.WHOLE + (1 - footing.WHOLE) / 2), rel=1e-3)


def test_a_step_goes_on() -> None:
    made = planted(moved(10 * STEP, 11 * STEP), standing())
    assert made[RIGHT, 0] == pytest.approx(236 + 10 * STEP - 10 * STEP / 101, rel=1e-4)


def test_a_foot_in_the_air_bears_nobody() -> None:
    pose = moved(0.0, SLOW)
    pose[RIGHT, 1] -= (footing.FLOOR + 0.05) * 100
    assert planted(pose, standing())[LEFT, 0] == pytest.approx(276, abs=1e-2)


def test_feet_that_are_not_seen_hold_nobody() -> None:
    pose = moved(SLOW, SLOW)
    pose[[RIGHT, LEFT]] = 0
    np.testing.assert_array_equal(planted(pose, standing()), pose)
    one = moved(SLOW, 2 * SLOW)
    one[RIGHT] = 0
    made = planted(one, standing())
    assert made[LEFT, 0] == pytest.approx(276, abs=1e-2) and not made[RIGHT].any()


def test_whoever_shows_no_neck_has_feet_all_the_same() -> None:
    pose = moved(0.0, SLOW)
    pose[RIGHT, 1] -= (footing.FLOOR + 0.05) * 100
    pose[INDEX["neck"]] = 0
    made = planted(pose, standing())
    assert made[LEFT, 0] == pytest.approx(276, abs=1e-2) and not made[INDEX["neck"]].any()
