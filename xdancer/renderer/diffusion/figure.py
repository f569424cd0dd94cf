"""Where the limbs of a pose are in a picture: lines between joints, as wide as limbs are.

Limbs are a coarse drawing of a person; lines across them, from shoulder to shoulder or from ear to ear, tell which way
trunk, head and hands turn. `body.py` learns what a person looks like around them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, INDEX, SEEN

# Points that limbs run between, as means of joints: (name, joints).
POINTS: dict[str, tuple[str, ...]] = {
    "neck": ("neck",), "hips": ("right_hip", "left_hip"),
    "head": ("nose", "right_eye", "left_eye", "right_ear", "left_ear"),
    **{f"{side}_{joint}": (f"{side}_{joint}",) for side in ("right", "left")
       for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")},
    **{f"{side}_hand": tuple(f"{side}_{finger}_1" for finger in ("index", "middle", "ring", "little"))
       for side in ("right", "left")},
    "nose": ("nose",),
    **{f"{side}_{joint}": (f"{side}_{joint}",) for side in ("right", "left")
       for joint in ("eye", "ear", "index_1", "little_1", "middle_4", "thumb_4")},
}  # fmt: skip
MEMBERS = tuple(tuple(INDEX[name] for name in joints) for joints in POINTS.values())
MOST_MEMBERS = max(map(len, MEMBERS))
PLACES = {name: place for place, name in enumerate(POINTS)}


@dataclass(frozen=True)
class Limb:
    """From one point to another. radius: half its width, in the size of the figure."""

    start: str
    end: str
    radius: float


def _pairs(start: str, end: str, radius: float) -> tuple[Limb, Limb]:
    return Limb(f"right_{start}", f"right_{end}", radius), Limb(f"left_{start}", f"left_{end}", radius)


LIMBS = (
    Limb("hips", "neck", 0.45),
    Limb("neck", "head", 0.36),
    *_pairs("shoulder", "elbow", 0.19),
    *_pairs("elbow", "wrist", 0.16),
    *_pairs("wrist", "hand", 0.18),
    *_pairs("hip", "knee", 0.30),
    *_pairs("knee", "ankle", 0.22),
    *(Limb(f"right_{joint}", f"left_{joint}", radius) for joint, radius in (
        ("shoulder", 0.45), ("hip", 0.45), ("ear", 0.36), ("eye", 0.30),
    )),
    Limb("neck", "nose", 0.36),
    Limb("nose", "right_ear", 0.30),
    Limb("nose", "left_ear", 0.30),
    *_pairs("index_1", "little_1", 0.18),
    *_pairs("hand", "middle_4", 0.12),
    *_pairs("wrist", "thumb_4", 0.12),
)  # fmt: skip
SIZED = (0, *range(2, 6), *range(8, 12))  # trunk, arms and legs
STARTS = tuple(PLACES[limb.start] for limb in LIMBS)
ENDS = tuple(PLACES[limb.end] for limb in LIMBS)
SMALLEST = 16.0  # canvas px: limbs of the smallest figure
MOST = 4.0  # lengths of a limb up to which a place is told along it
FAR = 3  # radii from a limb up to which its maps tell a place beside it


@dataclass(frozen=True)
class Figure:
    """The limbs of people, L of them. starts, ends: (..., L, 2) canvas px. seen: (..., L). size: (...) canvas px, the
    root mean square length of arms, legs and trunk."""

    starts: Tensor
    ends: Tensor
    seen: Tensor
    size: Tensor

    @property
    def length(self) -> Tensor:
        return (self.ends - self.starts).norm(dim=-1).clamp_min(1e-3)

    @classmethod
    def of(cls, poses: Tensor) -> "Figure":
        """The limbs of poses (..., 60, 3)."""
        # All points at once, for a frame asks several times; where a point has fewer joints than others, some are void.
        sizes = torch.tensor([len(joints) for joints in MEMBERS], device=poses.device)
        filled = [(*joints, *[0] * (MOST_MEMBERS - len(joints))) for joints in MEMBERS]
        some = poses[..., torch.tensor(filled, device=poses.device), :]
        own = torch.arange(MOST_MEMBERS, device=poses.device) < sizes[:, None]
        weight = ((some[..., 2:] >= SEEN) & own[..., None]).to(poses)
        points = (some[..., :2] * weight).sum(-2) / weight.sum(-2).clamp_min(1)
        # Some of the joints will do for a head or a hand, but hips are between two.
        known = weight.sum((-2, -1)) >= torch.where(sizes == 2, 2, 1)
        starts, ends = points[..., STARTS, :], points[..., ENDS, :]
        there = known[..., STARTS] & known[..., ENDS]
        square = (ends - starts).square().sum(-1)[..., SIZED]
        sized = there[..., SIZED].to(square)
        size = ((square * sized).sum(-1) / sized.sum(-1).clamp_min(1)).sqrt().clamp_min(SMALLEST)
        return cls(starts, ends, there, size)

    def maps(self, height: int, width: int) -> Tensor:
        """For each place of a grid over the canvas, and each limb, (..., 3 L, height, width): how near it is (1 on its
        line, 0 far off), and, as far as it is near, how far along (0 to 1 from start to end) and how many radii
        aside."""
        x, y = on_canvas(height, width, self.size.device)
        wide = self.size[..., None] * self.size.new_tensor([limb.radius for limb in LIMBS])
        towards = (self.ends - self.starts) / self.length[..., None]
        values = (wide, self.length, *towards.unbind(-1), *self.starts.unbind(-1), self.seen.to(wide))
        radius, length, ux, uy, from_x, from_y, seen = (v[..., None, None] for v in values)
        dx, dy = x - from_x, y - from_y  # a row and a column, of which only the sums are maps
        along, aside = dx * ux + dy * uy, dy * -ux + dx * uy
        past = torch.minimum(along.clamp_min(0), length).sub_(along)
        beside = past.square_().addcmul_(aside, aside).mul_(-0.5 / FAR / radius.square()).exp_().mul_(seen)
        # Where a limb points at the camera it has hardly any length to be along.
        share = along.mul_(1 / length.clamp_min(1)).clamp_(-MOST, MOST)
        return torch.cat([beside**FAR, share.mul_(beside), aside.mul_(1 / radius).mul_(beside)], dim=-3)


def on_canvas(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the pixels of a picture of the whole canvas are, canvas px: a row (1, width) and a column (height, 1)."""
    x = (torch.arange(width, device=device) + 0.5) * (CANVAS_WIDTH / width) - 0.5
    y = (torch.arange(height, device=device) + 0.5) * (CANVAS_HEIGHT / height) - 0.5
    return x[None, :], y[:, None]
