"""How wide somebody is: each of their limbs in the reference picture, beside what its pose alone lets expect.

What bodies look like around their joints is learned of many people, so from a pose alone limbs are as wide as most are.
A picture shows more, such as bare shins or wide trousers. What it shows goes along: in every pose, what is around a
limb is drawn wider or slimmer across it, as in the picture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH
from xdancer.renderer.diffusion.body import Surface
from xdancer.renderer.diffusion.cells import middles
from xdancer.renderer.diffusion.figure import LIMBS, Figure, on_canvas

# Limbs that lie beside each other, of which a pixel is next to one. Those of a kind are alike: left and right.
KINDS = ("trunk", "head", "upper arm", "forearm", "hand", "thigh", "shin")
KIND = (0, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6)  # of the first of `LIMBS`
UNCHANGED = (KINDS.index("head"), KINDS.index("hand"))  # hair is no matter of girth, and hands have their own fingers
PIECES = 4  # of a limb, from its start to its end, each as wide as it is
DOUBT = 60.0  # px of body in favour of what the pose lets expect
LEAST, MOST = 0.6, 1.5  # widths beside what is expected
FAR = 3.0  # radii from its limb up to which a pixel may be of it
COARSE = 4  # px: how far pixels move is worked out for each such square, for it changes slowly


@dataclass(frozen=True)
class _Beside:
    """Pixels (h, w) beside each of L limbs of N poses. along: (N, L, h, w), from its start (0) to its end (1). aside:
    (N, L, 2, h, w), canvas px from the nearest point of it. apart: (N, L, h, w), the same in radii."""

    along: Tensor
    aside: Tensor
    apart: Tensor

    @classmethod
    def of(cls, poses: Tensor, height: int, width: int) -> "_Beside":
        figure, limbs = Figure.of(poses), len(KIND)
        starts = figure.starts[:, :limbs, :, None, None]
        lines = figure.ends[:, :limbs, :, None, None] - starts
        x, y = on_canvas(height, width, poses.device)
        away = torch.stack(torch.broadcast_tensors(x, y)).to(starts) - starts
        along = ((away * lines).sum(2) / lines.square().sum(2).clamp_min(1)).clamp(0, 1)
        aside = away - along[:, :, None] * lines
        radii = figure.size[:, None] * aside.new_tensor([limb.radius for limb in LIMBS[:limbs]])
        apart = aside.square().sum(2).sqrt() / radii[..., None, None]
        return cls(along, aside, torch.where(figure.seen[:, :limbs, None, None], apart, 1e3))


def measured(expected: Surface, seen: Surface, poses: Tensor) -> Tensor:
    """How wide people in poses (N, 60, 3) are seen beside what was expected of them (both (N, ..)): for each kind of
    limb and each piece of it, (N, len(KINDS), PIECES), from LEAST to MOST; 1 where hardly anything is seen of it."""
    beside = _Beside.of(poses, *seen.shown.shape[-2:])
    apart, nearest = beside.apart.min(1, keepdim=True)
    piece = (beside.along.gather(1, nearest) * PIECES).long().clamp_max(PIECES - 1)
    place = (nearest.new_tensor(KIND)[nearest] * PIECES + piece).flatten(1)
    areas = []
    for surface in (seen, expected):
        body = torch.sigmoid(surface.shown.float()) * (apart < FAR)
        areas.append(body.new_zeros(len(body), len(KINDS) * PIECES).scatter_add_(1, place, body.flatten(1)))
    girths = ((areas[0] + DOUBT) / (areas[1] + DOUBT)).clamp(LEAST, MOST).unflatten(1, (-1, PIECES))
    girths[:, UNCHANGED] = 1
    return girths


def widened(surface: Surface, girths: Tensor, poses: Tensor) -> Surface:
    """What is expected of people in poses (N, 60, 3), (N, ..), as wide as people of such `girths` (N, len(KINDS),
    PIECES) are."""
    height, width = surface.shown.shape[-2:]
    beside = _Beside.of(poses, height // COARSE, width // COARSE)
    sides = 1 / girths[:, KIND] - 1  # what is drawn lies further in by so much, or further out
    at = (beside.along * PIECES - 0.5).clamp(0, PIECES - 1)
    low = at.long().clamp_max(PIECES - 2)
    flat = low.flatten(2)
    first, second = (sides.gather(2, k).view_as(at) for k in (flat, flat + 1))
    by_limb = torch.lerp(first, second, at - low) * torch.exp(-((beside.apart / FAR) ** 4))
    weight = torch.softmax(-beside.apart.square().clamp_max(60), dim=1)
    moves = ((by_limb * weight)[:, :, None] * beside.aside).sum(1)
    moves = F.interpolate(moves, (height, width), mode="bilinear", align_corners=False)
    scale = moves.new_tensor([2 / CANVAS_WIDTH, 2 / CANVAS_HEIGHT])[:, None, None]
    grid = (middles(height, width, moves) + moves * scale).movedim(1, -1)
    told = torch.cat([surface.shown, surface.places], dim=1).to(grid)
    shown, places = F.grid_sample(told, grid, "bilinear", "border", align_corners=False).split([1, 3], dim=1)
    return Surface(shown, places)
