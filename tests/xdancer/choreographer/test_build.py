"""The build: foreshortening is no change of it, growth is, and that goes back."""

import numpy as np
import pytest

from xdancer.choreographer import build
from xdancer.choreographer.build import Build
from xdancer.pose.layout import INDEX

ANKLE, NECK = INDEX["right_ankle"], INDEX["neck"]


def standing(scale: float = 1.0) -> np.ndarray:
    """A body (60, 3) of people's proportions, without hands or face, about its foot so many times as large."""
    pose = np.zeros((60, 3), np.float32)
    for name, x, y in [
        ("neck", 256, 190), ("right_hip", 240, 300.6), ("left_hip", 272, 300.6), ("right_knee", 238, 380.66),
        ("right_ankle", 236, 462.92), ("left_knee", 274, 380.66), ("left_ankle", 282.5, 462.5),
        ("left_shoulder", 290, 194.6), ("left_elbow", 300, 247.34), ("left_wrist", 320, 286.53),
    ]:  # fmt: skip
        pose[INDEX[name]] = x, y, 0.9
    pose[:, :2] = np.where(pose[:, 2:] > 0, pose[ANKLE, :2] + scale * (pose[:, :2] - pose[ANKLE, :2]), 0)
    return pose


def seen(*poses: np.ndarray, frames: int = build.FIRST) -> Build:
    """Each of the poses for so many frames."""
    dance = Build(poses[0])
    for pose in poses:
        for _ in range(frames):
            dance.push(pose)
    return dance


def test_growth_is_found() -> None:
    assert seen(standing()).grown == pytest.approx(0, abs=build.STEP)
    assert seen(standing(), standing(1.05)).grown == pytest.approx(np.log(1.05), abs=2 * build.STEP)
    assert seen(standing(), standing(0.95)).grown == pytest.approx(np.log(0.95), abs=2 * build.STEP)


def test_the_size_is_kept_from_the_first_frame_on() -> None:
    """A dance that grows by a hundredth a second, which nobody would see and which would come to a fifth in the end, is
    held, before its limbs are known and after."""
    dance, size = Build(standing()), 1.0
    for _ in range(build.FIRST + 300):
        kept = dance.kept(standing(size * (1 + 0.01 / 30)))
        dance.push(kept)
        size = float(np.ptp(kept[kept[:, 2] > 0, 1]) / np.ptp(standing()[standing()[:, 2] > 0, 1]))
        assert abs(size - 1) < 0.02


