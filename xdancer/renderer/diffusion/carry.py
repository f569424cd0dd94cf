"""The reference picture carried to another pose, limb by limb, as a cut-out figure is moved: a first guess of the
person for the networks to better, from the reference's own pose. What a few thousand steps of training cannot teach an
attention, where in the reference each limb is to be looked up, is known here (Liquid Warping, arXiv 1909.12224).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.pose.layout import CANVAS_WIDTH, INDEX

# Points that limbs run between, as means of joints: (name, joints).
POINTS: dict[str, tuple[str, ...]] = {
    "neck": ("neck",), "hips": ("right_hip", "left_hip"),
    "head": ("nose", "right_eye", "left_eye", "right_ear", "left_ear"),
    **{f"{side}_{joint}": (f"{side}_{joint}",) for side in ("right", "left")
       for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")},
    **{f"{side}_hand": tuple(f"{side}_{finger}_1" for finger in ("index", "middle", "ring", "little"))
       for side in ("right", "left")},
}  # fmt: skip
PLACES = {name: place for place, name in enumerate(POINTS)}


@dataclass(frozen=True)
class Limb:
    """From one point to another. radius: half its width, and beyond: how far it goes on past its end, both in the size
    of the figure; front: how much it hides others."""

    start: str
    end: str
    radius: float
    beyond: float = 0.0
    front: float = 0.0


def _pairs(start: str, end: str, radius: float, beyond: float, front: float) -> tuple[Limb, Limb]:
    return (
        Limb(f"right_{start}", f"right_{end}", radius, beyond, front),
        Limb(f"left_{start}", f"left_{end}", radius, beyond, front),
    )


LIMBS = (
    Limb("hips", "neck", 0.45, 0.0, -0.2),
    Limb("neck", "head", 0.36, 0.35, 0.3),
    *_pairs("shoulder", "elbow", 0.19, 0.0, 0.1),
    *_pairs("elbow", "wrist", 0.16, 0.0, 0.5),
    *_pairs("wrist", "hand", 0.18, 0.15, 0.6),
    *_pairs("hip", "knee", 0.30, 0.0, 0.0),
    *_pairs("knee", "ankle", 0.22, 0.25, 0.0),
)
SIZED = tuple(k for k, limb in enumerate(LIMBS) if "hand" not in limb.end and limb.end != "head")
STARTS = tuple(PLACES[limb.start] for limb in LIMBS)
ENDS = tuple(PLACES[limb.end] for limb in LIMBS)
SEEN = 0.3  # confidence of a joint that a limb may hang on
SHORTEST = 0.25  # of its length in the reference: a limb that points at the camera is not squeezed further
EDGE = 1.15  # radii from a limb at which the figure ends
APART = 0.06, 0.18  # colours in [-1, 1] that may be the room's, and that surely are not
ROUND = -0.7  # nearness from which a pixel is room for sure: cloth and hair stand off the limbs
SOFT = 0.2  # nearness over which the figure fades into the room
SPAN = 0.72  # between the shoulders of a figure seen from the front, in its size
REACHES = {"ankle": 0.6, "hand": 0.45, "head": 0.65}  # of what is at the ends of limbs, in the figure's size
TORSO = 0
NOWHERE = -1e9
MASKS = 3  # beside the latents: how near a limb is, whether its place in the reference shows that limb, where it stood


@dataclass(frozen=True)
class Cutout:
    """What is kept of reference pictures (B, 3, H, W): themselves, the room without the person, and their limbs.

    solid: (B, 1, H, W), from 0 where the room shows to 1 where the person does, as far as colours tell them apart.
    limbs: (B, H, W) number of the limb each pixel belongs to, -1 for none. figure: of the people, leading axes (B, 1).
    """

    pictures: Tensor
    room: Tensor
    solid: Tensor
    limbs: Tensor
    figure: "Figure"


@dataclass(frozen=True)
class Figure:
    """Where the limbs of people are. starts, ends: (..., L, 2) picture px. seen: (..., L). size: (...) px. girth:
    (..., L), what of its radius a limb shows: a torso seen from the side is narrower."""

    starts: Tensor
    ends: Tensor
    seen: Tensor
    size: Tensor
    girth: Tensor

    @property
    def length(self) -> Tensor:
        return (self.ends - self.starts).norm(dim=-1).clamp_min(1e-3)


@dataclass(frozen=True)
class Moved:
    """The reference in another pose, with any leading axes.

    maps: (..., C + MASKS, h, w), its latents and masks. pictures: (..., 3, H, W). trusted: (..., 1, H, W), where they
    show the limb that they should. away: (..., 1, H, W), where there is only the room.
    """

    maps: Tensor
    pictures: Tensor
    trusted: Tensor
    away: Tensor

    def __getitem__(self, key: Any) -> "Moved":
        return Moved(self.maps[key], self.pictures[key], self.trusted[key], self.away[key])

    @classmethod
    def stacked(cls, some: Sequence["Moved"]) -> "Moved":
        parts = zip(*((m.maps, m.pictures, m.trusted, m.away) for m in some), strict=True)
        return cls(*(torch.stack(part) for part in parts))


def cut_out(pictures: Tensor, poses: Tensor) -> Cutout:
    """Reference pictures (B, 3, H, W) and the poses (B, 60, 3), in canvas px, of the people in them."""
    figure = _figure(poses[:, None], pictures.shape[-1])
    limbs, _, near, _ = (v[:, 0] for v in _assigned(figure, *pictures.shape[-2:]))
    limbs = torch.where(near > 0, limbs, -1)
    room = _room(pictures, (near < ROUND) & ~_at_ends(figure, *pictures.shape[-2:])[:, 0])
    apart = F.avg_pool2d((pictures - room).abs().mean(1, keepdim=True), 3, 1, 1)
    # Whoever wears the colours of the room is solid along the middle of their limbs all the same.
    solid = torch.maximum((apart - APART[0]) / (APART[1] - APART[0]), (near[:, None] - 0.5) * 4).clamp(0, 1)
    return Cutout(pictures, room, solid, limbs, figure)


def carried(cutout: Cutout, poses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The references in poses (B, F, 60, 3): pictures (B, F, 3, H, W); masks (B, F, MASKS, H, W) in [0, 1]; and where
    no limb is by far (B, F, 1, H, W)."""
    frames, (height, width) = poses.shape[1], cutout.pictures.shape[-2:]
    then, now = cutout.figure, _figure(poses, width)
    scale = _scale(then, now)
    now = replace(now, seen=now.seen & then.seen, size=then.size * scale)
    limb, place, near, torso = _assigned(now, height, width)

    def looked_up(sources: Tensor, limb: Tensor, place: Tensor, mode: str = "bilinear") -> Tensor:
        grid = (_source(then, now, scale, limb, place) + 0.5) / place.new_tensor([width, height]) * 2 - 1
        found = F.grid_sample(sources, grid.flatten(1, 2), mode, "border", align_corners=False)
        return found.unflatten(2, (frames, height)).transpose(1, 2)

    both = torch.cat([cutout.pictures, cutout.solid], dim=1)
    front, back = looked_up(both, limb, place), looked_up(both, torch.full_like(limb, TORSO), torso[..., :2])
    labels = looked_up(cutout.limbs[:, None].to(place), limb, place, "nearest")
    away = (near[:, :, None] < ROUND).to(near)
    near, behind = near[:, :, None].clamp(0, 1), torso[..., 2][:, :, None].clamp(0, 1)
    # What shows round a limb is room, or the body behind it, and not what was round it in the reference.
    scene = _over(back, behind, cutout.room[:, None])
    right = ((labels == limb[:, :, None]) & (near > 0)).to(near) * front[:, :, 3:]
    stood = (cutout.limbs >= 0).to(near)[:, None, None].expand_as(near)
    return _over(front, near, scene), torch.cat([near, right, stood], dim=2), away


