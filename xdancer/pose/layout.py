"""The 60 joints, the five parts and the canvas: the layout every stage agrees on.

A pose is float32 (T, 60, 3): x and y in pixels on the canvas, origin top left, and a confidence in [0, 1].
Where the confidence is 0, x and y are 0 and the joint is neither drawn nor scored. Left and right are the
dancer's own.
"""

from dataclasses import dataclass

import numpy as np

CANVAS_WIDTH = 512
CANVAS_HEIGHT = 896
FPS = 30
TOKENS_PER_PART = 6
CODEBOOK_SIZE = 512
CODE_DIM = 6
SEEN = 0.3  # confidence from which a joint counts as seen, as in OpenPose's own drawing

BODY_JOINTS = (
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle",
    "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
FINGERS = ("thumb", "index", "middle", "ring", "little")
HAND_JOINTS = ("hand_wrist", *(f"{finger}_{k}" for finger in FINGERS for k in range(1, 5)))
JOINTS = (
    *BODY_JOINTS,
    *(f"left_{name}" for name in HAND_JOINTS),
    *(f"right_{name}" for name in HAND_JOINTS),
)
N_JOINTS = len(JOINTS)
INDEX = {name: i for i, name in enumerate(JOINTS)}
LEFT_HAND = slice(18, 39)
RIGHT_HAND = slice(39, 60)
HANDS = ((INDEX["right_wrist"], RIGHT_HAND), (INDEX["left_wrist"], LEFT_HAND))  # each on the wrist of its arm


@dataclass(frozen=True)
class Part:
    """A part of the body with a codebook of its own; `joints` are indices into the 60."""

    name: str
    joints: tuple[int, ...]


PARTS = (
    Part("upper", tuple(range(1, 8))),
    Part("lower", tuple(range(8, 14))),
    Part("head", (0, 14, 15, 16, 17)),
    Part("left_hand", tuple(range(18, 39))),
    Part("right_hand", tuple(range(39, 60))),
)
N_PARTS = len(PARTS)
TOKENS_PER_FRAME = N_PARTS * TOKENS_PER_PART

BODY_BONES = (
    (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
ANKLES = (INDEX["right_ankle"], INDEX["left_ankle"])
LIMB_BONES = BODY_BONES[:12]  # shoulders, hips, arms and legs; the head has no bone whose length stays


def _hand_bones(wrist: int) -> tuple[tuple[int, int], ...]:
    bones = []
    for finger in range(len(FINGERS)):
        chain = (wrist, *(wrist + 1 + 4 * finger + k for k in range(4)))
        bones += list(zip(chain, chain[1:], strict=False))
    return tuple(bones)


HAND_BONES = (*_hand_bones(LEFT_HAND.start), *_hand_bones(RIGHT_HAND.start))
BONES = (*BODY_BONES, *HAND_BONES)


def _mirror_order() -> np.ndarray:
    def other(name: str) -> str:
        if name.startswith("left_"):
            return "right_" + name[5:]
        return "left_" + name[6:] if name.startswith("right_") else name

    return np.array([INDEX[other(name)] for name in JOINTS])


MIRROR = _mirror_order()


def mirror(pose: np.ndarray) -> np.ndarray:
    """The pose seen in a mirror: (..., 60, 3) -> (..., 60, 3), left and right exchanged about the canvas's middle."""
    flipped = pose[..., MIRROR, :].copy()
    seen = flipped[..., 2] > 0
    flipped[..., 0] = np.where(seen, CANVAS_WIDTH - 1 - flipped[..., 0], 0.0)
    return flipped


def check_pose(pose: np.ndarray, what: str = "pose") -> np.ndarray:
    """`pose` as float32 (T, 60, 3). Raises ValueError naming `what` where shape or values are wrong."""
    pose = np.asarray(pose, dtype=np.float32)
    if pose.ndim != 3 or pose.shape[1:] != (N_JOINTS, 3):
        raise ValueError(f"{what} has shape {pose.shape}, expected (T, {N_JOINTS}, 3)")
    if not np.isfinite(pose).all():
        frame = int(np.argmax(~np.isfinite(pose).all(axis=(1, 2))))
        raise ValueError(f"{what} holds NaN or infinity, first in frame {frame}")
    if (pose[..., 2] < 0).any() or (pose[..., 2] > 1).any():
        raise ValueError(f"{what} has confidences outside [0, 1]")
    return pose


def check_tokens(tokens: np.ndarray, what: str = "tokens") -> np.ndarray:
    """`tokens` as int16 (T, 5, 6). Raises ValueError naming `what` where shape or values are wrong."""
    tokens = np.asarray(tokens)
    if tokens.ndim != 3 or tokens.shape[1:] != (N_PARTS, TOKENS_PER_PART):
        raise ValueError(f"{what} has shape {tokens.shape}, expected (T, {N_PARTS}, {TOKENS_PER_PART})")
    if tokens.dtype.kind not in "iu":
        raise ValueError(f"{what} has dtype {tokens.dtype}, expected integers")
    if tokens.size and (tokens.min() < 0 or tokens.max() >= CODEBOOK_SIZE):
        raise ValueError(f"{what} has values outside 0..{CODEBOOK_SIZE - 1}")
    return tokens.astype(np.int16)
