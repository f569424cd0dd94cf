"""Tiny raw data: one rig, an avatar with a ball for a head, clips that swing arms and legs."""

from pathlib import Path

import cv2
import numpy as np

from xdancer.data import rotation
from xdancer.data.bodies import FINGERS, JOINT_OF
from xdancer.data.skeleton import BONE, N_BONES, Body, Clip

SEGMENTS = {
    "spine": (0, 0.12, 0), "chest": (0, 0.2, 0), "neck": (0, 0.2, 0), "head": (0, 0.1, 0),
    "left_clavicle": (0.02, 0.15, 0), "left_upper_arm": (0.15, 0, 0), "left_forearm": (0.27, 0, 0),
    "left_hand": (0.25, 0, 0), "left_thigh": (0.09, 0, 0), "left_shin": (0, -0.42, 0), "left_foot": (0, -0.42, 0),
    "left_toe": (0, -0.05, 0.13),
}  # fmt: skip


def make_body(person: str = "Tess_F_1", split: str = "train", scale: float = 1.0) -> Body:
    offsets = np.zeros((N_BONES, 3))
    for name, offset in SEGMENTS.items():
        offsets[BONE[name]] = offset
        if name.startswith("left_"):
            offsets[BONE["right" + name[4:]]] = np.array(offset) * [-1, 1, 1]
    offsets[0] = [0, 0.92, 0]
    lengths = np.array([[0.04, 0.035, 0.03]] + [[0.045, 0.025, 0.02]] * 4)
    left = np.zeros((5, 4, 3))
    left[0, 0], left[1:, 0] = (0.03, -0.01, 0.03), [(0.09, 0, z) for z in (0.03, 0.01, -0.01, -0.03)]
    for finger in range(5):
        along = rotation.unit(np.array([0.7, -0.1, 0.7])) if finger == 0 else np.array([1.0, 0, 0])
        left[finger, 1:] = left[finger, 0] + np.cumsum(lengths[finger])[:, None] * along
    face = np.array(
        [[0, 0.02, 0.11], [-0.03, 0.055, 0.06], [0.03, 0.055, 0.06], [-0.09, 0.04, -0.03], [0.09, 0.04, -0.03]]
    )
    hands = np.stack([left, left * [-1, 1, 1]])
    toes = np.array([[0, -0.03, 0.06], [0, -0.03, 0.06]])
    values = {"offsets": offsets, "face": face, "hands": hands, "toes": toes}
    return Body(person, split, **{k: (v * scale).astype(np.float32) for k, v in values.items()})


def t_pose() -> Clip:
    eye = np.broadcast_to(np.eye(3, dtype=np.float32), (1, N_BONES, 3, 3))
    return Clip("t", "s", "train", "x", np.array([[0, 1, 0]], np.float32), eye, np.zeros((1, 2, 5, 4), np.float32))


def make_clip(frames: int = 90, name: str = "test-swing", travel: float = 0.0, split: str = "train") -> Clip:
    """Both arms hang and swing about the shoulder, the left knee is lifted, the trunk sways; always upright."""
    t = np.arange(frames) / 30
    rotations = np.broadcast_to(np.eye(3), (frames, N_BONES, 3, 3)).copy()
    sway = rotation.about(np.array([0.0, 0, 1]), 0.1 * np.sin(2 * np.pi * t))
    for bone in ("spine", "chest", "neck", "head", "left_clavicle", "right_clavicle"):
        rotations[:, BONE[bone]] = sway
    for side, sign in (("left", 1), ("right", -1)):
        hang = rotation.about(np.array([0.0, 0, 1]), np.full(frames, -sign * np.radians(70)))
        swing = rotation.about(np.array([1.0, 0, 0]), -0.5 * sign * np.sin(2 * np.pi * t))
        bend = rotation.about(np.array([0.0, -sign, 0]), 0.6 + 0.3 * np.sin(2 * np.pi * t))
        rotations[:, BONE[f"{side}_upper_arm"]] = swing @ hang
        rotations[:, BONE[f"{side}_forearm"]] = rotations[:, BONE[f"{side}_hand"]] = swing @ hang @ bend
    lift = np.clip(np.sin(np.pi * t), 0, 1) * 0.8
    rotations[:, BONE["left_thigh"]] = rotation.about(np.array([1.0, 0, 0]), -lift)
    rotations[:, BONE["left_shin"]] = rotation.about(np.array([1.0, 0, 0]), lift)
    root = np.stack([travel * t, np.ones(frames), 0 * t], axis=1)
    return Clip(name, name.split("-")[0], split, "test", root.astype(np.float32), rotations.astype(np.float32),
                np.zeros((frames, 2, 5, 4), dtype=np.float32))  # fmt: skip