def _over(layer: Tensor, near: Tensor, scene: Tensor) -> Tensor:
    """Colours with solidity (..., 4, H, W) before a scene (..., 3, H, W)."""
    shown = (near / SOFT).clamp(0, 1) * layer[..., 3:, :, :]
    return shown * layer[..., :3, :, :] + (1 - shown) * scene


class Carry(nn.Module):
    """What is carried, as a map for the first level of a UNet."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(latent + MASKS, width, 3, padding=1)

    def forward(self, carried: Tensor) -> Tensor:
        """Latents and masks (N, latent + MASKS, h, w) -> (N, width, h, w)."""
        return self.convolution(carried)


def _figure(poses: Tensor, width: int) -> Figure:
    """The limbs of poses (..., 60, 3) in pictures of `width` px."""
    places, seen = [], []
    for joints in POINTS.values():
        some = poses[..., [INDEX[name] for name in joints], :]
        weight = (some[..., 2:] >= SEEN).to(poses)
        places.append((some[..., :2] * weight).sum(-2) / weight.sum(-2).clamp_min(1))
        # Some of the joints will do for a head or a hand, but hips are between two.
        seen.append(weight.sum((-2, -1)) >= (2 if len(joints) == 2 else 1))
    points, known = (torch.stack(places, -2) + 0.5) * (width / CANVAS_WIDTH) - 0.5, torch.stack(seen, -1)
    starts, ends = points[..., STARTS, :], points[..., ENDS, :]
    there = known[..., STARTS] & known[..., ENDS]
    square = (ends - starts).square().sum(-1)[..., SIZED]
    sized = there[..., SIZED].to(square)
    size = ((square * sized).sum(-1) / sized.sum(-1).clamp_min(1)).sqrt().clamp_min(4.0)
    right, left = PLACES["right_shoulder"], PLACES["left_shoulder"]
    girth = torch.ones_like(starts[..., 0])
    span = (points[..., right, :] - points[..., left, :]).norm(dim=-1) / (SPAN * size)
    girth[..., TORSO] = torch.where(known[..., right] & known[..., left], span.clamp(0.5, 1.1), 1.0)
    return Figure(starts, ends, there, size, girth)


def _scale(then: Figure, now: Figure) -> Tensor:
    """How many times as large as `then` (B, 1) figures are `now` (B, F), by the limbs seen in both."""
    there = (then.seen & now.seen)[..., SIZED].to(now.size)
    after, before = ((figure.length[..., SIZED].square() * there).sum(-1) for figure in (now, then))
    return torch.where(before > 0, after / before.clamp_min(1e-6), 1.0).sqrt().clamp(0.2, 5.0)


def _assigned(figure: Figure, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each pixel: the number of the limb it belongs to (B, F, H, W); where on it, along from its start and aside,
    (B, F, H, W, 2) px; how near it is (B, F, H, W): 1 on the limb's line, 0 at its edge, below that outside; and all
    of that for the torso, which limbs are before, (B, F, H, W, 3)."""
    x = torch.arange(width, device=figure.size.device, dtype=figure.size.dtype)
    y = torch.arange(height, device=figure.size.device, dtype=figure.size.dtype)[:, None]
    best = figure.size[..., None, None].new_full((*figure.size.shape, height, width), NOWHERE)
    near, along, aside, which = best.clone(), torch.zeros_like(best), torch.zeros_like(best), torch.zeros_like(best)
    for k, limb in enumerate(LIMBS):
        start, end, length, seen, girth = (
            v[..., k, :, None, None] if v.ndim > figure.seen.ndim else v[..., k, None, None]
            for v in (figure.starts, figure.ends, figure.length, figure.seen, figure.girth)
        )
        size = figure.size[..., None, None]
        (ux, uy) = ((end - start) / length[..., None, :, :]).unbind(-3)
        dx, dy = x - start[..., 0, :, :], y - start[..., 1, :, :]
        t, n = dx * ux + dy * uy, dx * uy - dy * ux
        past = t.clamp_max(0) + (t - length - limb.beyond * size).clamp_min(0)
        nearness = 1 - (n.square() + past.square()) / (limb.radius * EDGE * size * girth).square()
        if k == TORSO:
            torso = torch.stack([t, n, torch.where(seen, nearness, NOWHERE)], dim=-1)
        score = torch.where(seen, nearness + limb.front * (nearness > 0), NOWHERE)
        better = score > best
        best = torch.where(better, score, best)
        near, along = torch.where(better, nearness, near), torch.where(better, t, along)
        aside, which = torch.where(better, n, aside), torch.where(better, float(k), which)
    return which.long(), torch.stack([along, aside], dim=-1), near, torso


