import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_fixtures import make_body, make_clip, t_pose

from xdancer.data import hands, rotation
from xdancer.data.cameras import Camera
from xdancer.data.confidence import observed, occlusion
from xdancer.data.skeleton import BONE, Clip
from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, INDEX, check_pose

seeds = st.integers(0, 2**32 - 1)


def front(yaw: float = 0.0, distance: float = 5.0) -> Camera:
    scalars = {"yaw": yaw, "pitch": 0.0, "roll": 0.0, "distance": distance, "focal": 400.0 * distance}
    return Camera(
        centre=np.array([[0.0, 0.9, 0.0]]),
        offset=np.array([[256.0, 448.0]]),
        **{k: np.array(v) for k, v in scalars.items()},
    )


def test_projection_by_hand() -> None:
    points = np.array([[[0, 0.9, 0], [0.5, 0.9, 0], [0, 1.9, 0], [0.5, 0.9, 2.5]]])
    # 400 px a metre at the centre; half as far, twice as large; the dancer's left is on the right of the picture.
    np.testing.assert_allclose(front().project(points)[0], [[256, 448], [456, 448], [256, 48], [656, 448]], atol=1e-9)
    # From the dancer's left (+X), what is in front of the dancer is on the left of the picture.
    assert front(np.pi / 2).project(np.array([[[0, 0.9, 0.5]]]))[0, 0, 0] == pytest.approx(56)


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(0, 1.5))
def test_dances_stay_on_the_canvas_however_far_they_travel(seed: int, travel: float) -> None:
    body = make_body()
    joints = body.joints(make_clip(150, travel=travel))
    camera = Camera.sample(np.random.default_rng(seed), joints, body.stature)
    neck = camera.project(joints)[:, INDEX["neck"]]
    assert (neck[:, 0] > 0).all() and (neck[:, 0] < CANVAS_WIDTH).all()
    assert (neck[:, 1] > 0).all() and (neck[:, 1] < CANVAS_HEIGHT).all()


def test_most_figures_are_as_tall_as_the_metrics_want() -> None:
    body = make_body()
    joints = np.broadcast_to(body.joints(t_pose()), (300, 30, 60, 3))
    pixels = Camera.sample(np.random.default_rng(0), joints, np.full(300, body.stature)).project(joints)
    upright = pixels[:, 0, INDEX["left_ankle"], 1] - pixels[:, 0, INDEX["left_eye"], 1]
    scale = body.stature / float(np.ptp(body.joints(t_pose())[0, [INDEX["left_ankle"], INDEX["left_eye"]], 1]))
    tall = upright * scale
    assert 0.7 < ((tall > 560) & (tall < 800)).mean() < 0.95


def test_one_camera_of_many_equals_itself_alone() -> None:
    joints = np.stack([make_body().joints(make_clip(20)), make_body(scale=1.1).joints(make_clip(20))])
    many = Camera.sample(np.random.default_rng(5), joints)
    one = Camera(**{key: value[1] for key, value in many.__dict__.items()})
    np.testing.assert_allclose(many.project(joints)[1], one.project(joints[1]))


def test_the_body_hides_the_arm_behind_it_and_not_the_one_before() -> None:
    body = make_body()
    joints = np.repeat(body.joints(t_pose()), 4, axis=0)
    chest = joints[:, INDEX["neck"]] - [0, 0.2, 0]
    joints[:, INDEX["left_wrist"]] = chest + [0.07, 0, -0.3]
    joints[:, INDEX["right_wrist"]] = chest + [-0.07, 0, 0.3]
    hidden = occlusion(front().view(joints))
    assert hidden[:, INDEX["left_wrist"]].min() > 0.9 and hidden[:, INDEX["right_wrist"]].max() < 0.1
    behind = occlusion(front(np.pi).view(joints))
    assert behind[:, INDEX["left_wrist"]].max() < 0.1 and behind[:, INDEX["right_wrist"]].min() > 0.9


def test_confidence_falls_off_the_canvas_with_speed_and_from_behind() -> None:
    rng = np.random.default_rng(0)
    still = np.repeat(make_body().joints(t_pose()), 30, axis=0)
    pose = check_pose(observed(rng, still, front()))
    assert pose[:, INDEX["nose"], 2].mean() > 0.8
    gone = INDEX["left_middle_4"]  # outstretched arms are wider than the canvas
    assert (pose[:, gone] == 0).all()
    assert observed(rng, still, front(np.pi))[:, INDEX["nose"], 2].max() < 0.2
    fast = still.copy()
    fast[1::2, INDEX["right_knee"], 0] += 0.25  # 100 px from frame to frame
    blurred = observed(rng, fast, front())[1:, INDEX["right_knee"], 2]
    assert blurred.mean() < 0.5 * pose[1:, INDEX["right_knee"], 2].mean()


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_observed_poses_keep_the_layouts_rules(seed: int) -> None:
    rng = np.random.default_rng(seed)
    joints = make_body().joints(make_clip(31, travel=1.0))
    pose = observed(rng, joints, Camera.sample(rng, joints))
    check_pose(pose)
    unseen = pose[..., 2] == 0
    assert (pose[unseen] == 0).all()
    seen = pose[~unseen]
    assert (
        (seen[:, 0] >= 0).all() and (seen[:, 0] <= CANVAS_WIDTH - 1).all() and (seen[:, 1] <= CANVAS_HEIGHT - 1).all()
    )


@settings(max_examples=15, deadline=None)
@given(seeds, st.floats(0, 4))
def test_modelled_hands_move_smoothly_within_their_limits(seed: int, speed: float) -> None:
    angles = hands.fingers(np.random.default_rng(seed), np.full(120, speed))
    assert angles.shape == (120, 5, 4)
    np.testing.assert_array_equal(angles, hands.limited(angles))
    assert np.abs(np.diff(angles, axis=0)).max() < np.radians(40)


def test_fast_arms_have_livelier_hands() -> None:
    rng = np.random.default_rng(0)
    calm, lively = (hands.fingers(rng, np.full(3000, speed)) for speed in (0.0, 3.0))
    assert np.abs(np.diff(lively, axis=0)).mean() > 1.4 * np.abs(np.diff(calm, axis=0)).mean()


def test_modelled_heads_look_around_and_stay_on_their_necks() -> None:
    clip = make_clip(300)
    turned = hands.wrists(np.random.default_rng(0), hands.heads(np.random.default_rng(0), clip.rotations))
    for bone, against, limit in (("head", "chest", 70), ("left_hand", "left_forearm", 90)):
        local = np.swapaxes(clip.rotations[:, BONE[against]], 1, 2) @ turned[:, BONE[bone]]
        angle = 2 * np.arccos(np.clip(np.abs(rotation.to_quaternion(local)[:, 0]), 0, 1))
        assert np.degrees(angle.max()) < limit
        assert np.degrees(np.ptp(angle)) > 5
    moved = Clip("a", "s", "train", "x", clip.root, turned, clip.fingers)
    np.testing.assert_allclose(
        make_body().joints(moved)[:, :14][:, 1:], make_body().joints(clip)[:, :14][:, 1:], atol=1e-5
    )
