"""Where the vertices of a skin are when its person moves (linear blend skinning)."""

import numpy as np
from torch import Tensor

from xdancer.data import rotation
from xdancer.data.meshes import PALETTE
from xdancer.data.skeleton import BONE, BONES, SPREAD, Body, Clip, hand_axes

SIDES = ("left", "right")


def transforms(body: Body, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """How each bone of `PALETTE` has moved since the T-pose: rotations (T, 51, 3, 3) and offsets (T, 51, 3) metres, so
    that a point p fixed to it is at rotation @ p + offset."""
    frames, bones = len(clip), len(BONES)
    rotations = np.empty((frames, len(PALETTE), 3, 3), dtype=np.float32)
    now = np.empty((frames, len(PALETTE), 3), dtype=np.float32)
    rest = np.empty((len(PALETTE), 3), dtype=np.float32)
    rotations[:, :bones], now[:, :bones] = clip.rotations, body.skeleton(clip)
    rest[:bones] = _t_pose(body)
    for side, name in enumerate(SIDES):
        hand = BONE[f"{name}_hand"]
        span = slice(bones + 15 * side, bones + 15 * side + 15)
        turned = clip.rotations[:, hand, None, None] @ _finger_turns(body, clip.fingers[:, side], side)
        rotations[:, span] = turned.reshape(frames, 15, 3, 3)
        knuckles = body._fingers(side, clip.fingers[:, side])[:, :, :3].reshape(frames, 15, 3)
        now[:, span] = now[:, hand, None] + np.einsum("tij,tkj->tki", clip.rotations[:, hand], knuckles)
        rest[span] = rest[hand] + body.hands[side, :, :3].reshape(15, 3)
    return rotations, now - np.einsum("tbij,bj->tbi", rotations, rest)


def _t_pose(body: Body) -> np.ndarray:
    eye = np.broadcast_to(np.eye(3, dtype=np.float32), (1, len(BONES), 3, 3))
    still = Clip("", "", "", "", np.array([[0, 1, 0]], np.float32), eye, np.zeros((1, 2, 5, 4), np.float32))
    return body.skeleton(still)[0]


def _finger_turns(body: Body, angles: np.ndarray, side: int) -> np.ndarray:
    """Rotations (T, 5, 3, 3, 3) of the finger bones against the hand, as `Body.joints` bends them."""
    axes, palm = hand_axes(body.hands[side], side)
    flexion = rotation.about(axes[None, :, None], np.cumsum(angles[..., :3], axis=-1))
    outward = np.array([1, 1, 0, -1, -1]) * (-1 if side else 1)
    spread = rotation.about(palm, angles[..., SPREAD] * outward)
    return (spread[:, :, None] @ flexion).astype(np.float32)


def skinned(points: Tensor, weights: Tensor, rotations: Tensor, offsets: Tensor | None) -> Tensor:
    """Points (V, 3) that hang on B bones with `weights` (V, B), moved by rotations (T, B, 3, 3) and offsets (T, B, 3):
    (T, V, 3). Without offsets directions are turned."""
    frames = len(rotations)
    # First what happens to each point, all frames in one product, then to the point.
    mixed = (weights @ rotations.permute(1, 0, 2, 3).reshape(-1, frames * 9)).reshape(-1, frames, 3, 3)
    moved = (mixed @ points[:, None, :, None])[..., 0]
    if offsets is not None:
        moved = moved + (weights @ offsets.permute(1, 0, 2).reshape(-1, frames * 3)).reshape(-1, frames, 3)
    return moved.transpose(0, 1)
