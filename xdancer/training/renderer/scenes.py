"""Scenes to train on, thought up anew: a person, a stretch of a clip, a camera, light and a backdrop.

A scene is numbers only, drawn on CPU (by worker processes, where there are some); `darkroom` makes pictures of it.
Scene k of a data set is always the same, whoever draws it, so a training that was cut off goes on as it would have.
"""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from xdancer.data import bodies, config, corpus, meshes
from xdancer.data.cameras import Camera
from xdancer.data.confidence import observed
from xdancer.data.meshes import Mesh
from xdancer.data.motion import splits
from xdancer.data.skeleton import Body, Clip
from xdancer.errors import UserError
from xdancer.pose.layout import INDEX
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.renderer import backdrops
from xdancer.training.renderer.skinning import transforms

STRIDES = (1, 2, 3, 4)
VAL_SHARE = 0.12  # of people and clips held out where the corpus holds nobody out itself, as a packed one
GLANCES = 8  # at moments of the clip, until one shows both eyes
EYES = [INDEX["right_eye"], INDEX["left_eye"]]
DRAWN = ("rotations", "offsets", "view", "eye", "lens")  # what is there for every frame of a picture
Scene = dict[str, Any]


class Wardrobe:
    """The skins of a corpus: packed ones in its `meshes`, else thinned from the raw avatars. Raises UserError where
    there are neither."""

    def __init__(self, folder: Path) -> None:
        packed = sorted((folder / "meshes").glob("*.npz"))
        pattern = corpus.read_manifest(folder).get("bodies", "avatars/*.npz")
        self._read = meshes.load if packed else meshes.read
        self.paths = packed or sorted(config.data_root().glob(pattern))
        if not self.paths:
            raise UserError(f"{folder}: no meshes, and no avatars under XDANCER_DATA to take them from")

    def outfits(self, person: str) -> list[int]:
        """Numbers of the skins of a person."""
        return [i for i, path in enumerate(self.paths) if bodies.person_of(path) == person]

    def __getitem__(self, number: int) -> Mesh:
        return self._read(self.paths[number])


class Scenes(Dataset[Scene]):
    """Scenes of `frames` frames from the whole people and clips of one split of a corpus folder.

    `strides`: how many frames of dance may lie between two of them. Raises UserError where there is nobody to be seen.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        frames: int,
        tokenizer: PoseTokenizer,
        seed: int = 0,
        strides: tuple[int, ...] = STRIDES,
    ) -> None:
        self.frames, self.seed, self.strides, self.tokenizer = frames, seed, strides, tokenizer
        self.wardrobe = Wardrobe(folder)
        self._backdrop = backdrops.any_kind if split == "train" else backdrops.plain
        people = [Body.load(path) for path in sorted((folder / "bodies").glob("*.npz"))]
        clips = [Clip.load(path) for path in sorted((folder / "motion").glob("*.npz"))]
        by_person = held_out([b.person for b in people], [b.split for b in people])
        by_clip = held_out([c.name for c in clips], [c.split for c in clips])
        self.people = [(b, self.wardrobe.outfits(b.person)) for b in people if by_person[b.person] == split]
        self.people = [(body, outfits) for body, outfits in self.people if outfits]
        self.clips = [c for c in clips if by_clip[c.name] == split]
        if not self.people or not self.clips:
            raise UserError(f"{folder}: no people or no clips of split {split} to be seen; run `xdancer corpus build`")
        weights = corpus.weights(folder)
        chances = np.array([len(c) * weights.get(c.source, 1.0) for c in self.clips])
        self.chances = chances / chances.sum()

    def retold(self, frames: int, seed: int) -> "Scenes":
        """The same people and clips in other scenes."""
        other = copy.copy(self)
        other.frames, other.seed = frames, seed
        return other

    def __getitem__(self, number: int) -> Scene:
        """Scene `number`, 0 or above. Frame 0 of what is drawn is the reference, another moment of the same person.

        skin: number in the wardrobe. rotations, offsets, view, eye, lens: (1 + frames, ...), see `darkroom`. light,
        backdrop: of the room. tokens (frames, 30); poses (frames, 60, 3), what the tokenizer makes of them; truth
        (frames, 60, 3), the exact joints as a detector would report them; posed (60, 3), those of the reference.
        """
        rng = np.random.default_rng((self.seed, number))
        clip = self.clips[rng.choice(len(self.clips), p=self.chances)]
        body, outfits = self.people[rng.integers(len(self.people))]
        skin = outfits[rng.integers(len(outfits))]
        stride = int(rng.choice(self.strides))
        before = self.tokenizer.receptive_field - 1  # so that the tokens are those of a dance that has been going on
        length = before + (self.frames - 1) * stride + 1
        pace = rng.uniform(0.8, 1.25)
        start = rng.uniform(0, max(len(clip) - length * pace, 1))
        if rng.random() < 0.5:
            clip = clip.mirrored()
        dance = clip.resampled(start + pace * np.arange(length))
        joints = body.joints(dance)
        camera = Camera.sample(rng, joints, body.stature)
        for _ in range(GLANCES):  # people send pictures of their faces
            posed = clip.resampled(np.array([rng.uniform(0, len(clip) - 1)]))
            still = body.joints(posed)
            portrait = Camera.sample(rng, still, body.stature, odd=0.05)
            seen = observed(rng, still, portrait)[0]
            if seen[EYES, 2].min() > 0:
                break
        truth = observed(rng, joints, camera)
        tokens = self.tokenizer.encode(truth)
        drawn = slice(before, None, stride)
        rotations, offsets = transforms(body, posed.joined(_picked(dance, drawn), 0, align=False))
        views = [_affine(portrait, slice(None)), _affine(camera, drawn)]
        view, eye, lens = (np.concatenate([a, b]).astype(np.float32) for a, b in zip(*views, strict=True))
        return {
            "skin": skin, "rotations": rotations, "offsets": offsets, "view": view, "eye": eye, "lens": lens,
            "light": _light(rng), "backdrop": self._backdrop(rng), "truth": truth[drawn], "posed": seen,
            "tokens": tokens[drawn].reshape(-1, 30).astype(np.int64), "poses": self.tokenizer.decode(tokens)[drawn],
        }  # fmt: skip


def held_out(names: list[str], own: list[str]) -> dict[str, str]:
    """Each name's split: its own, where the corpus holds some out; else drawn from the names."""
    if "val" in own:
        return dict(zip(names, own, strict=True))
    # Drawn afresh: what a packed corpus still holds is what the same draw had kept before.
    drawn = splits([f"again {name}" for name in names], VAL_SHARE)
    return {name: drawn[f"again {name}"] for name in names}


