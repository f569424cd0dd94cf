"""The reference picture carried to another pose: a first guess of the person for the networks to better.

`body.py` tells of two poses which place of the body each pixel shows. What the reference shows of a place is put where
the place is now (texture transfer over a canonical surface, DensePose Transfer, arXiv 1809.01995); what it does not
show of a person is coloured as it is likeliest to be (`colouring.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.renderer.diffusion.body import BodyNetwork, Surface
from xdancer.renderer.diffusion.cells import ENOUGH, filled, gathered, highest, in_space, mean_around, middles, reach_of
from xdancer.renderer.diffusion.colouring import Colouring
from xdancer.renderer.diffusion.hands import draw_fingers
from xdancer.renderer.diffusion.room import behind

APART = 0.06, 0.18  # colours in [-1, 1] that may be the room's, and that surely are not
DOUBT = 0.1  # of what the reference shows of a place
NOBODY = 0.1  # likelihood up to which there is only the room, where no pixel around has more
LEAST = 0.15  # likelihood from which a pixel may be person
EDGE = 0.01  # what a pixel at the edge of the person counts beside one within
NEXT = 0.03  # statures: a place that is so far from what was looked for is another
FIRM = 4.5  # edges are drawn far firmer than they are known: a blurred one is right on average and never looks it
GRAIN = 0.01  # of the picture's width: within it evidence is as rough as the places that it is looked up by
HEARSAY = 0.5  # what the reference's evidence of somebody counts in another pose beside what bodies look like
MARGIN = 0.07  # of the picture's width: so far around the person their cloth and hair may be
RIM = 0.008  # of the picture's width: so wide is the edge where colours of person and room mix
MASKS = 3  # beside the latents: where the person is, whether the reference shows what is there, where they stood


@dataclass(frozen=True)
class Cutout:
    """What is kept of reference pictures (B, 3, H, W): themselves; which of their pixels are within the person for
    sure, and which are of them at all as far as colours tell (B, 2, H, W); the room without the person, and where
    nothing of it is hidden (B, 1, H, W); which place of the body each pixel shows (B, 3, H, W); how much of each is
    person (B, 1, H, W); and the body's space of cells.

    cells: (B, 7, Z, Y, X), for each cell its colour; where in the picture it is seen, from -1 to 1 as `grid_sample`
    counts; how much of it is person and not room; and how surely it is seen.
    """

    pictures: Tensor
    sure: Tensor
    room: Tensor
    free: Tensor
    places: Tensor
    person: Tensor
    cells: Tensor


@dataclass(frozen=True)
class Moved:
    """The reference in another pose, with any leading axes.

    maps: (..., C + MASKS, h, w), its latents and masks. pictures: (..., 3, H, W). person: (..., 1, H, W), how
    much of each pixel is person and not room. found: (..., 3, H, W), where the reference shows it, from -1 to 1 as
    `grid_sample` counts, and how surely it does.
    """

    maps: Tensor
    pictures: Tensor
    person: Tensor
    found: Tensor

    def __getitem__(self, key: Any) -> "Moved":
        return Moved(*(v[key] for v in self.parts))

    @property
    def parts(self) -> tuple[Tensor, ...]:
        return self.maps, self.pictures, self.person, self.found

    def flat(self) -> "Moved":
        """The first two axes as one."""
        return Moved(*(v.flatten(0, 1) for v in self.parts))

    @classmethod
    def stacked(cls, some: Sequence["Moved"]) -> "Moved":
        return cls.joined([m[None] for m in some])

    @classmethod
    def joined(cls, some: Sequence["Moved"]) -> "Moved":
        """One after the other along the first axis."""
        return cls(*(torch.cat(part) for part in zip(*(m.parts for m in some), strict=True)))


def recognised(body: BodyNetwork, pictures: Tensor, poses: Tensor) -> tuple[Surface, Surface]:
    """What is seen of the people in pictures (B, 3, H, W) who stand in poses (B, 60, 3): as their poses alone let
    expect, and told by how they look as well."""
    expected = body(poses)
    return expected, body(poses, looks(pictures, expected))


def looks(pictures: Tensor, surface: Surface) -> Tensor:
    """How the people in pictures (B, 3, H, W) look, of whom `surface` (B, ..) is a first guess: in its size,
    (B, LOOKS, h, w), whether they stand out from the room, from -1 to 1, and by which colours. Where they do not, it
    tells nothing."""
    shown = torch.sigmoid(surface.shown)
    pictures = _enlarged(pictures, *shown.shape[-2:])
    room, apart, telling, _ = _before_room(pictures, shown)
    return telling * torch.cat([2 * apart - 1, pictures - room], dim=1)


def cut_out(
    pictures: Tensor, surface: Surface, colouring: Colouring | None = None, poses: Tensor | None = None
) -> Cutout:
    """Reference pictures (B, 3, H, W) and what is seen of the people in them (B, ..). Without a `colouring` what is
    hidden is filled in from what is next to it on the body. Hands have fingers where `poses` (B, 60, 3) tell of them.
    """
    height, width = pictures.shape[-2:]
    shown, places = (_enlarged(v, height, width) for v in (torch.sigmoid(surface.shown), surface.places))
    if poses is not None:
        told = torch.cat([torch.logit(shown, 1e-6), places], dim=1)
        shown, places = draw_fingers(told, poses).outlined(shown), told[:, 1:]
    room, apart, telling, free = _before_room(pictures, shown)
    evidence = 0.5 + (apart - 0.5) * telling
    person = _weighed(shown, evidence)
    # Whoever wears the colours of the room is solid in the middle all the same; nearer the edge what they wear is not
    # known.
    edge = 1 - (2 * _shrunk(shown, RIM) - 1).clamp(0, 1)
    sure = person * (1 - (1 - apart) * telling * edge)
    inner = _shrunk(sure, RIM)  # at the edge the colours of person and room mix
    seen, there, solid, known = _cells(pictures, places, EDGE * sure + inner, evidence, shown > LEAST)
    colours = (colouring or filled)(seen[:, :3], seen[:, 3:])
    cells = torch.cat([colours, there, solid, known], dim=1)
    return Cutout(pictures, torch.cat([inner, evidence], dim=1), room, free, places, person, cells)


def furnished(cutout: Cutout, larger: Cutout | None = None) -> Cutout:
    """With the room behind the person as it may look; as in one of twice the size that has it already. It takes a part
    of a second, and a training does without."""
    if larger is None:
        return replace(cutout, room=behind(cutout.pictures, cutout.free))
    return replace(cutout, room=torch.where(cutout.free, cutout.pictures, F.avg_pool2d(larger.room, 2)))


def carried(cutout: Cutout, surface: Surface, poses: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The references where surfaces (B, F, ..) are: pictures (B, F, 3, H, W), masks (B, F, MASKS, H, W) in [0, 1], and
    where in the reference each pixel is (B, F, 2, H, W), from -1 to 1. Hands have fingers where `poses` (B, F, 60, 3)
    tell of them."""
    frames, (height, width) = surface.shown.shape[1], cutout.pictures.shape[-2:]
    cells = _at(cutout.cells, in_space(surface.places.transpose(1, 2)).permute(0, 2, 3, 4, 1)).transpose(1, 2)
    told = torch.cat([surface.shown, surface.places, cells], dim=2)
    told, fingers = _enlarged(told.flatten(0, 1), height, width), None
    if poses is not None:
        fingers = draw_fingers(told, poses.flatten(0, 1))
    told = told.unflatten(0, (-1, frames))
    shown, places, colours, there, solid, sure = told.split([1, 3, 3, 2, 1, 1], dim=2)
    found = _at(
        torch.cat([cutout.pictures, cutout.sure, cutout.places], dim=1), there.permute(0, 1, 3, 4, 2).flatten(1, 2)
    )
    found, inner, proof, shows = found.unflatten(2, (frames, height)).transpose(1, 2).split([3, 1, 1, 3], dim=2)
    apart = (shows - places).square().sum(2, keepdim=True)
    close = torch.exp(-apart / NEXT**2)
    right = sure * close * (2 * inner).clamp_max(1)
    heard = torch.logit(torch.lerp(solid, proof, close), DOUBT)
    person = torch.sigmoid(FIRM * (shown + HEARSAY * _smoothed(heard.flatten(0, 1), GRAIN).view_as(shown)))
    own = torch.lerp(colours, found, right)
    if fingers is not None:
        person, own = fingers.outlined(person), fingers.shaded(own)
    pictures = torch.lerp(cutout.room[:, None], own, person)
    stood = cutout.person[:, None].expand_as(person)
    return pictures, torch.cat([person, right * person, stood], dim=2), there


