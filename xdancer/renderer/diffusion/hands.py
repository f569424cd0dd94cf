"""Hands by their fingers: too thin for the maps of a body, and known, joint by joint, from the pose.

A finger is a capsule around its bones, the palm what lies around those that fan out from the wrist. The body network
sees a mitten there: it tells whether anything of the hand is to be seen, and what colours it has. What of the mitten is
no hand shows what is behind it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xdancer.pose.layout import CANVAS_WIDTH, FINGERS, HANDS, INDEX, LEFT_HAND, SEEN
from xdancer.renderer.diffusion.cells import filled, mean_around, reach_of
from xdancer.renderer.diffusion.figure import Figure

WRIST = 0.38  # statures to the side, where the hand of an arm that is stretched out begins
BETWEEN = 0.01  # statures around it in which arm becomes hand
FINGER, PALM, HEEL, ARM = 0.03, 0.05, 0.06, 0.12  # radii, in the size of the figure
MARGIN = 0.15  # of the size of the figure: so far from its joints a hand may be seen
STEP = 16  # px: windows are multiples of it, so that many hands share a size
RIM = 0.016  # of the picture's width: so wide around a hand its places run into those of what is behind it
HIDDEN = 0.06  # of the picture's width: so far from what is seen of a hand its fingers are before what else is there
DECIDED = 4.5  # there is somebody behind a hand, or nobody: what is likelier
SOFT = 0.5  # px, at the edge of a finger
EDGE = 0.35  # of a finger's radius, to either side of where it ends
SHADE = 0.15  # of the light is missing there
# Joints of a hand: the wrist is 0, and each finger has four.
RAYS = tuple((0, 4 * finger + 1) for finger in range(len(FINGERS)))
BONES = tuple((4 * finger + k, 4 * finger + k + 1) for finger in range(len(FINGERS)) for k in (1, 2, 3))
MIDDLE = (RAYS[FINGERS.index("middle")],)


@dataclass(frozen=True)
class Fingers:
    """How hands change pictures, (N, 1, H, W) each, from 0 to 1. cover: how much of a pixel is hand. cleared: where the
    body network saw a hand or its rim, and behind: how likely somebody is there without it. edge: of fingers."""

    cover: Tensor
    cleared: Tensor
    behind: Tensor
    edge: Tensor

    @property
    def parts(self) -> tuple[Tensor, ...]:
        return self.cover, self.cleared, self.behind, self.edge

    def outlined(self, person: Tensor) -> Tensor:
        """How much of each pixel (..., 1, H, W) is person, with fingers."""
        cover, cleared, behind = (v.view_as(person) for v in (self.cover, self.cleared, self.behind))
        return torch.lerp(person, behind, cleared).maximum(cover)

    def shaded(self, colours: Tensor) -> Tensor:
        """Colours (..., 3, H, W) in [-1, 1] of people, darker where a finger ends."""
        return (colours + 1) * (1 - SHADE * self.edge.view_as(colours[..., :1, :, :])) - 1


@dataclass(frozen=True)
class Hands:
    """Hands that are seen in square windows of one size, M of them, all left or all right.

    numbers: (M,), of their pictures. corners: (M, 2), left and top of the windows, px. joints: (M, 21, 2), and arms:
    (M, 2, 2), elbow and wrist, px from there. size: (M, 1, 1, 1), of the figures, px. side: of the windows, px. turn: 1
    for left hands, -1 for right ones.
    """

    numbers: Tensor
    corners: Tensor
    joints: Tensor
    arms: Tensor
    size: Tensor
    side: int
    turn: int

    def windows(self, pictures: Tensor) -> list[Tensor]:
        """What is in them of pictures (N, C, H, W): views (C, h, w)."""
        places = zip(self.numbers.tolist(), self.corners.tolist(), strict=True)
        return [pictures[n, :, top : top + self.side, left : left + self.side] for n, (left, top) in places]

    def beside(self, points: Tensor, bones: Sequence[tuple[int, int]], radius: float) -> Tensor:
        """How far pixels are from the nearest of the capsules around bones, which are pairs of points (M, P, 2): px,
        (M, 1, h, w), negative within. radius: in the size of the figure."""
        start, end = (points[:, [bone[k] for bone in bones]] for k in (0, 1))
        (left, top), (ahead, fall) = (v[..., None, None].unbind(2) for v in (start, end - start))
        pixel = torch.arange(self.side, device=points.device) + 0.5
        across, down = pixel - left, pixel[:, None] - top
        part = 1 / (ahead.square() + fall.square()).clamp_min(1e-6)
        share = (across * (ahead * part) + down * (fall * part)).clamp_(0, 1)
        far = (across - share * ahead).square_().add_((down - share * fall).square_())
        return far.amin(1, keepdim=True).sqrt() - radius * self.size


def hands_in(poses: Tensor, height: int, width: int) -> Iterator[Hands]:
    """The hands of poses (N, 60, 3), canvas px, of which every joint is seen, in pictures of that size."""
    poses, scale = poses.float(), width / CANVAS_WIDTH
    at, size = (poses[..., :2] + 0.5) * scale, Figure.of(poses).size * scale
    for wrist, joints in HANDS:
        arm = [INDEX["left_elbow" if joints == LEFT_HAND else "right_elbow"], wrist]
        seen = (poses[:, [*arm, *range(joints.start, joints.stop)], 2] >= SEEN).all(1)
        low, high = at[:, joints].amin(1), at[:, joints].amax(1)
        sides = ((high - low).amax(1) + 2 * MARGIN * size).div(STEP).ceil().mul(STEP).clamp_max(min(height, width))
        corners = ((low + high - sides[:, None]) / 2).round().clamp_min(0)
        corners = torch.minimum(corners, at.new_tensor([width, height]) - sides[:, None])
        for side in sides[seen].unique().tolist():
            some = (seen & (sides == side)).nonzero()[:, 0]
            here = at[some] - corners[some, None]
            yield Hands(
                some, corners[some].long(), here[:, joints], here[:, arm], size[some, None, None, None], int(side),
                1 if joints == LEFT_HAND else -1,
            )  # fmt: skip


def draw_fingers(told: Tensor, poses: Tensor) -> Fingers:
    """The fingers of people in poses (N, 60, 3), canvas px. told: what is told of pixels (N, C, H, W), first how surely
    somebody is shown, as a logit, then their places on the body in statures (3), then whatever goes with places. All
    but the first becomes, in place, that of fingers, and beside them of what is behind the mitten."""
    fingers = Fingers(*torch.zeros_like(told[:, :4]).split(1, dim=1))
    for hands in hands_in(poses, *told.shape[-2:]):
        windows = hands.windows(told)
        values, drawn = _drawn(hands, torch.stack(windows), told.shape[-1])
        for window, new in zip(windows, values, strict=True):
            window[1:] = new
        for part, some in zip(fingers.parts, drawn.parts, strict=True):
            for window, new in zip(hands.windows(part), some, strict=True):
                window.copy_(window.maximum(new))
    return fingers


def _drawn(hands: Hands, told: Tensor, width: int) -> tuple[Tensor, Fingers]:
    """What windows (M, C, h, w) of pictures so wide show, but for their first values, with hands; and their fingers."""
    shown, values = torch.sigmoid(told[:, :1]), told[:, 1:]
    mitten = shown * torch.sigmoid((hands.turn * values[:, :1] - WRIST) / BETWEEN)
    seen = mitten.amax((1, 2, 3), keepdim=True) > 0.5
    mitten = mitten * seen

    def near(share: float) -> Tensor:
        """Whether at least a pixel of the mitten is so near, of the picture's width, to every side."""
        reach = reach_of(share, width)
        return mean_around(mitten, reach) * (2 * reach + 1) ** 2 > 1

    # The arm keeps its end, for hands bend there; the rest of the mitten goes.
    arm = (hands.beside(hands.arms, ((0, 1),), ARM) < 0).to(told)
    cleared = near(RIM) * (1 - arm)
    others, skin = (1 - cleared) * (1 - arm), (mitten > 0.5).to(told)
    behind = torch.sigmoid(DECIDED * torch.logit(filled(shown * others, others), 1e-3)) * cleared
    others = others * (shown > 0.5)
    beyond, own = filled(torch.cat([values * others, values * skin]), torch.cat([others, skin])).chunk(2)
    beyond, own = torch.lerp(values, beyond, cleared), torch.lerp(own, values, skin)
    finger, palm = hands.beside(hands.joints, BONES, FINGER), hands.beside(hands.joints, RAYS, PALM)
    off = finger.minimum(palm).minimum(hands.beside(hands.joints, MIDDLE, HEEL))
    before = near(HIDDEN) | (seen & (shown < 0.5))
    cover = torch.sigmoid(-off / SOFT) * before
    edge = cover * torch.exp(-(finger / (EDGE * FINGER * hands.size)).square())
    # Before the room, a finger's colours go on beyond its edge.
    return torch.lerp(beyond, own, torch.maximum(cover, cleared * (1 - behind))), Fingers(cover, cleared, behind, edge)
