from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motion_fixtures import make_body, make_clip, t_pose

from xdancer.data import rotation
from xdancer.data.skeleton import BONE, N_BONES, PARENTS, Body, Clip
from xdancer.errors import UserError
from xdancer.pose.layout import INDEX, MIRROR

seeds = st.integers(0, 2**32 - 1)


def random_clip(seed: int, frames: int = 6) -> Clip:
    rng = np.random.default_rng(seed)
    rotations = rotation.to_matrix(rng.normal(size=(frames, N_BONES, 4))).astype(np.float32)
    fingers = rng.uniform(-0.2, 1.4, (frames, 2, 5, 4)).astype(np.float32)
    return Clip("a", "s", "train", "x", rng.normal(size=(frames, 3)).astype(np.float32), rotations, fingers)


def test_the_t_pose_has_its_left_at_plus_x_and_its_feet_down(body: Body) -> None:
    joints = body.joints(t_pose())[0]
    at = {name: joints[INDEX[name]] for name in INDEX}
    assert at["left_wrist"][0] > at["left_elbow"][0] > at["left_shoulder"][0] > 0 > at["right_shoulder"][0]
    assert at["nose"][1] > at["neck"][1] > at["left_hip"][1] > at["left_knee"][1] > at["left_ankle"][1] > 0
    assert at["nose"][2] > at["left_eye"][2] > at["left_ear"][2]
    np.testing.assert_allclose(at["neck"], (at["left_shoulder"] + at["right_shoulder"]) / 2, atol=1e-6)
    np.testing.assert_allclose(at["left_shoulder"][1], 0.92 + 0.12 + 0.2 + 0.15, atol=1e-5)


@given(seeds)
def test_bones_keep_their_length_and_hands_hang_on_wrists(seed: int) -> None:
    body, clip = make_body(), random_clip(seed)
    places, joints = body.skeleton(clip), body.joints(clip)
    for bone in range(1, N_BONES):
        length = np.linalg.norm(places[:, bone] - places[:, PARENTS[bone]], axis=-1)
        np.testing.assert_allclose(length, np.linalg.norm(body.offsets[bone]), atol=1e-4)
    for side in ("left", "right"):
        np.testing.assert_array_equal(joints[:, INDEX[f"{side}_hand_wrist"]], joints[:, INDEX[f"{side}_wrist"]])
        middle = joints[:, INDEX[f"{side}_middle_3"]] - joints[:, INDEX[f"{side}_middle_2"]]
        np.testing.assert_allclose(np.linalg.norm(middle, axis=-1), 0.025, atol=1e-4)


@given(seeds)
def test_the_mirrored_clip_is_the_mirror_image(seed: int) -> None:
    body, clip = make_body(), random_clip(seed)
    seen = body.joints(clip)[:, MIRROR] * np.array([-1, 1, 1])
    np.testing.assert_allclose(body.joints(clip.mirrored()), seen, atol=2e-4)


def test_fingers_curl_to_the_palm_and_spread_apart(body: Body) -> None:
    clip = t_pose()
    fist, wide = np.zeros((1, 2, 5, 4), np.float32), np.zeros((1, 2, 5, 4), np.float32)
    fist[..., 1:, :3], wide[..., 3] = 1.3, 0.2
    for side in ("left", "right"):
        wrist, tip = INDEX[f"{side}_wrist"], INDEX[f"{side}_index_4"]
        flat = body.joints(clip)[0]
        curled = body.joints(Clip("f", "s", "train", "x", clip.root, clip.rotations, fist))[0]
        spread = body.joints(Clip("w", "s", "train", "x", clip.root, clip.rotations, wide))[0]
        assert curled[tip][1] < flat[tip][1] - 0.02, "a palm that faces down takes its fingers below it"
        assert np.linalg.norm(curled[tip] - curled[wrist]) < np.linalg.norm(flat[tip] - flat[wrist]) - 0.04
        index, little = INDEX[f"{side}_index_4"], INDEX[f"{side}_little_4"]
        assert np.linalg.norm(spread[index] - spread[little]) > np.linalg.norm(flat[index] - flat[little]) + 0.01


@given(seeds, st.floats(-3, 3))
def test_turning_a_clip_turns_its_heading_and_keeps_its_shape(seed: int, angle: float) -> None:
    body, clip = make_body(), random_clip(seed)
    turned = clip.turned(angle)
    change = np.angle(np.exp(1j * (turned.heading() - clip.heading() - angle)))
    np.testing.assert_allclose(change, 0, atol=1e-3)
    spread = np.linalg.norm(body.joints(clip) - body.joints(clip)[:, :1], axis=-1)
    np.testing.assert_allclose(
        np.linalg.norm(body.joints(turned) - body.joints(turned)[:, :1], axis=-1), spread, atol=1e-3
    )


def test_resampling_on_the_frames_changes_nothing_and_between_them_interpolates() -> None:
    clip = make_clip(40)
    same = clip.resampled(np.arange(40))
    np.testing.assert_allclose(same.rotations, clip.rotations, atol=1e-5)
    between = clip.resampled(np.arange(39) + 0.5)
    body = make_body()
    joints = body.joints(clip)
    np.testing.assert_allclose(body.joints(between), (joints[1:] + joints[:-1]) / 2, atol=2e-3)


def test_joined_clips_run_on_without_a_jump(body: Body) -> None:
    first, second = make_clip(60), make_clip(60).turned(2.0).moved(np.array([3.0, 0, -1]))
    joined = first.joined(second, overlap=15)
    assert len(joined) == 105
    steps = np.linalg.norm(np.diff(body.joints(joined), axis=0), axis=-1).max()
    assert steps < 1.5 * np.linalg.norm(np.diff(body.joints(first), axis=0), axis=-1).max() + 0.02


def test_clips_and_bodies_come_back_from_disk(tmp_path: Path, body: Body) -> None:
    clip = random_clip(1)
    clip.save(tmp_path / "a.npz")
    body.save(tmp_path / "b.npz")
    loaded = Clip.load(tmp_path / "a.npz")
    np.testing.assert_allclose(loaded.rotations, clip.rotations, atol=1e-5)
    np.testing.assert_array_equal(loaded.fingers, clip.fingers)
    assert (loaded.name, loaded.source, loaded.split, loaded.style) == ("a", "s", "train", "x")
    np.testing.assert_array_equal(Body.load(tmp_path / "b.npz").hands, body.hands)


def test_a_damaged_clip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    make_clip(40).save(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="a.npz.*build the corpus again"):
        Clip.load(path)
    with pytest.raises(UserError, match="none.npz"):
        Body.load(tmp_path / "none.npz")


def test_varied_bodies_differ_but_stand_on_the_floor(body: Body) -> None:
    other = body.varied(np.random.default_rng(0), 0.1)
    assert np.abs(other.offsets - body.offsets).max() > 0.005
    ankles = [body.joints(t_pose())[0, INDEX["left_ankle"], 1], other.joints(t_pose())[0, INDEX["left_ankle"], 1]]
    np.testing.assert_allclose(ankles[0], ankles[1], atol=1e-4)
    assert BONE["pelvis"] == 0 and other.leg_length != body.leg_length
