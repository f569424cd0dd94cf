"""The motion decoder: a frame's tokens and joints to maps for every level of the UNet (X-Dancer, arXiv 2502.17414).

A learned map is enlarged level by level while the frame's motion modulates it by AdaIN (arXiv 1703.06868); temporal
modules tie the frames of a window together. No skeleton is drawn on this path.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, CODEBOOK_SIZE, N_JOINTS, TOKENS_PER_FRAME
from xdancer.renderer.diffusion.blocks import TemporalModule
from xdancer.weights.sizes import Sizes


@dataclass(frozen=True)
class MotionShape(Sizes):
    """Sizes of a motion decoder.

    widths: channels of its levels, coarse to fine, as many as the UNet has. base: height and width of the learned map.
    code: numbers a token is embedded in. motion: width of a frame's motion vector. positions: add maps of where the
    joints are. token_dropout: share of windows that are trained without tokens, and may be drawn without.
    """

    widths: tuple[int, ...] = (256, 192, 128, 96)
    base: tuple[int, int] = (14, 8)
    code: int = 8
    motion: int = 512
    heads: int = 4
    groups: int = 16
    longest: int = 32
    positions: bool = False
    token_dropout: float = 0.3


def normalised(joints: Tensor) -> Tensor:
    """Poses (..., 60, 3) with x and y in canvas pixels -> x and y from -1 to 1 across the canvas; unseen joints 0."""
    size = joints.new_tensor([CANVAS_WIDTH, CANVAS_HEIGHT])
    place = (joints[..., :2] + 0.5) / size * 2 - 1
    return torch.cat([torch.where(joints[..., 2:] > 0, place, 0.0), joints[..., 2:]], dim=-1)


class MotionVector(nn.Module):
    """A frame's motion as one vector, from its 30 tokens (which may be missing) and its joints with confidence."""

    def __init__(self, shape: MotionShape) -> None:
        super().__init__()
        self.dropout = shape.token_dropout
        self.codes = nn.Embedding(TOKENS_PER_FRAME * CODEBOOK_SIZE, shape.code)
        self.from_tokens = nn.Linear(TOKENS_PER_FRAME * shape.code, shape.motion)
        self.from_joints = nn.Linear(3 * N_JOINTS, shape.motion)
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(shape.motion, shape.motion), nn.SiLU())
        self.register_buffer("first", torch.arange(TOKENS_PER_FRAME) * CODEBOOK_SIZE, persistent=False)

    first: Tensor

    def forward(self, tokens: Tensor | None, joints: Tensor) -> Tensor:
        """Tokens (B, F, 30) or None and joints (B, F, 60, 3) normalised -> (B, F, motion)."""
        motion = self.from_joints(joints.flatten(2))
        if tokens is not None:
            told = self.from_tokens(self.codes(tokens.long() + self.first).flatten(2))
            if self.training:
                told = told * (torch.rand(len(told), 1, 1, device=told.device) >= self.dropout)
            motion = motion + told
        return self.mix(motion)


class JointMaps(nn.Module):
    """Learned maps keyed by the joints: each joint adds its own channels where it is, as far as it is seen.

    A joint spreads as a Gaussian of a learned width; the offsets within it place it more finely than the grid.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channels = nn.Linear(3 * N_JOINTS, width, bias=False)
        self.log_spread = nn.Parameter(torch.full((N_JOINTS,), -0.2))  # of cells

    def forward(self, joints: Tensor, height: int, width: int) -> Tensor:
        """Normalised joints (N, 60, 3) -> (N, C, height, width)."""
        across = (torch.arange(width, device=joints.device) + 0.5)[None, :, None]  # (1, W, 1) cells
        down = (torch.arange(height, device=joints.device) + 0.5)[None, :, None]
        spread = self.log_spread.exp()
        dx = (across - (joints[:, None, :, 0] + 1) / 2 * width) / spread  # (N, W, 60)
        dy = (down - (joints[:, None, :, 1] + 1) / 2 * height) / spread
        seen = joints[:, None, :, 2]
        x, y = torch.exp(-dx.square() / 2), torch.exp(-dy.square() / 2) * seen
        near = y[:, :, None] * x[:, None]  # (N, H, W, 60)
        keyed = torch.cat([near, near * dx[:, None], near * dy[:, :, None]], dim=-1)
        return self.channels(keyed).permute(0, 3, 1, 2)


class ModulatedBlock(nn.Module):
    """Two convolutions, each after instance normalisation with scale and shift from the motion vector (AdaIN)."""

    def __init__(self, before: int, after: int, motion: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)]
        )
        self.styles = nn.ModuleList([nn.Linear(motion, 2 * before), nn.Linear(motion, 2 * after)])
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, motion: Tensor) -> Tensor:
        y = x
        for convolution, style in zip(self.convolutions, self.styles, strict=True):
            scale, shift = style(motion)[..., None, None].chunk(2, dim=1)
            y = convolution(F.silu(F.instance_norm(y) * (1 + scale) + shift))
        return self.shortcut(x) + y


class MotionDecoder(nn.Module):
    """Motion of a window of frames to maps for the levels of a UNet whose levels take `entries` channels."""

    def __init__(self, shape: MotionShape, entries: tuple[int, ...]) -> None:
        super().__init__()
        if len(shape.widths) != len(entries):
            raise ValueError(f"a motion decoder of {len(shape.widths)} levels for a UNet of {len(entries)}")
        self.vector = MotionVector(shape)
        self.canvas = nn.Parameter(torch.randn(1, shape.widths[0], *shape.base))
        before = (shape.widths[0], *shape.widths[:-1])
        self.blocks = nn.ModuleList(
            ModulatedBlock(a, b, shape.motion) for a, b in zip(before, shape.widths, strict=True)
        )
        self.positions = nn.ModuleList(JointMaps(a) for a in before) if shape.positions else None
        self.motion_modules = nn.ModuleList(
            TemporalModule(w, shape.heads, shape.groups, shape.longest) for w in shape.widths
        )
        self.outputs = nn.ModuleList(nn.Conv2d(w, c, 1) for w, c in zip(shape.widths, reversed(entries), strict=True))
        for output in self.outputs:
            for parameter in output.parameters():
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor | None, joints: Tensor, height: int, width: int) -> list[Tensor]:
        """Tokens (B, F, 30) or None, joints (B, F, 60, 3) in canvas pixels, and the size of the latents -> maps
        (B, F, C, h, w), fine to coarse. At first the maps are zero."""
        joints = normalised(joints).to(self.canvas.dtype)
        motion = self.vector(tokens, joints).flatten(0, 1)
        batch, frames = joints.shape[:2]
        sizes = [(height, width)]
        for _ in self.blocks[1:]:
            sizes.insert(
                0, ((sizes[0][0] + 1) // 2, (sizes[0][1] + 1) // 2)
            )  # as a convolution of stride 2 leaves them
        x = F.interpolate(self.canvas, sizes[0], mode="bilinear", align_corners=False)
        x = x.expand(batch * frames, -1, -1, -1)
        maps: list[Tensor] = []
        for level, (block, size) in enumerate(zip(self.blocks, sizes, strict=True)):
            if level:
                x = F.interpolate(x, size, mode="nearest")
            if self.positions is not None:
                x = x + self.positions[level](joints.flatten(0, 1), *size)
            x = self.motion_modules[level](block(x, motion), frames)
            maps.insert(0, self.outputs[level](x).unflatten(0, (batch, frames)))
        return maps