def _picked(clip: Clip, frames: slice) -> Clip:
    return clip.resampled(np.arange(len(clip))[frames])


def _affine(camera: Camera, frames: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The camera by frame: matrix (T, 3, 3) and offset (T, 3) to its coordinates (right, up, depth in metres), and
    focal length and principal point (T, 3) in canvas pixels."""
    centre = camera.centre[frames]
    corners = np.concatenate([np.zeros((1, 3)), np.eye(3)])  # what becomes of these tells all of an affine map
    axes = replace(camera, centre=centre).view(centre[:, None] + corners)
    matrix = (axes[:, 1:] - axes[:, :1]).swapaxes(1, 2)
    offset = axes[:, 0] - np.einsum("tij,tj->ti", matrix, centre)
    lens = np.concatenate([[float(camera.focal)], np.ravel(camera.offset)])
    return matrix, offset, np.broadcast_to(lens, (len(centre), 3))


def _light(rng: np.random.Generator) -> np.ndarray:
    """(4, 3): where the light comes from, its colour, the colour of the shade, and a tint of the whole person."""
    side, height = rng.uniform(-1.2, 1.2), rng.uniform(0.1, 1.0)
    direction = np.array([np.sin(side), height, np.cos(side)])
    key = rng.uniform(0.45, 0.85) * (1 + 0.08 * rng.normal(size=3))
    ambient = rng.uniform(0.35, 0.6) * (1 + 0.08 * rng.normal(size=3))
    return np.stack([direction / np.linalg.norm(direction), key, ambient, 1 + 0.06 * rng.normal(size=3)]).astype(
        np.float32
    )


def all_poses(scenes: Scene) -> torch.Tensor:
    """The poses (B, 1 + frames, 60, 3) of scenes gathered, that of each reference first."""
    return torch.cat([scenes["posed"][:, None], scenes["poses"]], dim=1)


def only_references(scenes: Scene) -> Scene:
    """Scenes gathered, with nothing to be drawn but their references."""
    return {key: value[:, :1] if key in DRAWN else value for key, value in scenes.items()}


def gathered(scenes: list[Scene]) -> Scene:
    """Scenes as one, every value with a leading axis."""
    return {key: torch.from_numpy(np.stack([scene[key] for scene in scenes])) for key in scenes[0]}
