"""The skeleton renderer: light where the joints are, as much as their confidence, at any size."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdancer.pose.layout import INDEX, LEFT_HAND, N_JOINTS, RIGHT_HAND
from xdancer.renderer import SkeletonRenderer

BODY = {
    "nose": (258, 170), "right_eye": (246, 158), "left_eye": (270, 158), "right_ear": (232, 164),
    "left_ear": (284, 164), "neck": (256, 236), "right_shoulder": (196, 238),
    "right_elbow": (150, 330), "right_wrist": (120, 420),
    "left_shoulder": (316, 234), "left_elbow": (372, 320), "left_wrist": (410, 400),
    "right_hip": (222, 440), "right_knee": (200, 600), "right_ankle": (210, 750),
    "left_hip": (292, 440), "left_knee": (330, 590), "left_ankle": (326, 745),
}  # fmt: skip


def figure() -> np.ndarray:
    """A person with spread fingers, every joint certain."""
    pose = np.ones((N_JOINTS, 3), dtype=np.float32)
    for name, xy in BODY.items():
        pose[INDEX[name], :2] = xy
    for hand, wrist in ((LEFT_HAND, BODY["left_wrist"]), (RIGHT_HAND, BODY["right_wrist"])):
        pose[hand.start, :2] = wrist
        for finger in range(5):
            turn = np.deg2rad(40 + 25 * finger)
            for k in range(4):
                reach = 22 + 12 * k
                joint = hand.start + 1 + 4 * finger + k
                pose[joint, :2] = wrist[0] + reach * np.cos(turn), wrist[1] + reach * np.sin(turn)
    return pose


def only(*names: str) -> np.ndarray:
    pose = figure()
    hidden = [joint for joint in range(N_JOINTS) if joint not in {INDEX[name] for name in names}]
    pose[hidden] = 0.0
    return pose


def light(pose: np.ndarray, renderer: SkeletonRenderer) -> np.ndarray:
    """What the figure adds to the empty stage, float (H, W)."""
    empty = np.zeros_like(pose)
    return renderer.draw(pose, 0.5).astype(float).sum(2) - renderer.draw(empty, 0.5).astype(float).sum(2)


@pytest.fixture(scope="module")
def renderer() -> SkeletonRenderer:
    return SkeletonRenderer()


def test_an_empty_pose_shows_the_dark_stage_only(renderer: SkeletonRenderer) -> None:
    picture = renderer.draw(np.zeros((N_JOINTS, 3), np.float32), 0.0)
    assert picture.shape == (896, 512, 3) and picture.dtype == np.uint8
    assert (picture == renderer.background).all()
    assert picture.max() < 80


def test_joints_of_confidence_0_are_not_drawn_wherever_they_are(renderer: SkeletonRenderer) -> None:
    pose = figure()
    pose[:, 2] = 0.0
    assert (renderer.draw(pose) == renderer.background).all()
    pose = figure()
    pose[INDEX["left_wrist"], 2] = 0.0
    moved = pose.copy()
    moved[INDEX["left_wrist"], :2] = 30, 30
    assert (renderer.draw(pose) == renderer.draw(moved)).all()


@settings(max_examples=25, deadline=None)
@given(joint=st.integers(0, N_JOINTS - 1), low=st.floats(0.05, 0.9), more=st.floats(0.05, 0.5))
def test_more_confidence_never_takes_light_away(joint: int, low: float, more: float) -> None:
    renderer = SkeletonRenderer(128, 224)
    pose = figure()
    pose[joint, 2] = low
    dim = light(pose, renderer).sum()
    pose[joint, 2] = min(1.0, low + more)
    assert light(pose, renderer).sum() >= dim


def test_light_follows_confidence_all_the_way(renderer: SkeletonRenderer) -> None:
    pose = only("right_elbow", "right_wrist")
    shine = []
    for confidence in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
        pose[[INDEX["right_elbow"], INDEX["right_wrist"]], 2] = confidence
        shine.append(light(pose, renderer)[375, 135])
    assert (np.diff(shine) > 0).all()
    assert shine[0] < 0.03 * shine[-1] and 0.2 * shine[-1] < shine[2] < 0.5 * shine[-1]


@pytest.mark.parametrize("hidden", [0.0, 0.05])
def test_a_torso_in_profile_keeps_its_light_when_the_far_side_is_hidden(
    hidden: float, renderer: SkeletonRenderer
) -> None:
    pose = figure()
    for name in ("left_shoulder", "left_hip"):
        pose[INDEX[name], 2] = hidden
        pose[INDEX[name], :2] *= hidden > 0
    whole, profile = light(figure(), renderer), light(pose, renderer)
    assert profile[330, 205] > 0.6 * whole[330, 205] > 0


@pytest.mark.parametrize("name", [n for n in BODY if n not in ("right_ear", "left_ear", "neck")])
def test_light_falls_on_each_joint(name: str, renderer: SkeletonRenderer) -> None:
    x, y = BODY[name]
    assert light(figure(), renderer)[y, x] > 150


def test_all_ten_fingers_can_be_told_apart(renderer: SkeletonRenderer) -> None:
    pose = figure()
    shine = light(pose, renderer)
    for hand in (LEFT_HAND, RIGHT_HAND):
        tips = pose[hand.start + 4 : hand.stop : 4, :2]
        for one, other in zip(tips, tips[1:], strict=False):
            (x0, y0), (x1, y1) = np.rint(one).astype(int), np.rint(other).astype(int)
            xm, ym = np.rint((one + other) / 2).astype(int)
            assert shine[ym, xm] < 0.6 * min(shine[y0, x0], shine[y1, x1])


def test_the_face_turns_with_the_nose(renderer: SkeletonRenderer) -> None:
    def face_middle(dx: float) -> float:
        pose = only("nose", "right_ear", "left_ear", "neck")
        pose[INDEX["nose"], 0] += dx
        shine = light(pose, renderer)[110:210]
        return float((shine.sum(0) * np.arange(512)).sum() / shine.sum())

    assert face_middle(-18) < face_middle(0) - 1 < face_middle(18) - 2


@pytest.mark.parametrize(("turn", "expected"), [("front", 0.0), ("right", 1.0), ("left", -1.0)])
def test_feet_point_where_the_body_faces(turn: str, expected: float, renderer: SkeletonRenderer) -> None:
    pose = figure()
    if turn != "front":
        middle = pose[INDEX["neck"], 0]
        pose[:, 0] = middle + 0.1 * (pose[:, 0] - middle)
        pose[INDEX["nose"], 0] = middle + 44.0 * expected
        pose[INDEX["right_ankle"], 0] = pose[INDEX["left_ankle"], 0] = middle
    below = light(pose, renderer)[765:810]  # under the ankles
    ankles = (pose[INDEX["right_ankle"], 0] + pose[INDEX["left_ankle"], 0]) / 2
    away = float((below * np.arange(512)).sum() / below.sum() - ankles)
    assert below.max() > 150
    assert abs(away) < 6 if expected == 0.0 else away * expected > 10


@settings(max_examples=20, deadline=None)
@given(dx=st.floats(-3.0, 3.0), dy=st.floats(-3.0, 3.0))
def test_a_shift_of_less_than_a_pixel_moves_the_light_by_as_much(dx: float, dy: float) -> None:
    renderer = SkeletonRenderer()
    pose = only("right_elbow", "right_wrist")
    moved = pose.copy()
    moved[[INDEX["right_elbow"], INDEX["right_wrist"]], :2] += dx, dy

    def centroid(p: np.ndarray) -> np.ndarray:
        shine = renderer._figure(p).astype(float).sum(2)
        y, x = np.mgrid[: shine.shape[0], : shine.shape[1]]
        return np.array([(shine * x).sum(), (shine * y).sum()]) / shine.sum()

    np.testing.assert_allclose(centroid(moved) - centroid(pose), (dx, dy), atol=0.08)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_another_size_is_the_same_picture_scaled(factor: float, renderer: SkeletonRenderer) -> None:
    other = SkeletonRenderer(int(512 * factor), int(896 * factor))
    one, two = renderer.draw(figure(), 0.2), other.draw(figure(), 0.2)
    one = cv2.resize(one, (256, 448), interpolation=cv2.INTER_AREA).astype(float)
    two = cv2.resize(two, (256, 448), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(one - two).mean() < 3.0
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.99


def test_another_shape_keeps_the_canvas_in_the_middle() -> None:
    wide = SkeletonRenderer(1024, 896)._figure(figure())
    assert (wide[:, 256:768] == SkeletonRenderer()._figure(figure())).all()


def test_the_glow_is_brightest_on_the_beat_and_the_picture_is_repeatable(renderer: SkeletonRenderer) -> None:
    pose = figure()
    on, off = renderer.draw(pose, 0.0), renderer.draw(pose, 0.5)
    assert on.sum() > off.sum()
    assert (on == SkeletonRenderer().draw(pose, 0.0)).all()


def test_a_stream_leaves_a_trail_that_fades(renderer: SkeletonRenderer) -> None:
    stream = renderer.stream()
    assert (stream.draw(figure(), 0.3) == renderer.draw(figure(), 0.3)).all()
    empty = np.zeros((N_JOINTS, 3), np.float32)
    left = [int(stream.draw(empty, 0.5).sum()) - int(renderer.background.sum()) for _ in range(30)]
    assert left[0] > left[5] > left[10] and left[-1] == 0


def test_poses_far_off_or_not_finite_do_no_harm(renderer: SkeletonRenderer) -> None:
    pose = figure()
    pose[4, :2] = 1e9, -1e9
    pose[7, 0] = np.nan
    assert renderer.draw(pose).shape == (896, 512, 3)


def test_a_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match="60, 3"):
        SkeletonRenderer().draw(np.zeros((18, 3)))
    with pytest.raises(ValueError, match="64"):
        SkeletonRenderer(8, 8)