def _at_ends(figure: Figure, height: int, width: int) -> Tensor:
    """Where shoes, hands and hair may be, that no limb reaches: (B, F, H, W)."""
    x = torch.arange(width, device=figure.size.device)
    y = torch.arange(height, device=figure.size.device)[:, None]
    there = torch.zeros((*figure.size.shape, height, width), dtype=torch.bool, device=figure.size.device)
    for k, limb in enumerate(LIMBS):
        reach = next((reach for end, reach in REACHES.items() if limb.end.endswith(end)), None)
        if reach is not None:
            dx, dy = (v - figure.ends[..., k, i, None, None] for i, v in ((0, x), (1, y)))
            near = dx.square() + dy.square() < (reach * figure.size[..., None, None]).square()
            there |= near & figure.seen[..., k, None, None]
    return there


def _source(then: Figure, now: Figure, scale: Tensor, limb: Tensor, place: Tensor) -> Tensor:
    """Where in the reference a `place` (B, F, H, W, 2) on `limb` (B, F, H, W) is: (B, F, H, W, 2) px."""
    grown = scale[..., None]
    shown = torch.maximum(now.length, SHORTEST * grown * then.length)
    numbers = [then.length / shown, then.girth / (grown * now.girth), shown, 1 / grown, then.length]
    unit = (then.ends - then.starts) / then.length[..., None]
    values = [v.expand_as(now.length) for v in numbers]
    values += [v[..., i].expand_as(now.length) for v in (then.starts, unit) for i in (0, 1)]
    table = torch.stack(values, dim=-1)  # (B, F, L, 9)
    rows = limb.flatten(2)[..., None].expand(-1, -1, -1, table.shape[-1])
    stretch, aside, length, beyond, full, x, y, ux, uy = table.gather(2, rows).unflatten(2, limb.shape[2:]).unbind(-1)
    t, n = place.unbind(-1)
    t = torch.where(t > length, full + (t - length) * beyond, t * stretch)
    n = n * aside
    return torch.stack([x + t * ux + n * uy, y + t * uy - n * ux], dim=-1)


def _room(pictures: Tensor, free: Tensor) -> Tensor:
    """The pictures (B, 3, H, W) with what is not `free` (B, H, W) filled from around it, coarser the wider the hole."""
    keep = free[:, None].to(pictures)
    levels = [(pictures * keep, keep)]
    while min(levels[-1][0].shape[-2:]) > 2:
        levels.append(tuple(F.avg_pool2d(v, 2, ceil_mode=True) for v in levels[-1]))  # type: ignore[arg-type]
    colours, weight = levels.pop()
    filled = colours / weight.clamp_min(1e-4)
    while levels:
        colours, weight = levels.pop()
        above = F.interpolate(filled, colours.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.where(weight > 0.5, colours / weight.clamp_min(1e-4), above)
    return filled
