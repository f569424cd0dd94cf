"""What people look like around their joints: for each pixel of a pose, whether somebody is seen there, and which place
of the body it is.

A picture of somebody tells more than their pose: where they stand out from the room, and so how wide they are, what
hair and cloth they have, and which limb is before another.

Places are those of a person who stands with arms stretched out (a canonical surface, as in DensePose, arXiv 1802.00434,
and canonical surface maps, arXiv 1912.05729), so that two pictures of a person can be laid over each other, wherever
they turn and whatever limb hides another. Learned from avatars, of which both are known exactly.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.pose.layout import INDEX, N_JOINTS, SEEN
from xdancer.renderer.diffusion.figure import LIMBS, Figure
from xdancer.weights.sizes import Sizes

SIZE = (224, 128)  # px, of the maps
MIDDLES = (INDEX["neck"], INDEX["right_hip"], INDEX["left_hip"])
LOOKS = 4  # maps of how somebody stands out from the room: that they do, and by which colours


@dataclass(frozen=True)
class BodyShape(Sizes):
    """Sizes of the network. widths: channels of its levels, the first a quarter of the picture's size; fine: of half
    its size; edges: of its last convolution; lift and motion: numbers that a pose becomes, on the way and at last;
    groups: of the normalisation."""

    widths: tuple[int, int, int] = (48, 96, 128)
    fine: int = 64
    edges: int = 32
    lift: int = 512
    motion: int = 128
    groups: int = 8


@dataclass(frozen=True)
class Surface:
    """What is seen of people. shown: (..., 1, H, W), how surely somebody is, as a logit. places: (..., 3, H, W) on the
    body, in statures: to the left, up from the floor, to the front; they mean something where somebody is."""

    shown: Tensor
    places: Tensor

    def windows(self, count: int) -> "Surface":
        """(N, ..) as so many windows of frames: (count, N / count, ..)."""
        return Surface(*(v.unflatten(0, (count, -1)) for v in (self.shown, self.places)))


class Block(nn.Module):
    """Two convolutions of `side` x `side`, scaled and shifted between them by the pose."""

    def __init__(self, before: int, after: int, shape: BodyShape, side: int = 3) -> None:
        super().__init__()
        self.enter = nn.Conv2d(before, after, side, padding=side // 2)
        self.norm = nn.GroupNorm(shape.groups, after)
        self.style = nn.Linear(shape.motion, 2 * after)
        self.leave = nn.Conv2d(after, after, side, padding=side // 2)
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, motion: Tensor) -> Tensor:
        scale, shift = self.style(motion)[..., None, None].chunk(2, dim=1)
        y = F.silu(self.norm(self.enter(F.silu(x))) * (1 + scale) + shift)
        return self.shortcut(x) + self.leave(y)


class Lift(nn.Module):
    """What a pose is in space, as far as its joints in a picture tell: residual layers, far wider than joints are many
    (as those that lift poses to three dimensions, arXiv 1705.03098)."""

    def __init__(self, shape: BodyShape) -> None:
        super().__init__()
        self.enter = nn.Linear(3 * N_JOINTS, shape.lift)
        self.layers = nn.ModuleList([nn.Linear(shape.lift, shape.lift) for _ in range(4)])
        self.leave = nn.Linear(shape.lift, shape.motion)

    def forward(self, joints: Tensor) -> Tensor:
        """Joints (N, 180) about the middle and in the size of people -> (N, motion)."""
        x = self.enter(joints)
        for first, second in zip(self.layers[::2], self.layers[1::2], strict=True):
            x = x + second(F.silu(first(F.silu(x))))
        return F.silu(self.leave(F.silu(x)))


class Exact(nn.Conv2d):
    """A convolution in single precision, whatever the others work in: half would place faces by whole pixels."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            bias = None if self.bias is None else self.bias.float()
            return self._conv_forward(x.float(), self.weight.float(), bias)


class BodyNetwork(nn.Module):
    """Poses to surfaces: a UNet on maps of the limbs, told the whole pose at every level, and on how people look, where
    there is a picture of them."""

    def __init__(self, shape: BodyShape) -> None:
        super().__init__()
        first, second, third = shape.widths
        maps = 3 * len(LIMBS)
        self.motion = Lift(shape)
        self.enter = nn.Conv2d(maps, first, 3, 2, 1)
        self.down = nn.ModuleList([Block(first, first, shape), Block(first, second, shape)])
        self.bottom = nn.ModuleList([Block(second, third, shape), Block(third, third, shape)])
        self.up = nn.ModuleList([Block(second, second, shape), Block(first, first, shape)])
        self.narrow = nn.ModuleList([nn.Conv2d(third, second, 1), nn.Conv2d(second, first, 1)])
        self.fine = nn.ModuleList([nn.Conv2d(maps, shape.fine, 1), nn.Conv2d(first, shape.fine, 1)])
        self.near = Block(shape.fine, shape.fine, shape, side=1)  # of a place by itself: its limbs say all about it
        self.mix = nn.Conv2d(shape.fine, shape.edges, 3, padding=1)
        self.leave = Exact(shape.edges, 4 * 4, 3, padding=1)
        # How somebody looks is beside their pose, and before any training counts nothing.
        self.look = nn.ModuleList(
            [nn.Conv2d(4 * LOOKS, first, 3, 2, 1, bias=False), nn.Conv2d(4 * LOOKS, shape.fine, 3, 1, 1, bias=False)]
        )
        for parameter in self.look.parameters():
            nn.init.zeros_(parameter)

    def forward(self, poses: Tensor, looks: Tensor | None = None) -> Surface:
        """Poses (N, 60, 3) in canvas px, and how the people in them look (N, LOOKS, 224, 128), as `carry.looks` tells
        it, where that is known -> what is seen of them (N, .., 224, 128)."""
        poses = poses.float()
        figure = Figure.of(poses)
        kind = self.enter.weight.dtype
        maps = figure.maps(SIZE[0] // 2, SIZE[1] // 2).to(kind)
        motion = self.motion(_centred(poses, figure.size).flatten(1).to(kind))
        entered, detail = self.enter(maps), self.fine[0](maps)
        if looks is not None:
            shown = F.pixel_unshuffle(looks.to(kind), 2)
            entered, detail = entered + self.look[0](shown), detail + self.look[1](shown)
        x = fine = self.down[0](entered, motion)
        x = middle = self.down[1](F.avg_pool2d(x, 2), motion)
        x = F.avg_pool2d(x, 2)
        for block in self.bottom:
            x = block(x, motion)
        for block, narrow, beside in zip(self.up, self.narrow, (middle, fine), strict=True):
            x = block(beside + F.interpolate(narrow(x), beside.shape[-2:], mode="nearest"), motion)
        detail = detail + F.interpolate(self.fine[1](x), maps.shape[-2:], mode="bilinear", align_corners=False)
        out = self.leave(F.silu(self.mix(F.silu(self.near(detail, motion)))))
        shown, places = F.pixel_shuffle(out, 2).split([1, 3], dim=1)
        return Surface(shown, places)


def _centred(poses: Tensor, size: Tensor) -> Tensor:
    """Poses (N, 60, 3) about the middle of their trunks and in their size; unseen joints 0."""
    there = (poses[..., 2:] >= SEEN).to(poses)
    weight = there[:, MIDDLES, :]
    middle = (poses[:, MIDDLES, :2] * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1)
    place = (poses[..., :2] - middle) / (3 * size[:, None, None])
    return torch.cat([place * (poses[..., 2:] > 0), poses[..., 2:]], dim=-1).clamp(-3, 3)