def test_how_large_a_figure_is_does_not_hang_on_what_points_at_the_camera() -> None:
    bent = standing()
    for joint, to in (("left_wrist", "left_elbow"), ("left_hip", "neck"), ("left_knee", "left_hip")):
        bent[INDEX[joint], :2] = bent[INDEX[to], :2] + 5
    bent[INDEX["left_ankle"]] = 0
    assert seen(bent, standing(), frames=build.FIRST // 2).grown == pytest.approx(0, abs=2 * build.STEP)


def test_an_arm_that_points_at_the_camera_is_no_shorter() -> None:
    bent = standing()
    bent[INDEX["left_wrist"], :2] = bent[INDEX["left_elbow"], :2] + 2
    dance = seen(standing())
    for frame in range(900):
        dance.push(bent if frame % 4 else standing())  # a quarter of the time it is seen at length
    assert abs(dance.grown) < 2 * build.STEP


def test_what_grew_goes_back_about_the_foot() -> None:
    dance, pose = seen(standing(), standing(1.05)), standing(1.01)
    made = dance.kept(pose)
    share = build.BACK * dance.grown
    np.testing.assert_array_equal(made[ANKLE], pose[ANKLE])
    np.testing.assert_allclose(made[NECK, :2], pose[NECK, :2] - share * (pose[NECK, :2] - pose[ANKLE, :2]), rtol=1e-6)
    np.testing.assert_array_equal(made[:, 2], pose[:, 2])
    np.testing.assert_array_equal(made[pose[:, 2] == 0], 0)


def test_a_dancer_that_creeps_away_is_brought_back() -> None:
    """A body that grows by a two-thousandth a second is off by 2 % at most, where it would be by 16."""
    dance, size = Build(standing()), 1.0
    for _ in range(300 * 30):
        pose = standing(size * (1 + 0.0005 / 30))
        kept = dance.kept(pose)
        dance.push(kept)
        size = float(np.ptp(kept[kept[:, 2] > 0, 1]) / np.ptp(standing()[standing()[:, 2] > 0, 1]))
    assert abs(size - 1) < 0.02


def test_who_begins_in_a_squat_has_legs_all_the_same() -> None:
    squat = standing()
    for side in ("right", "left"):
        squat[INDEX[f"{side}_ankle"], 1] = squat[INDEX[f"{side}_knee"], 1] + 35  # shins of 80 px point at the camera
    made = seen(squat).kept(standing())
    shin = np.linalg.norm(made[INDEX["left_knee"], :2] - made[INDEX["left_ankle"], :2])
    assert 60 < shin <= 80


def test_no_limb_is_stretched_and_what_hangs_on_it_comes_along() -> None:
    dance, pose = seen(standing()), standing()
    elbow, wrist, hand = INDEX["left_elbow"], INDEX["left_wrist"], slice(18, 39)
    shoulder = INDEX["left_shoulder"]
    arm = pose[elbow, :2] - pose[shoulder, :2]
    pose[[elbow, wrist], :2] += 0.5 * arm
    pose[hand] = *pose[wrist, :2], 0.8
    made = dance.kept(pose)
    np.testing.assert_allclose(made[elbow, :2] - made[shoulder, :2], build.GIVE * arm, rtol=0.01)
    np.testing.assert_allclose(made[wrist, :2] - made[elbow, :2], pose[wrist, :2] - pose[elbow, :2], atol=1e-3)
    np.testing.assert_allclose(made[hand, :2], np.broadcast_to(made[wrist, :2], (21, 2)), atol=1e-3)
    np.testing.assert_array_equal(made[:, 2], pose[:, 2])
    others = [INDEX[name] for name in ("neck", "right_knee", "left_ankle")]
    np.testing.assert_allclose(made[others, :2], pose[others, :2], atol=0.01)


def test_a_leg_is_shortened_towards_the_floor() -> None:
    dance, pose = seen(standing()), standing()
    pose[[ANKLE, INDEX["left_ankle"]], 1] += 30
    made = dance.kept(pose)
    assert made[ANKLE, 1] == pose[ANKLE, 1] and made[NECK, 1] > pose[NECK, 1] + 20


def test_of_a_build_that_nobody_has_seen_nothing_is_asked() -> None:
    nobody = np.zeros((60, 3), np.float32)
    dance = seen(nobody)
    assert dance.grown == 0
    np.testing.assert_array_equal(dance.kept(nobody), nobody)
    feet = seen(standing(), standing(1.05))
    pose = standing(1.05)
    pose[[INDEX["right_ankle"], INDEX["left_ankle"]]] = 0
    np.testing.assert_array_equal(feet.kept(pose), pose)


def test_who_begins_without_feet_is_as_large_as_when_they_have_come() -> None:
    near = standing(1.5)
    near[[INDEX["right_ankle"], INDEX["left_ankle"]]] = 0
    dance = seen(near, frames=1)
    for _ in range(build.FIRST - 2):
        dance.push(standing())
        assert dance.grown == 0
    for _ in range(2 * build.FIRST):
        dance.push(standing())
        assert dance.grown == pytest.approx(0, abs=build.STEP)


def test_a_limb_that_comes_into_view_counts_from_then_on() -> None:
    hidden = standing()
    hidden[INDEX["left_wrist"]] = 0
    dance = seen(hidden)
    dance.push(standing())
    assert dance.grown == pytest.approx(0, abs=build.STEP)
