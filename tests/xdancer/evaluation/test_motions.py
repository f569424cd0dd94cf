"""Files such as other projects write them, made here."""

import json
import os
import pickle

import numpy as np
import pytest
from evaluation_fixtures import standing, stepping

from xdancer.errors import UserError
from xdancer.evaluation import smpl
from xdancer.evaluation.motions import find_motions, named, read_beats, read_motion, resampled
from xdancer.evaluation.unpickle import read_arrays
from xdancer.pose.layout import INDEX


def body(frames: int = 40) -> np.ndarray:
    """A T-pose that raises its left hand: joints (T, 24, 3), y up, facing +z, metres."""
    turns = np.zeros((frames, 24, 3))
    turns[:, 16, 2] = np.linspace(0, np.pi / 2, frames)  # left shoulder, about z: the arm goes up
    return smpl.joints(turns, np.zeros((frames, 3)) + (0, 0.95, 0))


def test_an_npz_of_ours(tmp_path):
    pose = stepping(60, 0.5)
    np.savez(tmp_path / "a.npz", pose=pose, beats_s=np.arange(4) * 0.5, fps=30)
    found = read_motion(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.pose, pose)
    assert found.beats.tolist() == [0, 0.5, 1, 1.5] and found.name == "a"


def test_motions_that_end_alike_are_told_apart(tmp_path):
    one, two, other = tmp_path / "edge" / "a.npz", tmp_path / "bailando" / "a.npz", tmp_path / "b.npz"
    assert named([one, two, other]) == {str(one): one, str(two): two, "b.npz": other}
    assert named([other], taken=["b.npz"]) == {str(other): other}


def keypoints(pose: np.ndarray, joints: int) -> dict[str, list[float]]:
    body = pose[:18]
    if joints == 25:
        rows = np.zeros((25, 3))
        rows[[0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]] = body
        rows[8] = (body[8] + body[11]) / 2
        body = rows
    return {"pose_keypoints_2d": body.ravel().tolist(), "hand_left_keypoints_2d": pose[18:39].ravel().tolist(),
            "hand_right_keypoints_2d": pose[39:].ravel().tolist()}  # fmt: skip


@pytest.mark.parametrize("joints", [18, 25])
def test_a_folder_of_openpose_frames(tmp_path, joints):
    pose = stepping(12, 0.5)
    pose[3, 18:39] = 0
    for n, row in enumerate(pose):
        faint = keypoints(row * (1, 1, 0.5), joints)
        people = [faint, keypoints(row, joints)] if n != 5 else []
        (tmp_path / f"x_{n:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    found = read_motion(tmp_path).pose
    want = pose.copy()
    want[5] = 0
    np.testing.assert_allclose(found, want, atol=1e-3)


def test_other_pictures_are_fitted_to_the_canvas(tmp_path):
    pose = standing(1)
    (tmp_path / "0.json").write_text(json.dumps({"people": [keypoints(pose[0] * (2, 2, 1), 25)]}))
    np.testing.assert_allclose(read_motion(tmp_path, canvas=(1024, 1792)).pose, pose, atol=1e-3)
    wide = read_motion(tmp_path, canvas=(1024, 1024)).pose  # half as large, 192 px lower: (896 - 512) / 2
    np.testing.assert_allclose(wide[..., :2], pose[..., :2] + (0, 192), atol=1e-3)


def test_forward_kinematics_by_hand():
    joints = body(2)
    np.testing.assert_allclose(joints[0, 22], [0.08 + 0.11 + 0.27 + 0.25 + 0.08, 0.95 + 0.30 + 0.11 + 0.04, 0])
    # The hand is 0.6 from the shoulder, at first to the left, then straight up.
    np.testing.assert_allclose(joints[1, 22] - joints[1, 16], [0, 0.6, 0], atol=1e-9)
    np.testing.assert_allclose(joints[:, 23, 0], -0.79)


def test_seen_from_the_front_at_600_px():
    pose = smpl.projected(body())
    at = {name: pose[0, INDEX[name], :2] for name in ("left_wrist", "right_wrist", "neck", "left_ankle")}
    # Floor to base of the skull is 0.55 from toe to hip joints' root less 0.06, and 0.61 up the spine: 1.56 m.
    unit = 600 / (0.08 + 0.40 + 0.41 + 0.06 + 0.61)
    np.testing.assert_allclose(at["left_wrist"], [256 + 0.71 * unit, at["right_wrist"][1]], atol=0.1)
    np.testing.assert_allclose(at["right_wrist"][0], 256 - 0.71 * unit, atol=0.1)
    assert at["left_ankle"][1] == pytest.approx(820 - 0.06 * unit, abs=0.1)
    assert pose[-1, INDEX["left_wrist"], 1] < at["neck"][1] - 100
    absent = [0, 14, 15, 16, 17, *range(19, 39), *range(40, 60)]
    assert not pose[:, absent].any() and (np.delete(pose[..., 2], absent, axis=1) == 1).all()
    np.testing.assert_array_equal(pose[:, 18], pose[:, INDEX["left_wrist"]])


@pytest.mark.parametrize("axes", [[0, 1, 2], [0, 2, 1], [2, 1, 0]])
@pytest.mark.parametrize("angle", [0.0, 2.0])
def test_whatever_is_up_and_wherever_the_dancer_faces(axes, angle):
    joints = body()
    sin, cos = np.sin(angle), np.cos(angle)
    turned = joints @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    np.testing.assert_allclose(smpl.projected(turned[..., axes]), smpl.projected(joints), atol=1e-2)


def test_what_edge_writes(tmp_path):
    with open(tmp_path / "test_0_song.pkl", "wb") as file:
        pickle.dump({"smpl_poses": np.zeros((40, 72), np.float32), "smpl_trans": np.zeros((40, 3), np.float32),
                     "full_pose": body().astype(np.float32)}, file)  # fmt: skip
    found = read_motion(tmp_path / "test_0_song.pkl")
    np.testing.assert_allclose(found.pose, smpl.projected(body()), atol=1e-2)
    assert found.beats is None


def test_what_has_no_joints_gets_them_by_forward_kinematics(tmp_path):
    turns = np.zeros((40, 24, 3), np.float32)
    turns[:, 16, 2] = np.linspace(0, np.pi / 2, 40)
    root = np.zeros((40, 3), np.float32) + np.float32([0, 0.95, 0])
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"smpl_poses": turns.reshape(40, 72), "smpl_trans": root}))
    np.testing.assert_allclose(read_motion(tmp_path / "a.pkl").pose, smpl.projected(body()), atol=1e-2)


