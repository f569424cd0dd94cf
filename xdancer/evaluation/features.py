"""Kinetic and geometric features of five seconds of motion, in 2-D.

The field's are 3-D and made from SMPL joints: kinetic after Onuma et al. ("FMDistance", Eurographics 2008), geometric
after Müller et al. ("Efficient content-based retrieval of motion capture data", SIGGRAPH 2005), as AIST++ and Bailando
use them. These are the same ideas for the 60 joints on the canvas, so they compare with no published figure. Lengths
are in trunks, so a near and a far camera agree; what is not seen does not count.
"""

import numpy as np

from xdancer.evaluation.alignment import torso
from xdancer.pose.layout import FPS, INDEX, SEEN

WINDOW = 5 * FPS  # frames
ENOUGH = FPS  # frames of a window in which something must be seen to be known
FAST_HAND, FAST_FOOT, FAST_HIPS = 2.0, 1.0, 0.6  # trunks a second
SIDES = ("right", "left")
KINETIC = [INDEX["neck"], *(INDEX[f"{s}_{n}"] for n in ("elbow", "wrist", "hip", "knee", "ankle") for s in SIDES)]


def windows(pose: np.ndarray) -> list[np.ndarray]:
    """Poses (T, 60, 3) cut into pieces of five seconds, one after the other; the rest is left out."""
    return [pose[start : start + WINDOW] for start in range(0, len(pose) - WINDOW + 1, WINDOW)]


def mean_seen(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean over frames of values (T, N) where seen (T, N): (N,), NaN where that is less than a second."""
    count = seen.sum(axis=0)
    total = np.where(seen, values, 0.0).sum(axis=0)
    return np.where(count >= ENOUGH, total / np.maximum(count, 1), np.nan)


def kinetic(pose: np.ndarray) -> np.ndarray:
    """(W, 33): by window and joint, root mean square speed across and up and down, and mean acceleration.

    Trunks a second (squared, for acceleration). The published ones are the squares of the first two; the roots keep a
    few bursts from ruling the covariance. NaN where the joint is not seen long enough.
    """
    trunk = torso(pose)
    rows = []
    for piece in windows(pose):
        body = piece[:, KINETIC].astype(np.float64)
        seen = body[..., 2] >= SEEN
        speed = np.diff(body[..., :2], axis=0) * FPS / trunk
        moving = seen[1:] & seen[:-1]
        pull = np.linalg.norm(np.diff(speed, axis=0), axis=-1) * FPS
        energies = [np.sqrt(mean_seen(speed[..., axis] ** 2, moving)) for axis in (0, 1)]
        rows.append(np.concatenate([*energies, mean_seen(pull, moving[1:] & moving[:-1])]))
    return np.array(rows).reshape(-1, 3 * len(KINETIC))


def geometric(pose: np.ndarray) -> np.ndarray:
    """(W, 28): by window, the share of frames in which each of the predicates holds; NaN where it is not seen."""
    held, seen = predicates(pose)
    cut = range(0, len(pose) - WINDOW + 1, WINDOW)
    rows = [mean_seen(held[start : start + WINDOW], seen[start : start + WINDOW]) for start in cut]
    return np.array(rows).reshape(-1, held.shape[1])


def predicates(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Yes-or-no questions about each frame of poses (T, 60, 3): answers and whether they can be told, bool (T, 28)."""
    trunk = torso(pose)
    at = {name: pose[:, INDEX[name], :2].astype(np.float64) * (1, -1) / trunk for name in JOINTS}  # y up
    known = {name: pose[:, INDEX[name], 2] >= SEEN for name in JOINTS}
    hips = (at["right_hip"] + at["left_hip"]) / 2
    answers: list[np.ndarray] = []
    tellable: list[np.ndarray] = []

    def ask(answer: np.ndarray, *joints: str, moving: bool = False) -> None:
        sure = np.logical_and.reduce([known[joint] for joint in joints])
        answers.append(answer)
        tellable.append(sure & np.concatenate([[False], sure[:-1]]) if moving else sure)

    for side, other in (SIDES, SIDES[::-1]):
        shoulder, elbow, wrist = (f"{side}_{name}" for name in ("shoulder", "elbow", "wrist"))
        hip, knee, ankle = (f"{side}_{name}" for name in ("hip", "knee", "ankle"))
        outward = np.sign(at[shoulder][:, 0] - at[f"{other}_shoulder"][:, 0])
        ask(at[wrist][:, 1] > at["neck"][:, 1], wrist, "neck")
        ask(at[wrist][:, 1] > at["neck"][:, 1] + 0.5, wrist, "neck")
        ask(at[elbow][:, 1] > at[shoulder][:, 1], elbow, shoulder)
        ask(bend(at[shoulder], at[elbow], at[wrist]) < 110, shoulder, elbow, wrist)
        ask((at[wrist][:, 0] - at["neck"][:, 0]) * outward < 0, wrist, "neck", shoulder, f"{other}_shoulder")
        ask(np.linalg.norm(at[wrist] - at["neck"], axis=-1) > 1.1, wrist, "neck")
        ask(swiftness(at[wrist]) > FAST_HAND, wrist, moving=True)
        ask(bend(at[hip], at[knee], at[ankle]) < 150, hip, knee, ankle)
        ask(at[ankle][:, 1] > at[f"{other}_ankle"][:, 1] + 0.25, ankle, f"{other}_ankle")
        ask(swiftness(at[ankle]) > FAST_FOOT, ankle, moving=True)
    hands, feet = ("right_wrist", "left_wrist"), ("right_ankle", "left_ankle")
    trunk_joints, shoulders = ("neck", "right_hip", "left_hip"), ("right_shoulder", "left_shoulder")
    across = at[shoulders[0]][:, 0] - at[shoulders[1]][:, 0]
    lean = np.degrees(np.arctan2(np.abs(at["neck"] - hips)[:, 0], (at["neck"] - hips)[:, 1]))
    stance = at[feet[0]][:, 0] - at[feet[1]][:, 0]
    ask(np.linalg.norm(at[hands[0]] - at[hands[1]], axis=-1) < 0.4, *hands)
    ask(np.linalg.norm(at[hands[0]] - at[hands[1]], axis=-1) > 1.5, *hands)
    ask(np.abs(stance) > 0.8, *feet)
    ask(stance * (at["right_hip"] - at["left_hip"])[:, 0] < 0, *feet, *trunk_joints[1:])
    ask(lean > 15, *trunk_joints)
    ask(hips[:, 1] - np.minimum(at[feet[0]][:, 1], at[feet[1]][:, 1]) < 1.2, *feet, *trunk_joints[1:])
    ask(np.abs(across) < 0.35, *shoulders)  # turned to the side
    ask(np.abs(np.diff(hips[:, 0], prepend=hips[:1, 0])) * FPS > FAST_HIPS, *trunk_joints[1:], moving=True)
    return np.stack(answers, axis=1), np.stack(tellable, axis=1)


JOINTS = ("neck", *(f"{s}_{n}" for n in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in SIDES))


def bend(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Angle (T,) at b between the directions to a and c, degrees: 180 is straight."""
    u, v = a - b, c - b
    scale = np.maximum(np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1), 1e-9)
    return np.degrees(np.arccos(np.clip((u * v).sum(-1) / scale, -1, 1)))


def swiftness(at: np.ndarray) -> np.ndarray:
    """Speed (T,) of a joint (T, 2), a second; 0 in the first frame."""
    return np.linalg.norm(np.diff(at, axis=0, prepend=at[:1]), axis=-1) * FPS