NEO = {"pelvis": "Hips", "spine": "Spine", "chest": "Spine2", "neck": "Neck", "head": "Head"} | {
    bone: joint for bone, joint in JOINT_OF.items() if bone.startswith(("left", "right"))
}


def neo_joints(body: Body, clip: Clip) -> tuple[list[str], np.ndarray]:
    """A clip as captured joint positions (T, K, 3) of the rig without rotations, with a left-over first frame."""
    places = body.skeleton(clip)
    values = np.stack([places[:, BONE[bone]] for bone in NEO], axis=1)
    return [f"Neo_{joint}" for joint in NEO.values()], np.concatenate([values[:1] + 5, values])


def write_avatar(path: Path, body: Body) -> None:
    """An avatar file of these proportions: joints as a rig has them, a ball for a head and a box for each foot."""
    places = body.skeleton(t_pose())[0]
    joints = {"Hips": places[0] + [0, 0.05, 0]} | {joint: places[BONE[bone]] for bone, joint in JOINT_OF.items()}
    for side, name in enumerate(("Left", "Right")):
        for f, finger in enumerate(FINGERS):
            for k in range(4):
                joints[f"{name}Hand{finger}{k + 1}"] = joints[f"{name}Hand"] + body.hands[side, f, k]
    head = joints["Head"]
    joints["RightEye"], joints["LeftEye"] = head + body.face[1], head + body.face[2]
    names = list(joints)
    angles = np.stack(np.meshgrid(np.linspace(0, np.pi, 24), np.linspace(0, 2 * np.pi, 48)), -1).reshape(-1, 2)
    ball = np.stack(
        [
            np.sin(angles[:, 0]) * np.sin(angles[:, 1]),
            np.cos(angles[:, 0]),
            np.sin(angles[:, 0]) * np.cos(angles[:, 1]),
        ],
        1,
    )
    skull = head + [0, 0.04, 0.0] + ball * [0.09, 0.12, 0.11]
    soles = np.array([[x, y, z] for x in (-0.09, 0.09) for y in (0.0, 0.05) for z in (-0.05, 0.19)])
    vertices = np.concatenate([skull, soles])
    bone = np.array([names.index("Head")] * len(skull) + [names.index("RightFoot")] * 4 + [names.index("LeftFoot")] * 4)
    low, scale = vertices.min(0), 1e-4
    rest = np.broadcast_to(np.eye(4) * 0.01, (len(names), 4, 4)).copy()
    rest[:, :3, 3], rest[:, 3, 3] = np.array(list(joints.values())), 1
    faces = np.array(
        [[k, k + 1, k + 24] for k in range(len(skull) - 25)]
        + [[len(skull) + i for i in f] for f in ((0, 1, 2), (4, 5, 6))]
    )
    np.savez_compressed(
        path,
        pos_q=np.round((vertices - low) / scale).astype(np.uint16),
        pos_lo=low.astype(np.float32),
        pos_scale=np.float32(scale),
        uv_q=np.full((len(vertices), 2), 30000, dtype=np.uint16),
        uv_scale=np.float32(1 / 65535),
        uv_lo=np.float32(0),
        joints=np.stack([bone] * 4, 1).astype(np.uint8),
        weights=np.tile([255, 0, 0, 0], (len(vertices), 1)).astype(np.uint8),
        faces=faces.astype(np.uint16),
        joint_names=np.array(names),
        joint_parents=np.full(len(names), -1, dtype=np.int16),
        joint_rest_world=rest.astype(np.float32),
        parts=np.array([f"head:0:{len(vertices)}"]),
        texture_jpg=cv2.imencode(".jpg", np.full((64, 64, 3), 128, dtype=np.uint8))[1],
    )
