"""Proportions of people, from rigged avatars."""

from pathlib import Path

import numpy as np

from xdancer.data import DAMAGED
from xdancer.data.skeleton import BONE, N_BONES, PARENTS, Body
from xdancer.errors import UserError

_SIDE_BONES = {
    "clavicle": "Shoulder", "upper_arm": "Arm", "forearm": "ForeArm", "hand": "Hand",
    "thigh": "UpLeg", "shin": "Leg", "foot": "Foot", "toe": "ToeBase",
}  # fmt: skip
JOINT_OF = {"spine": "Spine", "chest": "Spine2", "neck": "Neck", "head": "Head"} | {
    f"{side}_{bone}": side.capitalize() + joint for side in ("left", "right") for bone, joint in _SIDE_BONES.items()
}
FINGERS = ("Thumb", "Index", "Middle", "Ring", "Pinky")


def person_of(path: Path) -> str:
    """The person an avatar file shows: its name without the outfit."""
    return path.stem.rpartition("_")[0]


def read(path: Path, split: str) -> Body:
    """The body of one avatar file, left and right made equal. Raises UserError where the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as data:
            names = {str(name): i for i, name in enumerate(data["joint_names"])}
            rest = data["joint_rest_world"][:, :3, 3].astype(np.float64)
            vertices = data["pos_q"] * float(data["pos_scale"]) + data["pos_lo"]
            skin, weights = data["joints"], data["weights"].astype(np.float64)
            parts = {p.split(":")[0]: slice(*map(int, p.split(":")[1:])) for p in map(str, data["parts"])}
        return _measure(names, rest, vertices.astype(np.float64), skin, weights, parts, person_of(path), split)
    except DAMAGED as error:
        raise UserError(f"{path}: damaged avatar ({error}); fetch it again") from error


def _measure(
    names: dict[str, int],
    rest: np.ndarray,
    vertices: np.ndarray,
    skin: np.ndarray,
    weights: np.ndarray,
    parts: dict[str, slice],
    person: str,
    split: str,
) -> Body:
    def at(joint: str) -> np.ndarray:
        return rest[names[joint]]

    joints = np.zeros((N_BONES, 3))
    joints[0] = (at("LeftUpLeg") + at("RightUpLeg")) / 2  # by definition the pelvis is midway between the hips
    for bone, joint in JOINT_OF.items():
        joints[BONE[bone]] = at(joint)
    joints[0, 1] -= vertices[:, 1].min()
    joints[1:, 1] -= vertices[:, 1].min()
    vertices = vertices - [0, vertices[:, 1].min(), 0]
    lift = joints[BONE["head"]] - at("Head")
    offsets = np.array(
        [joints[b] - (joints[PARENTS[b]] if b else [joints[0, 0], 0, joints[0, 2]]) for b in range(N_BONES)]
    )
    hands = np.zeros((2, 5, 4, 3))
    for side, name in enumerate(("Left", "Right")):
        wrist = at(f"{name}Hand")
        hands[side] = [[at(f"{name}Hand{finger}{k}") - wrist for k in range(1, 5)] for finger in FINGERS]
    face = (
        _face(vertices, skin, weights, names, parts, at("LeftEye") + lift, at("RightEye") + lift) - joints[BONE["head"]]
    )
    toes = np.array([_toe(vertices, joints[BONE[f"{side}_toe"]]) for side in ("left", "right")])
    return _even(Body(person, split, offsets, face, hands, toes))


def _face(
    vertices: np.ndarray,
    skin: np.ndarray,
    weights: np.ndarray,
    names: dict[str, int],
    parts: dict[str, slice],
    left_eye: np.ndarray,
    right_eye: np.ndarray,
) -> np.ndarray:
    """Nose, right eye, left eye, right ear, left ear (5, 3): the nose's tip and the ears are vertices of the head."""
    skinned = np.zeros(len(vertices), dtype=bool)
    for name, part in parts.items():
        skinned[part] = "wig" not in name.lower() and "hair" not in name.lower()
    of_head = np.where(skin == names["Head"], weights, 0).sum(1) / np.maximum(weights.sum(1), 1)
    head = vertices[skinned & (of_head > 0.9)]
    eyes = (left_eye + right_eye) / 2
    below, aside = eyes[1] - head[:, 1], np.abs(head[:, 0] - eyes[0])
    middle = head[(below > 0.015) & (below < 0.06) & (aside < 0.02)]
    nose = middle[np.argmax(middle[:, 2])]
    ears = []
    for sign in (-1, 1):
        beside = head[(np.abs(below - 0.02) < 0.035) & (eyes[2] - head[:, 2] > 0.04)]
        reach = sign * (beside[:, 0] - eyes[0])
        ears.append(beside[reach > np.percentile(reach, 97)].mean(0))
    return np.array([nose, right_eye, left_eye, *ears])


def _toe(vertices: np.ndarray, toe: np.ndarray) -> np.ndarray:
    """The tip of the shoe relative to the toe joint."""
    near = vertices[(np.abs(vertices[:, 0] - toe[0]) < 0.06) & (vertices[:, 1] < 0.12)]
    return np.array([0.0, -toe[1], float(near[:, 2].max() - toe[2])])


def _even(body: Body) -> Body:
    """The body with left and right averaged: rigs are skewed by a few millimetres."""
    flip = np.array([-1.0, 1.0, 1.0])
    offsets = body.offsets.copy()
    for name, bone in BONE.items():
        other = BONE[name.replace("left_", "right_")] if name.startswith("left_") else bone
        if name.startswith("left_"):
            offsets[bone] = (body.offsets[bone] + flip * body.offsets[other]) / 2
            offsets[other] = flip * offsets[bone]
        elif not name.startswith("right_"):
            offsets[bone, 0] = 0.0
    face = body.face.copy()
    face[0, 0] = 0.0
    for right, left in ((1, 2), (3, 4)):
        face[left] = (body.face[left] + flip * body.face[right]) / 2
        face[right] = flip * face[left]
    hand = (body.hands[0] + flip * body.hands[1]) / 2
    toe = (body.toes[0] + flip * body.toes[1]) / 2
    values = {
        "offsets": offsets,
        "face": face,
        "hands": np.stack([hand, hand * flip]),
        "toes": np.stack([toe, toe * flip]),
    }
    return Body(body.person, body.split, **{key: v.astype(np.float32) for key, v in values.items()})
