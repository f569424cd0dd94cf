"""What a UNet level is made of: attention within a frame, and attention between frames.

The parameters are named as public weights name them: `SpatialTransformer` as that of Stable Diffusion 1.5 in
diffusers, `TemporalModule` as AnimateDiff's (arXiv 2307.04725), which Moore-AnimateAnyone and its kin use too.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers.models.attention import FeedForward
from torch import Tensor, nn

from xdancer.renderer.diffusion.attention import Attention

Memory = list[tuple[Tensor, Tensor]]  # keys and values (B, N, C) of a reference, one pair a spatial transformer


@dataclass
class Pass:
    """What the layers of one pass share, B windows of `frames` frames in one batch.

    time: (B frames, D). context: (B frames, L, D) for cross-attention. memory: of a reference, read layer by layer.
    bank: where a reference net leaves what its layers attend to, (B, N, C) each.
    """

    time: Tensor
    frames: int
    context: Tensor | None = None
    memory: Iterator[tuple[Tensor, Tensor]] | None = None
    bank: list[Tensor] | None = None

    def recall(self) -> tuple[Tensor, Tensor] | None:
        """Keys and values for the next spatial transformer, the same for all frames of a window."""
        if self.memory is None:
            return None
        keys, values = next(self.memory)
        return keys.repeat_interleave(self.frames, 0), values.repeat_interleave(self.frames, 0)


class TransformerBlock(nn.Module):
    """Self-attention that also reads a reference, cross-attention where there is a context, feed-forward."""

    def __init__(self, width: int, heads: int, context_width: int | None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, heads)
        if context_width:
            self.norm2 = nn.LayerNorm(width)
            self.attn2 = Attention(width, heads, context_width)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width, activation_fn="geglu")
        self.reads_context = bool(context_width)

    def forward(self, x: Tensor, shared: Pass) -> Tensor:
        own = self.norm1(x)
        if shared.bank is not None:
            shared.bank.append(own)
        x = x + self.attn1(own, memory=shared.recall())
        if self.reads_context:
            x = x + self.attn2(self.norm2(x), shared.context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """A transformer block over the places of each frame: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, width: int, heads: int, groups: int, context_width: int | None) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, heads, context_width)])
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, shared: Pass) -> Tensor:
        height, width = x.shape[-2:]
        y = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        y = self.transformer_blocks[0](y, shared)
        return x + self.proj_out(y.transpose(1, 2).unflatten(2, (height, width)))


class PositionEncoding(nn.Module):
    """Sines and cosines of the frame's place in its window, up to `longest` frames."""

    pe: Tensor

    def __init__(self, width: int, longest: int) -> None:
        super().__init__()
        angle = torch.arange(longest)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        pe = torch.zeros(1, longest, width)
        pe[0, :, 0::2], pe[0, :, 1::2] = torch.sin(angle), torch.cos(angle)
        self.register_buffer("pe", pe)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.shape[1]]


class TemporalAttention(Attention):
    """Attention over the frames of a window at one place."""

    def __init__(self, width: int, heads: int, longest: int) -> None:
        super().__init__(width, heads)
        self.pos_encoder = PositionEncoding(width, longest)

    def forward(self, x: Tensor, context: Tensor | None = None, memory: tuple[Tensor, Tensor] | None = None) -> Tensor:
        return super().forward(self.pos_encoder(x), context, memory)


class TemporalBlock(nn.Module):
    """Two attentions over time and a feed-forward."""

    def __init__(self, width: int, heads: int, longest: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList(TemporalAttention(width, heads, longest) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.ff = FeedForward(width, activation_fn="geglu")
        self.ff_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        for attention, norm in zip(self.attention_blocks, self.norms, strict=True):
            x = x + attention(norm(x))
        return x + self.ff(self.ff_norm(x))


class TemporalTransformer(nn.Module):
    def __init__(self, width: int, heads: int, groups: int, longest: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(width, heads, longest)])
        self.proj_out = nn.Linear(width, width)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        height, width = x.shape[-2:]
        # (B F, C, H, W) -> (B H W, F, C): every place looks along time by itself.
        y = self.norm(x).unflatten(0, (-1, frames)).permute(0, 3, 4, 1, 2).flatten(0, 2)
        y = self.proj_out(self.transformer_blocks[0](self.proj_in(y)))
        return x + y.unflatten(0, (-1, height, width)).permute(0, 3, 4, 1, 2).flatten(0, 1)


class TemporalModule(nn.Module):
    """Attention between the frames of a window; at first it changes nothing: (B F, C, H, W) -> the same."""

    def __init__(self, width: int, heads: int, groups: int, longest: int) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(width, heads, groups, longest)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        return self.temporal_transformer(x, frames)
