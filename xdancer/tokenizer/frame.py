"""How a pose enters and leaves the network: each part relative to an anchor, missing joints as zeros.

Lower body and head stand relative to the neck, hands relative to the wrist of their arm, so that a step to the side
moves one part's tokens only and a hand never leaves its arm. The functions on outputs work on numpy arrays and on
torch tensors alike.
"""

from typing import Any

import numpy as np

from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, INDEX, LEFT_HAND, N_JOINTS, PARTS, RIGHT_HAND, SEEN

CENTRE = np.array([CANVAS_WIDTH / 2, CANVAS_HEIGHT / 2], dtype=np.float32)
NECK, LEFT_WRIST, RIGHT_WRIST = INDEX["neck"], INDEX["left_wrist"], INDEX["right_wrist"]
SHOULDERS = (INDEX["right_shoulder"], INDEX["left_shoulder"])
UNIT = 128.0  # px: the network's unit for limbs and places
FINE_UNIT = 48.0  # px: its unit inside head and hands
ANCHORS = (NECK, NECK, NECK, LEFT_WRIST, RIGHT_WRIST)
UNITS = (UNIT, UNIT, FINE_UNIT, FINE_UNIT, FINE_UNIT)
INPUTS = tuple(3 * len(part.joints) + 3 for part in PARTS)
OUTPUTS = 3 * N_JOINTS
VISIBLE = 0.05  # a decoded confidence below this is none

# Outputs come part by part; this is where each joint of the layout stands in them.
PLACE = np.argsort(np.concatenate([part.joints for part in PARTS]))
SCALE = np.empty((N_JOINTS, 1), dtype=np.float32)
for _part, _unit in zip(PARTS, UNITS, strict=True):
    SCALE[list(_part.joints)] = _unit
OFFSET = np.zeros((18, 2), dtype=np.float32)
OFFSET[NECK] = CENTRE
HANGS_ON_NECK = np.ones((18, 1), dtype=np.float32)
HANGS_ON_NECK[NECK] = 0.0


def inputs(pose: np.ndarray) -> list[np.ndarray]:
    """Poses (..., 60, 3) -> one array (..., 3 n + 3) a part: n joints relative to the anchor (x, y, confidence), then
    the anchor's place on the canvas and whether it was seen; else the middle of the part's seen joints stands in."""
    out = []
    for part, anchor, unit in zip(PARTS, ANCHORS, UNITS, strict=True):
        own = pose[..., part.joints, :]
        seen = (own[..., 2:] > 0).astype(np.float32)
        middle = (own[..., :2] * seen).sum(-2) / np.maximum(seen.sum(-2), 1)
        known = pose[..., anchor, 2:] > 0
        base = np.where(known, pose[..., anchor, :2], np.where(seen.any(-2), middle, CENTRE))
        relative = (own[..., :2] - base[..., None, :]) / unit * seen
        joints = np.concatenate([relative, own[..., 2:]], axis=-1).reshape(*pose.shape[:-2], -1)
        out.append(np.concatenate([joints, (base - CENTRE) / UNIT, known], axis=-1).astype(np.float32))
    return out


def placed(outputs: Any) -> tuple[Any, Any]:
    """Network outputs (..., 180) -> px (..., 60, 2) and confidence logits (..., 60), numpy or torch."""
    joints = outputs.reshape(*outputs.shape[:-1], N_JOINTS, 3)[..., PLACE, :]
    constants: list[Any] = [SCALE, OFFSET, HANGS_ON_NECK]
    join: Any = np.concatenate
    if not isinstance(outputs, np.ndarray):
        import torch

        constants = [torch.from_numpy(a).to(outputs.device) for a in constants]
        join = torch.cat
    scale, offset, hangs = constants
    local = joints[..., :2] * scale
    body = local[..., :18, :] + offset
    body = body + hangs * body[..., NECK : NECK + 1, :]
    left = local[..., LEFT_HAND, :] + body[..., LEFT_WRIST : LEFT_WRIST + 1, :]
    right = local[..., RIGHT_HAND, :] + body[..., RIGHT_WRIST : RIGHT_WRIST + 1, :]
    return join([body, left, right], -2), joints[..., 2]


def finished(outputs: np.ndarray) -> np.ndarray:
    """Network outputs (T, 180) -> pose (T, 60, 3) by the contract: a joint hardly seen has zeros throughout, and the
    neck, which is the middle of the shoulders, is seen where both of them are. The network loses it in some turns."""
    px, logits = placed(outputs)
    confidence = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    neck = confidence[..., NECK]
    confidence[..., NECK] = np.where(neck < SEEN, np.maximum(neck, confidence[..., SHOULDERS].min(-1)), neck)
    pose = np.concatenate([px, confidence[..., None]], axis=-1).astype(np.float32)
    pose[confidence < VISIBLE] = 0
    return pose
