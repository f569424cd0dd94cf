"""Pictures of scenes: skinned, lit, textured people before a backdrop, on the device that trains; and which place of
the body each pixel shows."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xdancer.data.meshes import PALETTE, Mesh
from xdancer.errors import UserError
from xdancer.pose.layout import CANVAS_HEIGHT
from xdancer.training.renderer.rasteriser import Hits, rasterise
from xdancer.training.renderer.scenes import DRAWN, Scene, Wardrobe
from xdancer.training.renderer.skinning import skinned

PART = 32  # frames that are drawn at once: a long scene would not fit in the memory
WRAP = 0.35  # how far light reaches round an edge


@dataclass(frozen=True)
class Skin:
    """A mesh as tensors. places: (V, 3), the vertices with arms stretched out, in statures. weights: (V, B) on every
    bone. texture: (1, 3, h, w) in 0..1."""

    vertices: Tensor
    places: Tensor
    normals: Tensor
    uv: Tensor
    faces: Tensor
    weights: Tensor
    texture: Tensor

    @classmethod
    def of(cls, mesh: Mesh, device: torch.device) -> "Skin":
        """Raises UserError where the texture is damaged."""
        picture = cv2.imdecode(np.frombuffer(mesh.texture, dtype=np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise UserError(f"{mesh.person}_{mesh.outfit}: damaged texture; build the corpus again")
        texture = picture[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        weights = np.zeros((len(mesh.vertices), len(PALETTE)), dtype=np.float32)
        np.add.at(weights, (np.arange(len(weights))[:, None], mesh.bones), mesh.weights)
        arrays = {
            "vertices": mesh.vertices.astype(np.float32), "normals": _normals(mesh), "uv": mesh.uv.astype(np.float32),
            "places": (mesh.vertices / mesh.vertices[:, 1].max()).astype(np.float32),
            "faces": mesh.faces.astype(np.int64), "weights": weights, "texture": texture,
        }  # fmt: skip
        return cls(**{name: torch.from_numpy(np.ascontiguousarray(a)).to(device) for name, a in arrays.items()})


def _normals(mesh: Mesh) -> np.ndarray:
    """(V, 3), smooth also across the seams of the texture, where vertices of one place are apart."""
    corners = mesh.vertices[mesh.faces]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    _, place = np.unique(np.round(mesh.vertices * 500).astype(int), axis=0, return_inverse=True)
    place = place.reshape(-1)
    sums = np.zeros((place.max() + 1, 3))
    for corner in range(3):
        np.add.at(sums, place[mesh.faces[:, corner]], facing)
    normals = sums[place]
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)).astype(np.float32)


class Darkroom:
    """Draws scenes in pictures of `height` x `width` px (7 : 4, as the canvas is), each pixel the mean of `fine` x
    `fine`; keeps the skins it has used on `device`."""

    def __init__(self, wardrobe: Wardrobe, height: int, width: int, device: torch.device, fine: int = 2) -> None:
        self.height, self.width, self.device, self.fine = height, width, device, fine
        self._wardrobe = wardrobe
        self._skins: dict[int, Skin] = {}

    @torch.no_grad()
    def draw(self, scenes: Scene) -> tuple[Tensor, Tensor]:
        """Scenes gathered (B, ...) -> pictures (B, 1 + frames, 3, H, W) in [-1, 1], the reference first, and how much
        of each pixel is person (B, 1 + frames, 1, H, W) in [0, 1]."""
        colours, person = _each(scenes, lambda scene: self._drawn(scene, self._hits(scene, self.fine)))
        return colours * 2 - 1, person

    @torch.no_grad()
    def surfaces(self, scenes: Scene) -> tuple[Tensor, Tensor]:
        """Scenes gathered (B, ...) -> the place of the body that is in the middle of each pixel, in statures as
        `BodyNetwork` tells it, (B, 1 + frames, 3, H, W), and whether there is any, (B, 1 + frames, 1, H, W), 0 or 1.
        """
        places, shown = _each(scenes, lambda scene: self._surface(scene, self._hits(scene, 1)))
        return places, shown

    @torch.no_grad()
    def both(self, scenes: Scene) -> tuple[Tensor, Tensor, Tensor]:
        """`surfaces`, and the pictures of `draw`; in one go where a pixel is not made of several."""

        def one(scene: Scene) -> tuple[Tensor, ...]:
            hits = self._hits(scene, 1)
            fine = hits if self.fine == 1 else self._hits(scene, self.fine)
            return *self._surface(scene, hits), self._drawn(scene, fine)[0]

        places, shown, colours = _each(scenes, one)
        return places, shown, colours * 2 - 1

    def _surface(self, scene: Scene, hits: Hits) -> tuple[Tensor, ...]:
        skin = self._skin(int(scene["skin"]))
        flat = skin.places.new_zeros(len(scene["rotations"]) * self.height * self.width, 4)
        flat[hits.pixel, :3] = hits.interpolate(skin.places, skin.faces)
        flat[hits.pixel, 3] = 1
        return flat.reshape(-1, self.height, self.width, 4).permute(0, 3, 1, 2).split([3, 1], dim=1)

    def _hits(self, scene: Scene, fine: int) -> Hits:
        """What pixels see, each parted into `fine` x `fine`."""
        skin = self._skin(int(scene["skin"]))
        height, width = self.height * fine, self.width * fine
        on = {k: scene[k].to(self.device) for k in DRAWN}
        world = skinned(skin.vertices, skin.weights, on["rotations"], on["offsets"])
        seen = torch.einsum("tij,tvj->tvi", on["view"], world) + on["eye"][:, None]
        return rasterise(_pixels(seen, on["lens"], height / CANVAS_HEIGHT), skin.faces, height, width)

    def _drawn(self, scene: Scene, hits: Hits) -> tuple[Tensor, ...]:
        skin = self._skin(int(scene["skin"]))
        height, width = self.height * self.fine, self.width * self.fine
        on = {k: scene[k].to(self.device) for k in ("rotations", "view", "light", "backdrop")}
        directions = skinned(skin.normals, skin.weights, on["rotations"], None)
        facing = F.normalize(hits.interpolate(directions, skin.faces), dim=-1)
        # A face seen from behind, as of hair or cloth, is lit as if it were its other side.
        towards = -on["view"][hits.frame, 2]
        facing = facing * torch.where((facing * towards).sum(-1, keepdim=True) < 0, -1.0, 1.0)
        direction, key, ambient, tint = on["light"]
        lit = ((facing @ direction + WRAP) / (1 + WRAP)).clamp_min(0)[:, None]
        uv = hits.interpolate(skin.uv, skin.faces).clamp(0, 1) * 2 - 1
        colour = F.grid_sample(skin.texture, uv[None, None], align_corners=False, padding_mode="border")[0, :, 0].T
        frames = len(on["rotations"])
        pictures = _enlarged(on["backdrop"], height, width).expand(frames, -1, -1, -1).clone()
        flat = pictures.permute(0, 2, 3, 1).reshape(-1, 3)
        flat[hits.pixel] = (colour * tint * (ambient + key * lit)).clamp(0, 1)
        person = flat.new_zeros(len(flat), 1)
        person[hits.pixel] = 1
        return tuple(
            F.avg_pool2d(v.reshape(frames, height, width, -1).permute(0, 3, 1, 2), self.fine) for v in (flat, person)
        )

    def _skin(self, number: int) -> Skin:
        if number not in self._skins:
            self._skins[number] = Skin.of(self._wardrobe[number], self.device)
        return self._skins[number]


def _each(scenes: Scene, make: Callable[[Scene], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """What is made of each of scenes gathered (B, ...), gathered again."""
    made = [_parted({k: v[i] for k, v in scenes.items()}, make) for i in range(len(scenes["skin"]))]
    return tuple(torch.stack(parts) for parts in zip(*made, strict=True))


def _parted(scene: Scene, make: Callable[[Scene], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """What is made of a scene, PART of its frames at a time."""
    frames = len(scene["rotations"])
    made = [make(scene | {k: scene[k][first : first + PART] for k in DRAWN}) for first in range(0, frames, PART)]
    return tuple(torch.cat(parts) for parts in zip(*made, strict=True))


def _pixels(seen: Tensor, lens: Tensor, scale: float) -> Tensor:
    """Camera coordinates (T, V, 3) to picture pixels and depth (T, V, 3); `scale` picture pixels to a canvas pixel."""
    focal, across, down = lens[:, None].unbind(-1)
    depth = seen[..., 2].clamp_min(1e-3)
    x, y = focal * seen[..., 0] / depth + across, -focal * seen[..., 1] / depth + down
    return torch.stack([(x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5, seen[..., 2]], dim=-1)


def _enlarged(backdrop: Tensor, height: int, width: int) -> Tensor:
    """Colours (3, h, w) as a picture with soft edges: (1, 3, height, width)."""
    return F.interpolate(backdrop[None], (height, width), mode="bilinear", align_corners=False)
