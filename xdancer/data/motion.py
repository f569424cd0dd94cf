"""The motion stage of the corpus: raw takes to cleaned clips on the canonical skeleton, one npz each."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from xdancer.data import hands, readers, retarget, rigs, rotation
from xdancer.data.config import MotionSource
from xdancer.data.skeleton import BONE, Body, Clip
from xdancer.errors import UserError

STATIC = re.compile(r"T-?Pose|Rest_Pose", re.IGNORECASE)


def draw(name: str) -> float:
    """A number in [0, 1) from a name, the same on every machine: what splits and seeds are drawn from."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


def splits(keys: Sequence[str], val_share: float) -> dict[str, str]:
    """`train` or `val` for each key by a hash of its name; of four keys or more at least one is held out."""
    unique = sorted(set(keys), key=draw)
    out = {key: "val" if draw(key) < val_share else "train" for key in unique}
    if len(unique) >= 4 and "val" not in out.values():
        out[unique[0]] = "val"
    return out


def files_of(source: MotionSource, root: Path) -> list[Path]:
    """The files of a source. Raises UserError where there are none."""
    found = sorted(root.glob(source.files))
    if not found:
        raise UserError(
            f"no motion files {root / source.files}; set XDANCER_DATA to the folder of raw data, "
            f"or leave the source out with --exclude {source.source}"
        )
    return found


def clips(source: MotionSource, root: Path, seed: int, val_share: float, reference: Body) -> Iterator[Clip]:
    """Every clip of a source. The recorded hands come first, so that the others can borrow from them."""
    taken: list[retarget.Take] = []
    for path in files_of(source, root):
        for capture in readers.read(path, source.fps):
            if not STATIC.search(capture.name):
                taken += retarget.takes(capture, rigs.detect(capture, str(path)), source.cutoff_hz)
    keys = {take.name: f"{source.source}/{_split_key(source, take.name)}" for take in taken}
    split = splits(list(keys.values()), val_share)
    rests = {rig: retarget.neutral([t for t in taken if t.rig.name == rig]) for rig in {t.rig.name for t in taken}}
    for take in taken:
        root_path, rotations = retarget.canonical(take, rests[take.rig.name])
        name = f"{source.source}-{take.name}"
        rng = np.random.default_rng(int(draw(f"{name}/{seed}") * 2**48))
        rotations = enliven(take, rotations, rng)
        clip = Clip(
            name=name,
            source=source.source,
            split=split[keys[take.name]],
            style=source.style_of(take.name),
            root=root_path,
            rotations=rotations,
            fingers=_fingers(take, rotations, rng, reference),
        )
        yield settled(faced(clip), reference)


def _split_key(source: MotionSource, name: str) -> str:
    """What is held out together: the take without the number of its stretch, or what `split_by` matches in it."""
    whole = re.sub(r"-\d+$", "", name)
    match = re.search(source.split_by, whole) if source.split_by else None
    return match.group(1) if match else whole


def enliven(take: retarget.Take, rotations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Heads and hands that the rig did not carry get a life of their own."""
    if take.head is None:
        rotations = hands.heads(rng, rotations)
    if take.rig.left.thumbwards is None:
        rotations = hands.wrists(rng, rotations)
    return rotations


def _fingers(take: retarget.Take, rotations: np.ndarray, rng: np.random.Generator, reference: Body) -> np.ndarray:
    rest = {side: rotation.unit(np.diff(reference.hands[i], axis=1)) for i, side in enumerate(("left", "right"))}
    both = rotations[:, [BONE["left_hand"], BONE["right_hand"]]]
    captured = retarget.fingers_of(take, both, rest)
    if captured is not None:
        return hands.limited(captured).astype(np.float32)
    out = []
    for side in (take.rig.left, take.rig.right):
        velocity = np.gradient(take.points[side.wrist] / take.leg, axis=0) * retarget.RATE
        out.append(hands.fingers(rng, np.linalg.norm(velocity, axis=1)))
    return np.stack(out, axis=1).astype(np.float32)


def faced(clip: Clip) -> Clip:
    """The clip about the origin, facing +Z for most of its time."""
    middle = np.median(clip.root, axis=0) * np.array([1, 0, 1])
    heading = clip.heading()
    return clip.moved(-middle).turned(-float(np.arctan2(np.sin(heading).mean(), np.cos(heading).mean())))


def lowest(clip: Clip, body: Body) -> np.ndarray:
    """Height (T,) in metres of the lowest of soles, knees and wrists above the floor; negative below it."""
    joints = body.skeleton(clip)
    heights = []
    for side in ("left", "right"):
        foot, toe = BONE[f"{side}_foot"], BONE[f"{side}_toe"]
        ball = body.toes[0, 1]
        sole = body.offsets[toe, 1] + ball
        heel = clip.rotations[:, foot] @ np.array([0.0, sole, -0.05], dtype=np.float32)
        heights.append((joints[:, foot] + heel)[:, 1])
        heights.append((joints[:, toe] + clip.rotations[:, foot] @ np.array([0.0, ball, 0.0], dtype=np.float32))[:, 1])
        heights.append((joints[:, toe] + clip.rotations[:, toe] @ body.toes[0 if side == "left" else 1])[:, 1])
        heights.append(joints[:, BONE[f"{side}_shin"], 1] - 0.05)
        heights.append(joints[:, BONE[f"{side}_hand"], 1] - 0.03)
    return np.min(heights, axis=0)


def settled(clip: Clip, body: Body) -> Clip:
    """The clip with its feet on the floor: shifted as a whole, then lifted where it would still sink in."""
    height = lowest(clip, body)
    level = float(np.percentile(height, 15))
    root = clip.root.copy()
    root[:, 1] -= level / body.leg_length
    sunk = np.maximum(level - height, 0)
    lift = np.maximum(sunk, _wide_max(sunk, 2))
    root[:, 1] += _averaged(lift, 2) / body.leg_length
    return Clip(clip.name, clip.source, clip.split, clip.style, root.astype(np.float32), clip.rotations, clip.fingers)


def _wide_max(values: np.ndarray, reach: int) -> np.ndarray:
    padded = np.pad(values, reach, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=-1)


def _averaged(values: np.ndarray, reach: int) -> np.ndarray:
    padded = np.pad(values, reach, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).mean(axis=-1)
