"""How poses enter and leave the network, by hand-worked values."""

import numpy as np
import pytest
import torch
from tokenizer_fixtures import swaying

from xdancer.pose.layout import INDEX, N_JOINTS, PARTS
from xdancer.tokenizer import frame


def pose_with(**joints):
    pose = np.zeros((1, N_JOINTS, 3), dtype=np.float32)
    for name, (x, y) in joints.items():
        pose[0, INDEX[name]] = (x, y, 0.8)
    return pose


def test_hand_is_seen_from_its_own_wrist():
    pose = pose_with(left_wrist=(300, 400), left_hand_wrist=(300, 400), left_thumb_1=(324, 388), right_wrist=(10, 10))
    left = frame.inputs(pose)[3][0]
    np.testing.assert_allclose(left[:6], [0, 0, 0.8, 24 / 48, -12 / 48, 0.8], atol=1e-6)
    np.testing.assert_allclose(left[-3:], [(300 - 256) / 128, (400 - 448) / 128, 1], atol=1e-6)


def test_without_its_anchor_a_part_stands_about_its_own_middle():
    pose = pose_with(right_knee=(200, 600), left_knee=(240, 620))
    lower = frame.inputs(pose)[1][0]
    names = [PARTS[1].joints.index(INDEX[n]) for n in ("right_knee", "left_knee")]
    np.testing.assert_allclose(lower[3 * names[0] : 3 * names[0] + 2], [-20 / 128, -10 / 128], atol=1e-6)
    np.testing.assert_allclose(lower[3 * names[1] : 3 * names[1] + 2], [20 / 128, 10 / 128], atol=1e-6)
    np.testing.assert_allclose(lower[-3:], [(220 - 256) / 128, (610 - 448) / 128, 0], atol=1e-6)


def test_moving_the_dancer_moves_only_the_anchor():
    pose = swaying(3)
    moved = pose.copy()
    moved[..., :2] += (16, -8)
    for a, b in zip(frame.inputs(pose), frame.inputs(moved), strict=True):
        np.testing.assert_allclose(a[:, :-3], b[:, :-3], atol=1e-5)
        np.testing.assert_allclose(b[:, -3:-1] - a[:, -3:-1], [[16 / 128, -8 / 128]] * 3, atol=1e-5)


def outputs_for(pose):
    """The network outputs that stand for a pose: `placed` undone, joint by joint."""
    out = np.zeros((len(pose), N_JOINTS, 3), dtype=np.float32)
    row = 0
    for part, anchor, unit in zip(PARTS, frame.ANCHORS, frame.UNITS, strict=True):
        for joint in part.joints:
            base = frame.CENTRE if joint == frame.NECK else pose[:, anchor, :2]
            out[:, row, :2] = (pose[:, joint, :2] - base) / unit
            out[:, row, 2] = np.log(pose[:, joint, 2] / (1 - pose[:, joint, 2]))
            row += 1
    return out.reshape(len(pose), -1)


def test_finished_undoes_what_the_outputs_mean():
    pose = swaying(4, seed=3)
    pose[..., 2] = np.clip(pose[..., 2], 0.1, 0.9)
    np.testing.assert_allclose(frame.finished(outputs_for(pose)), pose, atol=1e-3)


def test_torch_and_numpy_place_alike():
    outputs = np.random.default_rng(0).normal(size=(2, 5, frame.OUTPUTS)).astype(np.float32)
    px, logits = frame.placed(outputs)
    torch_px, torch_logits = frame.placed(torch.from_numpy(outputs))
    np.testing.assert_allclose(px, torch_px.numpy(), atol=1e-3)
    np.testing.assert_array_equal(logits, torch_logits.numpy())


def test_a_joint_hardly_seen_is_not_there():
    outputs = np.zeros((1, N_JOINTS, 3), dtype=np.float32)
    outputs[..., 2] = -4.0  # 0.018
    assert frame.finished(outputs.reshape(1, -1)).sum() == 0
    outputs[..., 2] = -2.0  # 0.119
    assert frame.finished(outputs.reshape(1, -1))[..., 2].min() == pytest.approx(0.1192, abs=1e-3)
