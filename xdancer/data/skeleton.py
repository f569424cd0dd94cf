"""The canonical skeleton: `Clip`, motion that any body can dance, and `Body`, the proportions of one person.

World is metres, Y up, and a dancer at rest stands in a T-pose facing +Z (own left towards +X, palms down). A bone's
rotation is its WORLD rotation relative to that T-pose: the identity everywhere is the T-pose. So motion carries no
proportions, and a body carries no motion.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xdancer.data import DAMAGED, rotation
from xdancer.errors import UserError
from xdancer.pose.layout import N_JOINTS

# A bone is named after what it moves; its joint is where it begins.
BONES = (
    "pelvis", "spine", "chest", "neck", "head",
    "left_clavicle", "left_upper_arm", "left_forearm", "left_hand",
    "right_clavicle", "right_upper_arm", "right_forearm", "right_hand",
    "left_thigh", "left_shin", "left_foot", "left_toe",
    "right_thigh", "right_shin", "right_foot", "right_toe",
)  # fmt: skip
BONE = {name: i for i, name in enumerate(BONES)}
PARENTS = (-1, 0, 1, 2, 3, 2, 5, 6, 7, 2, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
N_BONES = len(BONES)
SWAP = np.array([BONE[{"l": "right", "r": "left"}[n[0]] + n[n.index("_") :] if "_" in n else n] for n in BONES])

# Angles of `Clip.fingers` and `Body.hands`: thumb, index, middle, ring, little.
FLEX_BASE, FLEX_MIDDLE, FLEX_TIP, SPREAD = range(4)


@dataclass(frozen=True)
class Clip:
    """Motion at 30 frames/s on the canonical skeleton.

    root: (T, 3) float32, the pelvis in leg lengths (rest height of the pelvis above the floor), floor at y = 0.
    rotations: (T, 21, 3, 3) float32, world rotation of each bone of `BONES` relative to the T-pose.
    fingers: (T, 2, 5, 4) float32 radians: left then right hand; per finger, flexion at its three joints (0 straight,
    positive curls to the palm) and spread away from the middle finger.
    """

    name: str
    source: str
    split: str
    style: str
    root: np.ndarray
    rotations: np.ndarray
    fingers: np.ndarray
    fps: float = 30.0

    def __len__(self) -> int:
        return len(self.root)

    def cut(self, start: int, stop: int) -> "Clip":
        """Frames start..stop, as views."""
        return replace(
            self, root=self.root[start:stop], rotations=self.rotations[start:stop], fingers=self.fingers[start:stop]
        )

    def resampled(self, times: np.ndarray) -> "Clip":
        """The motion at fractional frame numbers `times` (N,), held at the ends: any time-warp."""
        times = np.clip(np.asarray(times, dtype=np.float64), 0, len(self) - 1)
        low = np.minimum(times.astype(int), max(len(self) - 2, 0))
        high = np.minimum(low + 1, len(self) - 1)
        part = (times - low).astype(np.float32)
        quaternions = rotation.to_quaternion(self.rotations)
        turned = rotation.blend(quaternions[low], quaternions[high], part[:, None, None])
        root = self.root[low] + part[:, None] * (self.root[high] - self.root[low])
        fingers = self.fingers[low] + part[:, None, None, None] * (self.fingers[high] - self.fingers[low])
        return replace(self, root=root, rotations=rotation.to_matrix(turned).astype(np.float32), fingers=fingers)

    def turned(self, angle: float) -> "Clip":
        """The clip turned by `angle` radians about the vertical through the origin (positive: to the dancer's left)."""
        about = rotation.about(np.array([0.0, 1.0, 0.0]), angle).astype(np.float32)
        return replace(self, root=self.root @ about.T, rotations=about @ self.rotations)

    def moved(self, offset: np.ndarray) -> "Clip":
        """The clip with `offset` (3,) leg lengths added to its root."""
        return replace(self, root=(self.root + np.asarray(offset)).astype(np.float32))

    def mirrored(self) -> "Clip":
        """The clip as seen in a mirror: left and right exchanged."""
        flip = np.array([-1, 1, 1], dtype=np.float32)
        rotations = self.rotations[:, SWAP] * flip[:, None] * flip
        return replace(self, root=self.root * flip, rotations=rotations, fingers=self.fingers[:, ::-1])

    def heading(self) -> np.ndarray:
        """(T,) radians: where the pelvis faces, 0 for +Z, pi/2 for +X; `turned(a)` adds a."""
        forward = self.rotations[:, BONE["pelvis"], :, 2]
        return np.arctan2(forward[:, 0], forward[:, 2])

    def joined(self, other: "Clip", overlap: int, align: bool = True) -> "Clip":
        """This clip, then `other`, cross-faded over `overlap` frames: len(self) + len(other) - overlap frames.

        With `align`, `other` is first turned and moved (on the floor) so that both agree in the middle of the overlap.
        """
        if align:
            here, there = len(self) - overlap + overlap // 2, overlap // 2
            here = min(here, len(self) - 1)
            other = other.turned(float(self.heading()[here] - other.heading()[there]))
            other = other.moved((self.root[here] - other.root[there]) * np.array([1, 0, 1]))
        cut = len(self) - overlap
        weight = (np.arange(overlap) + 1.0) / (overlap + 1)
        weight = (weight * weight * (3 - 2 * weight)).astype(np.float32)  # smoothstep

        def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            shaped = weight.reshape(-1, *[1] * (a.ndim - 1))
            return np.concatenate([a[:cut], a[cut:] + shaped * (b[:overlap] - a[cut:]), b[overlap:]])

        a, b = rotation.to_quaternion(self.rotations[cut:]), rotation.to_quaternion(other.rotations[:overlap])
        middle = rotation.to_matrix(rotation.blend(a, b, weight[:, None, None])).astype(np.float32)
        return replace(
            self,
            root=cross(self.root, other.root),
            fingers=cross(self.fingers, other.fingers),
            rotations=np.concatenate([self.rotations[:cut], middle, other.rotations[overlap:]]),
        )

    def save(self, path: Path) -> None:
        """Write npz: root, quaternions (w, x, y, z) of the bones, fingers, and the four tags."""
        quaternions = rotation.continuous(rotation.to_quaternion(self.rotations)).astype(np.float32)
        tags = {key: getattr(self, key) for key in ("name", "source", "split", "style", "fps")}
        np.savez_compressed(path, root=self.root, quaternions=quaternions, fingers=self.fingers, **tags)

    @classmethod
    def load(cls, path: Path) -> "Clip":
        """Read what `save` wrote. Raises UserError where the file is missing or damaged."""
        try:
            with np.load(path) as data:
                return cls(
                    **{key: str(data[key]) for key in ("name", "source", "split", "style")},
                    root=data["root"].astype(np.float32),
                    rotations=rotation.to_matrix(data["quaternions"].astype(np.float32)),
                    fingers=data["fingers"].astype(np.float32),
                    fps=float(data["fps"]),
                )
        except DAMAGED as error:
            raise UserError(f"{path}: not a readable motion clip ({error}); build the corpus again") from error


@dataclass(frozen=True)
class Body:
    """The proportions of one person, in metres, in the T-pose.

    offsets: (21, 3), each bone's joint relative to its parent's joint (pelvis: relative to the floor below it).
    face: (5, 3), nose, right eye, left eye, right ear, left ear relative to the head joint.
    hands: (2, 5, 4, 3), left then right: the finger joints, base to tip, relative to the wrist.
    toes: (2, 3), tips of the left and right shoe relative to the toe joint.
    """

    person: str
    split: str
    offsets: np.ndarray
    face: np.ndarray
    hands: np.ndarray
    toes: np.ndarray

    @property
    def leg_length(self) -> float:
        """Rest height of the pelvis above the floor, metres: the unit of `Clip.root`."""
        return float(self.offsets[0, 1])

    @property
    def stature(self) -> float:
        """Height in metres, the crown taken 0.13 m above the eyes."""
        chain = ("pelvis", "spine", "chest", "neck", "head")
        return float(sum(self.offsets[BONE[name], 1] for name in chain) + self.face[1, 1] + 0.13)

    def varied(self, rng: np.random.Generator, spread: float = 0.05) -> "Body":
        """Somebody like this: legs, arms, trunk, shoulders, head and hands each longer or shorter by about `spread`."""
        scale = np.exp(spread * np.clip(rng.normal(size=8), -2, 2)).astype(np.float32)
        thigh, shin, upper, fore, trunk, wide, head, hand = scale
        offsets = self.offsets.copy()
        for side in ("left", "right"):
            for bone, factor in (("shin", thigh), ("foot", shin), ("forearm", upper), ("hand", fore)):
                offsets[BONE[f"{side}_{bone}"]] *= factor
            offsets[BONE[f"{side}_clavicle"]] *= wide
            offsets[BONE[f"{side}_upper_arm"]] *= wide
            offsets[BONE[f"{side}_thigh"]] *= (wide + trunk) / 2
        for name in ("spine", "chest", "neck"):
            offsets[BONE[name]] *= trunk
        longer = (offsets - self.offsets)[[BONE["left_shin"], BONE["left_foot"]], 1].sum()
        offsets[0, 1] -= longer
        return replace(self, offsets=offsets, face=self.face * head, hands=self.hands * hand)

    def skeleton(self, clip: Clip) -> np.ndarray:
        """Forward kinematics: (T, 21, 3) metres, where each bone begins."""
        out = np.empty((len(clip), N_BONES, 3), dtype=np.float32)
        out[:, 0] = clip.root * self.leg_length
        for bone in range(1, N_BONES):
            parent = PARENTS[bone]
            out[:, bone] = out[:, parent] + clip.rotations[:, parent] @ self.offsets[bone]
        return out

    def joints(self, clip: Clip) -> np.ndarray:
        """The 60 joints of the layout: (T, 60, 3) metres."""
        bones = self.skeleton(clip)
        out = np.empty((len(clip), N_JOINTS, 3), dtype=np.float32)
        out[:, OPENPOSE_TO] = bones[:, OPENPOSE_FROM]
        out[:, 1] = (out[:, 2] + out[:, 5]) / 2
        head = clip.rotations[:, BONE["head"]]
        out[:, FACE] = bones[:, None, BONE["head"]] + np.einsum("tij,kj->tki", head, self.face)
        for side, (hand, start) in enumerate(((BONE["left_hand"], 18), (BONE["right_hand"], 39))):
            out[:, start] = bones[:, hand]
            local = self._fingers(side, clip.fingers[:, side])
            turned = np.einsum("tij,tkj->tki", clip.rotations[:, hand], local.reshape(len(clip), 20, 3))
            out[:, start + 1 : start + 21] = bones[:, None, hand] + turned
        return out

    def _fingers(self, side: int, angles: np.ndarray) -> np.ndarray:
        """Finger joints (T, 5, 4, 3) relative to the wrist in the frame of the hand, for angles (T, 5, 4)."""
        rest = self.hands[side]
        axes, palm = hand_axes(rest, side)
        segments = np.diff(rest, axis=1)
        flexion = np.cumsum(angles[..., :3], axis=-1)
        curled = rotation.turn(segments[None], axes[None, :, None], flexion)
        outward = np.array([1, 1, 0, -1, -1]) * (
            -1 if side else 1
        )  # the index is in front of the little finger in a T-pose
        spread = (angles[..., SPREAD] * outward)[..., None]
        curled = rotation.turn(curled, palm, spread)
        base = np.broadcast_to(rest[None, :, :1], (len(angles), 5, 1, 3))
        return np.concatenate([base, base + np.cumsum(curled, axis=2)], axis=2)

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **{key: getattr(self, key) for key in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: Path) -> "Body":
        """Read what `save` wrote. Raises UserError where the file is missing or damaged."""
        try:
            with np.load(path) as data:
                arrays = {key: data[key].astype(np.float32) for key in ("offsets", "face", "hands", "toes")}
                return cls(person=str(data["person"]), split=str(data["split"]), **arrays)
        except DAMAGED as error:
            raise UserError(f"{path}: not a readable body ({error}); build the corpus again") from error


OPENPOSE_TO = np.array([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
OPENPOSE_FROM = np.array(
    [BONE[f"{side}_{bone}"] for part in (("upper_arm", "forearm", "hand"), ("thigh", "shin", "foot"))
     for side in ("right", "left") for bone in part]
)  # fmt: skip
FACE = np.array([0, 14, 15, 16, 17])


def hand_axes(rest: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Flexion axes (5, 3) and the direction out of the palm (3,), from the rest hand (5, 4, 3) of `side` (0 left).

    Fingers curl towards the palm; the thumb curls towards the root of the little finger, a little below the palm.
    """
    knuckles = rest[1:, 0]
    across = knuckles[0] - knuckles[3]  # from the little finger to the index
    palm = rotation.unit(np.cross(across, knuckles.mean(0)) * (1 if side else -1))
    directions = rotation.unit(rest[:, 3] - rest[:, 0])
    towards = np.broadcast_to(palm, (5, 3)).copy()
    towards[0] = rotation.unit(knuckles[3] - rest[0, 1]) + 0.5 * palm
    return rotation.unit(np.cross(directions, towards)), palm