def _cells(
    pictures: Tensor, places: Tensor, weight: Tensor, evidence: Tensor, possible: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the pixels (B, .., H, W) that are `possible`, gathered in cells (B, .., Z, Y, X): their colours, summed up by
    `weight`, and its sum (4 values); and on the mean of neighbouring cells where they are (2), what `evidence` they
    give of somebody, and how surely they are seen."""
    height, width = pictures.shape[-2:]
    at = middles(height, width, pictures).expand(len(pictures), -1, -1, -1)
    there = possible.to(pictures)
    weight = weight * there
    seen = gathered(places, torch.cat([pictures * weight, weight], dim=1))
    around = gathered(places, torch.cat([at * there, evidence * there, there, weight], dim=1))
    at, evidence, there, weight = F.avg_pool3d(around, 3, 1, 1).split([2, 1, 1, 1], dim=1)
    solid = torch.where(there > ENOUGH, evidence / there.clamp_min(1e-6), 0.5)
    return seen, at / there.clamp_min(1e-6), solid, (weight / ENOUGH).clamp_max(1)


def _before_room(pictures: Tensor, shown: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The room (B, 3, H, W) without the person, who is `shown`; how far the colours of pixels (B, 1, H, W) are apart
    from the room's, 0 to 1; how much that tells of whether somebody is there (B, 1, 1, 1): as far as it tells the
    middle of the person from the room; and where the room is free (B, 1, H, W)."""
    room, free = _room(pictures, shown, MARGIN)
    wider, clear = _room(pictures, shown, 2 * MARGIN)
    around = (free & ~clear).to(pictures)  # here the room is known, and how far a guess at it is off
    off = _mean(_wrong(pictures, wider), around)
    apart = ((_wrong(pictures, room) - off - APART[0]) / (APART[1] - APART[0])).clamp(0, 1)
    within = (2 * _shrunk(shown, 2 * RIM) - 1).clamp(0, 1)
    return room, apart, _mean(apart, within).square(), free


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Of each picture (B, 1, H, W): (B, 1, 1, 1)."""
    return (values * weight).sum((1, 2, 3), keepdim=True) / weight.sum((1, 2, 3), keepdim=True).clamp_min(1e-6)


def _wrong(pictures: Tensor, room: Tensor) -> Tensor:
    return F.avg_pool2d((pictures - room).abs().mean(1, keepdim=True), 3, 1, 1)


def _weighed(shown: Tensor, evidence: Tensor) -> Tensor:
    """How likely somebody is there, by what bodies look like (`shown`) and by what the reference shows (`evidence`, 0.5
    where it says nothing): where people differ, as in hair and cloth, the body leaves it open, and this decides."""
    there = shown * evidence.clamp(DOUBT, 1 - DOUBT)
    return there / (there + (1 - shown) * (1 - evidence).clamp(DOUBT, 1 - DOUBT))


class Carry(nn.Module):
    """What is carried, as a map for the first level of a UNet."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(latent + MASKS, width, 3, padding=1)

    def forward(self, carried: Tensor) -> Tensor:
        """Latents and masks (N, latent + MASKS, h, w) -> (N, width, h, w)."""
        return self.convolution(carried)


def _enlarged(values: Tensor, height: int, width: int) -> Tensor:
    if values.shape[-2:] == (height, width):
        return values
    return F.interpolate(values, (height, width), mode="bilinear", align_corners=False)


def _at(values: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(values, grid.to(values), "bilinear", "border", align_corners=False)


def _smoothed(values: Tensor, share: float) -> Tensor:
    """The mean of the values (N, 1, H, W) up to a `share` of the width to every side."""
    reach = reach_of(share, values.shape[-1])
    return mean_around(values, reach) / mean_around(torch.ones_like(values[:1]), reach)


def _shrunk(values: Tensor, share: float) -> Tensor:
    return -highest(-values, share)


def _room(pictures: Tensor, shown: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """The pictures (B, 3, H, W) with what lies less than a `margin` from somebody filled from around, and where they
    are free of that (B, 1, H, W)."""
    free = highest(shown, margin) <= NOBODY
    keep = free.to(pictures)
    return torch.where(free, pictures, filled(pictures * keep, keep)), free