def test_what_bailando_writes_at_60_frames_a_second(tmp_path):
    path = tmp_path / "song.pkl"
    np.save(path, {"pred_position": body(80).reshape(80, 72)})  # becomes song.pkl.npy
    found = read_motion(tmp_path / "song.pkl.npy")
    every = smpl.projected(body(80))
    assert found.name == "song" and len(found.pose) == 40
    np.testing.assert_allclose(found.pose, (every[::2] + every[1::2]) / 2, atol=1e-3)


def test_a_plain_array_of_joints(tmp_path):
    np.save(tmp_path / "a.npy", body().reshape(40, 72))
    np.testing.assert_allclose(read_motion(tmp_path / "a.npy", fps=30).pose, smpl.projected(body()), atol=1e-3)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_pickle_protocol_are_read(tmp_path, protocol):
    held = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(2), "c": ["x", (1, None)], "d": np.array(["x"])}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(held, protocol=protocol))
    found = read_arrays(tmp_path / "a.pkl")
    np.testing.assert_array_equal(found["a"], held["a"])
    assert (found["b"], found["c"], found["d"].tolist()) == (2, ["x", (1, None)], ["x"])


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


@pytest.mark.parametrize("where", ["pkl", "inside", "npy"])
def test_a_pickle_that_would_run_code_is_refused_in_one_line(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"a.{'npy' if where == 'npy' else 'pkl'}"
    if where == "npy":
        np.save(path, {"full_pose": Bomb()})
    else:
        path.write_bytes(pickle.dumps(Bomb() if where == "pkl" else {"full_pose": [np.zeros(3), Bomb()]}))
    with pytest.raises(UserError, match="only numpy arrays are read") as caught:
        read_motion(path)
    assert "\n" not in str(caught.value) and not (tmp_path / "exploded").exists()


def test_builtins_are_refused_as_well(tmp_path):
    for code in (b"cbuiltins\neval\n(S'1'\ntR.", b"cnumpy\nload\n(S'x'\ntR.", b"c_codecs\ndecode\n(S'x'\ntR."):
        (tmp_path / "a.pkl").write_bytes(code)
        with pytest.raises(ValueError, match="only numpy arrays"):
            read_arrays(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.pkl", b"", "EOFError"),
        ("a.pkl", pickle.dumps({"full_pose": np.zeros((4, 22, 3))}), "shape"),
        ("a.pkl", pickle.dumps({"full_pose": np.full((4, 24, 3), np.nan)}), "NaN"),
        ("a.pkl", pickle.dumps({"x": 1}), "no 'smpl_poses'"),
        ("a.pkl", pickle.dumps([1, 2]), "a list"),
        ("a.npy", b"\x93NUMPY\x01", "read"),
        ("a.mp4", b"", "unknown kind .mp4"),
        ("a.npz", b"PK", "zip"),
    ],
)
def test_what_is_no_motion_is_one_line(tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=why) as caught:
        read_motion(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_folders_that_are_no_openpose_are_one_line(tmp_path):
    with pytest.raises(UserError, match="no .json"):
        read_motion(tmp_path)
    (tmp_path / "0.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": [0] * 51}]}))
    with pytest.raises(UserError, match="17 body joints"):
        read_motion(tmp_path)


def test_any_rate_becomes_30(tmp_path):
    pose = standing(50)
    pose[:, :, 0] += np.arange(50)[:, None]
    slow = resampled(pose, 25)
    assert len(slow) == 60
    np.testing.assert_allclose(np.diff(slow[1:-1, 0, 0]), 25 / 30, rtol=1e-4)
    with pytest.raises(UserError, match="--fps 0"):
        resampled(pose, 0)


def test_motions_are_found_by_the_name_of_their_song(tmp_path):
    for name in ("one.pkl.npy", "test_0_two.pkl", "three.npz"):
        (tmp_path / name).touch()
    (tmp_path / "four").mkdir()
    found = find_motions(tmp_path, ["one", "two", "four", "five"])
    assert {name: path.name for name, path in found.items()} == {
        "one": "one.pkl.npy", "two": "test_0_two.pkl", "four": "four"
    }  # fmt: skip
    assert find_motions(tmp_path / "three.npz", ["three"]) == {"three": tmp_path / "three.npz"}
    with pytest.raises(UserError, match="named after a held-out song"):
        find_motions(tmp_path, ["six"])


def test_beats_come_from_the_beats_command(tmp_path):
    (tmp_path / "b.json").write_text(json.dumps({"beats": [0.5, 1.0], "downbeats": [], "tempo": 120}))
    assert read_beats(tmp_path / "b.json").tolist() == [0.5, 1.0]
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(UserError, match="xdancer beats"):
        read_beats(tmp_path / "b.json")
