"""Thinned meshes of the avatars on the canonical skeleton, with small textures."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from xdancer.data import DAMAGED
from xdancer.data.bodies import FINGERS, JOINT_OF
from xdancer.data.skeleton import BONE, BONES
from xdancer.errors import UserError

UNSEEN = ("gland", "Teeth")
FINE, COARSE = 0.011, 0.024  # metres: cells of head and hands, and of the rest
# What a vertex may hang on: the bones of the skeleton, then 15 of the left hand and 15 of the right, thumb first.
PALETTE = (*BONES, *(f"{side}_{f.lower()}_{k}" for side in ("left", "right") for f in FINGERS for k in (1, 2, 3)))


@dataclass(frozen=True)
class Mesh:
    """A skin in the T-pose, metres, Y up, feet on the floor, the pelvis above the origin.

    vertices (V, 3); uv (V, 2) with v down; faces (F, 3); bones (V, 4) indices into `PALETTE`, weights (V, 4) that sum
    to 1; texture: JPEG bytes.
    """

    person: str
    outfit: str
    vertices: np.ndarray
    uv: np.ndarray
    faces: np.ndarray
    bones: np.ndarray
    weights: np.ndarray
    texture: bytes

    def arrays(self) -> dict[str, np.ndarray]:
        """The mesh in small types, for `np.savez`: vertices in 0.1 mm, uv in 1/65535."""
        return {
            "vertices": np.round(self.vertices * 1e4).astype(np.int16),
            "uv": np.round(np.clip(self.uv, 0, 1) * 65535).astype(np.uint16),
            "faces": self.faces.astype(np.uint16),
            "bones": self.bones.astype(np.uint8),
            "weights": np.round(self.weights * 255).astype(np.uint8),
            "texture": np.frombuffer(self.texture, dtype=np.uint8),
        }


def load(path: Path) -> Mesh:
    """The mesh that `arrays` was packed from. Raises UserError where the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as data:
            person, _, outfit = path.stem.rpartition("_")
            weights = data["weights"].astype(np.float32)
            return Mesh(
                person,
                outfit,
                data["vertices"].astype(np.float32) / 1e4,
                data["uv"].astype(np.float32) / 65535,
                data["faces"].astype(int),
                data["bones"].astype(int),
                weights / np.maximum(weights.sum(1, keepdims=True), 1),
                data["texture"].tobytes(),
            )
    except DAMAGED as error:
        raise UserError(f"{path}: damaged mesh ({error}); pack the corpus again") from error


def read(path: Path, texture_size: int = 256) -> Mesh:
    """The thinned mesh of one avatar file. Raises UserError where the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as data:
            names = [str(n) for n in data["joint_names"]]
            parents = data["joint_parents"].astype(int)
            rest = data["joint_rest_world"][:, :3, 3]
            vertices = (data["pos_q"] * float(data["pos_scale"]) + data["pos_lo"]).astype(np.float32)
            uv = (data["uv_q"] * float(data["uv_scale"]) + float(data["uv_lo"])).astype(np.float32)
            skin, weights = data["joints"].astype(int), data["weights"].astype(np.float32)
            faces = data["faces"].astype(int)
            parts = [str(p).split(":") for p in data["parts"]]
            picture = cv2.imdecode(data["texture_jpg"], cv2.IMREAD_COLOR)
    except DAMAGED as error:
        raise UserError(f"{path}: damaged avatar ({error}); fetch it again") from error
    bones = _palette(names, parents)[skin]
    weights = weights / np.maximum(weights.sum(1, keepdims=True), 1)
    seen = np.ones(len(vertices), dtype=bool)
    for name, start, stop in parts:
        if any(word in name for word in UNSEEN):
            seen[int(start) : int(stop)] = False
    hips = [names.index(f"{side}UpLeg") for side in ("Left", "Right")]
    middle = rest[hips].mean(0)
    vertices = vertices - np.array([middle[0], vertices[:, 1].min(), middle[2]], dtype=np.float32)
    kept, faces = _thinned(vertices, uv, bones, weights, faces[seen[faces].all(1)])
    if picture is None:
        raise UserError(f"{path}: damaged texture; fetch it again")
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (texture_size * width // height, texture_size), interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    person, _, outfit = path.stem.rpartition("_")
    return Mesh(person, outfit, vertices[kept], uv[kept], faces, bones[kept], weights[kept], jpeg)


def _palette(names: list[str], parents: np.ndarray) -> np.ndarray:
    """For each joint of the avatar its index in `PALETTE`: its own, else that of the nearest joint above it."""
    known = {joint: BONE[bone] for bone, joint in JOINT_OF.items()} | {"Hips": BONE["pelvis"], "Spine1": BONE["spine"]}
    for side in ("Left", "Right"):
        for finger in FINGERS:
            for k in (1, 2, 3):
                known[f"{side}Hand{finger}{k}"] = PALETTE.index(f"{side.lower()}_{finger.lower()}_{k}")
    out = np.zeros(len(names), dtype=int)
    for joint in range(len(names)):
        above = joint
        while above >= 0 and names[above] not in known:
            above = parents[above]
        out[joint] = known[names[above]] if above >= 0 else 0
    return out


def _thinned(
    vertices: np.ndarray, uv: np.ndarray, bones: np.ndarray, weights: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertex clustering: the vertices kept and the faces among them.

    Vertices share a cell where they are near in space, near in the texture and hang on the same bone, so that seams
    and fingers survive.
    """
    main = np.take_along_axis(bones, weights.argmax(1)[:, None], axis=1)[:, 0]
    fine = (main >= len(BONES)) | np.isin(main, [BONE["head"], BONE["left_hand"], BONE["right_hand"]])
    cell = np.where(fine, FINE, COARSE)[:, None]
    keys = np.concatenate(
        [np.round(vertices / cell).astype(int), np.round(uv * 16).astype(int), main[:, None]],
        axis=1,
    )
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    centre = np.zeros((len(first), 3))
    np.add.at(centre, group, vertices)
    centre /= np.bincount(group)[:, None]
    gap = np.linalg.norm(vertices - centre[group], axis=1)
    order = np.lexsort((gap, group))
    chosen = order[np.r_[0, np.flatnonzero(np.diff(group[order])) + 1]]  # of each cell the vertex nearest its middle
    thin = group[faces]
    thin = thin[(thin[:, 0] != thin[:, 1]) & (thin[:, 1] != thin[:, 2]) & (thin[:, 0] != thin[:, 2])]
    thin = np.unique(thin, axis=0)
    used = np.unique(thin)
    index = np.zeros(len(chosen), dtype=int)
    index[used] = np.arange(len(used))
    return chosen[used], index[thin]
