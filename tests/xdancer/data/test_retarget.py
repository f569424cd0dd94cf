import numpy as np
import pytest
from motion_fixtures import make_body, make_clip, neo_joints
from scipy.spatial.transform import Rotation

from xdancer.data import cleaning, retarget, rigs
from xdancer.data.readers import Capture
from xdancer.data.skeleton import Body, Clip
from xdancer.errors import UserError
from xdancer.pose.layout import INDEX


def capture(body: Body, clip: Clip, turn: np.ndarray | None = None, scale: float = 1.0) -> Capture:
    names, values = neo_joints(body, clip)
    values = values[1:] * scale @ (np.eye(3) if turn is None else turn).T
    return Capture("take", 30.0, {name: values[:, k] for k, name in enumerate(names)})


def recovered(take: retarget.Take) -> Clip:
    root, rotations = retarget.canonical(take, retarget.neutral([take]))
    return Clip("a", "s", "train", "x", root, rotations, np.zeros((len(take), 2, 5, 4), np.float32))


@pytest.mark.parametrize("scale", [1.0, 15.5])
def test_a_capture_of_one_body_dances_the_same_on_another(scale: float) -> None:
    clip, wearer = make_clip(120), make_body(scale=1.1)
    (take,) = retarget.takes(capture(make_body(), clip, scale=scale), rigs.RIGS[0])
    joints, truth = wearer.joints(recovered(take)), wearer.joints(clip)
    joints[..., 1] += truth[:, INDEX["neck"], 1].mean() - joints[:, INDEX["neck"], 1].mean()
    body = [k for name, k in INDEX.items() if k < 14 and name != "nose"]
    assert np.linalg.norm(joints - truth, axis=-1)[5:-5, body].mean() < 0.02
    assert np.linalg.norm(joints - truth, axis=-1)[5:-5, body].max() < 0.06


def test_z_up_is_turned_and_facing_is_kept() -> None:
    clip = make_clip(120)
    z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    (take,) = retarget.takes(capture(make_body(), clip, z_up), rigs.RIGS[0])
    (plain,) = retarget.takes(capture(make_body(), clip), rigs.RIGS[0])
    np.testing.assert_allclose(recovered(take).rotations, recovered(plain).rotations, atol=1e-5)


def test_glitches_are_bridged_and_long_gaps_cut() -> None:
    clip = make_clip(240)
    broken = capture(make_body(), clip)
    wrist = broken.positions["Neo_LeftHand"]
    wrist[50] += 0.6
    (take,) = retarget.takes(broken, rigs.RIGS[0])
    clean = make_body().skeleton(clip)[50, 8]
    assert np.linalg.norm(take.points["Neo_LeftHand"][50] - clean) < 0.05
    wrist[100:140:2] += 0.6
    first, second = retarget.takes(broken, rigs.RIGS[0])
    assert (first.name, second.name) == ("take", "take-2")
    assert len(first) < 102 and len(second) < 102


def test_fast_but_steady_movement_is_no_glitch() -> None:
    t = np.arange(60) / 30
    circle = 0.8 * np.stack([np.cos(14 * t), np.sin(14 * t), 0 * t], axis=1)  # 11 m/s
    assert not cleaning.glitches(circle[:, None], np.array([0.2])).any()
    circle[30] += 0.5
    assert cleaning.glitches(circle[:, None], np.array([0.2])).nonzero()[0].tolist() == [29, 30, 31]


def test_resampling_keeps_time() -> None:
    for fps in (30.0, 50.0, 60.0, 119.88):
        t = np.arange(int(4 * fps)) / fps
        values = cleaning.at_rate(np.sin(2 * np.pi * t)[:, None], fps)
        np.testing.assert_allclose(values[:90, 0], np.sin(2 * np.pi * np.arange(90) / 30), atol=0.01)


def test_the_noise_filter_keeps_what_people_do() -> None:
    t = np.arange(240) / 60
    dance, noise = np.sin(2 * np.pi * 2 * t), 0.1 * np.sin(2 * np.pi * 25 * t)
    smooth = cleaning.smooth((dance + noise)[:, None], 60.0)[30:-30, 0]
    assert np.abs(smooth - dance[30:-30]).max() < 0.02


def test_an_unknown_rig_is_named() -> None:
    with pytest.raises(UserError, match="odd.npz: take walk"):
        rigs.detect(Capture("walk", 30, {"tail": np.zeros((3, 3))}), "odd.npz")


def test_knees_and_elbows_have_their_axes_in_the_dancers_own_frame() -> None:
    (take,) = retarget.takes(capture(make_body(), make_clip(120)), rigs.RIGS[0])
    clip = recovered(take)
    for side, sign in (("left", 1), ("right", -1)):
        thigh, shin = (clip.rotations[:, retarget.BONE[f"{side}_{n}"]] for n in ("thigh", "shin"))
        bend = Rotation.from_matrix(np.swapaxes(thigh, 1, 2) @ shin).as_rotvec()
        assert bend[:, 0].min() > -0.05, "a knee only takes the shin back"
        upper, fore = (clip.rotations[:, retarget.BONE[f"{side}_{n}"]] for n in ("upper_arm", "forearm"))
        bend = Rotation.from_matrix(np.swapaxes(upper, 1, 2) @ fore).as_rotvec()
        assert (-sign * bend[:, 1]).min() > 0.2, "an elbow brings the forearm forward"
