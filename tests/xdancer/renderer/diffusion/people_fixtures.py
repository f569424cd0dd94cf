"""A corpus of people made of boxes, each with a colour of its own, who swing their arms."""

import json
from pathlib import Path

import cv2
import numpy as np

from tests.xdancer.data.motion_fixtures import make_body, make_clip, t_pose
from xdancer.data.meshes import Mesh
from xdancer.data.skeleton import BONES, PARENTS, Body

BOX = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float32)
SIDES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
     [1, 5, 7], [1, 7, 3]]
)  # fmt: skip


def box_person(body: Body, colour: tuple[int, int, int]) -> Mesh:
    """A box round every bone from its joint towards its first child's."""
    places = body.skeleton(t_pose())[0]
    vertices, faces, bones = [], [], []
    for bone in range(len(BONES)):
        child = next((places[b] for b in range(len(BONES)) if PARENTS[b] == bone), places[bone] + [0, 0.02, 0])
        half = np.abs(child - places[bone]) / 2 + 0.05
        faces.append(SIDES + 8 * bone)
        vertices.append((places[bone] + child) / 2 + BOX * half)
        bones += [[bone, 0, 0, 0]] * 8
    texture = np.full((8, 8, 3), colour[::-1], dtype=np.uint8)
    return Mesh(
        body.person, "Box", np.concatenate(vertices).astype(np.float32), np.full((8 * len(BONES), 2), 0.5, np.float32),
        np.concatenate(faces), np.array(bones), np.tile(np.float32([1, 0, 0, 0]), (8 * len(BONES), 1)),
        cv2.imencode(".png", texture)[1].tobytes(),
    )  # fmt: skip


def write_corpus(folder: Path) -> Path:
    """A corpus as `corpus pack` lays one out: five people, four clips, nobody held out."""
    for name in ("bodies", "motion", "meshes"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(5):
        body = make_body(person=f"Tess_F_{k}", scale=0.95 + 0.02 * k)
        body.save(folder / "bodies" / f"{body.person}.npz")
        mesh = box_person(body, tuple(int(c) for c in rng.integers(60, 255, 3)))
        np.savez_compressed(folder / "meshes" / f"{body.person}_Box.npz", **mesh.arrays())
    for k in range(4):
        clip = make_clip(60 + 10 * k, name=f"swing-take{k}")
        clip.save(folder / "motion" / f"{clip.name}.npz")
    (folder / "manifest.json").write_text(json.dumps({"version": 1, "sources": {"swing": {"weight": 1.0}}}))
    return folder
