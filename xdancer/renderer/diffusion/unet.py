"""The denoising UNet, and the ReferenceNet, which is the same without temporal modules and without a head.

Named and shaped as the UNet of Stable Diffusion 1.5 in diffusers, so that its weights load as they are. It differs in
three ways: frames come in windows, each with its own noise level; temporal modules stand behind every layer; and the
self-attentions also read what a ReferenceNet saw (Animate Anyone, arXiv 2311.17117), as keys and values made once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.renderer.diffusion.blocks import Memory, Pass, SpatialTransformer, TemporalModule
from xdancer.weights.sizes import Sizes


@dataclass(frozen=True)
class UNetShape(Sizes):
    """Sizes of a UNet. The defaults are those of Stable Diffusion 1.5 with AnimateDiff's temporal modules.

    channels: width of each level, fine to coarse. layers: residual blocks a level on the way down, one more on the way
    up. attention: whether a level has spatial transformers. context: width of what cross-attention reads, 0 for none.
    longest: frames a window may have.
    """

    latent: int = 4
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers: int = 2
    attention: tuple[bool, ...] = (True, True, True, False)
    heads: int = 8
    temporal_heads: int = 8
    context: int = 768
    groups: int = 32
    longest: int = 32

    @property
    def entries(self) -> tuple[int, ...]:
        """Channels of what enters each level on the way down: where condition maps are added."""
        return (self.channels[0], *self.channels[:-1])


class Level(nn.Module):
    """Residual blocks, each followed by its spatial transformer and temporal module, where the level has them."""

    def __init__(self, shape: UNetShape, widths: Sequence[tuple[int, int]], attention: bool, temporal: bool) -> None:
        super().__init__()
        out, groups = widths[0][1], shape.groups
        self.resnets = nn.ModuleList(
            ResnetBlock2D(in_channels=a, out_channels=b, temb_channels=4 * shape.channels[0], groups=groups, eps=1e-5)
            for a, b in widths
        )
        if attention:
            self.attentions = nn.ModuleList(
                SpatialTransformer(out, shape.heads, groups, shape.context or None) for _ in widths
            )
        if temporal:
            self.motion_modules = nn.ModuleList(
                TemporalModule(out, shape.temporal_heads, groups, shape.longest) for _ in widths
            )

    def layer(self, index: int, x: Tensor, shared: Pass) -> Tensor:
        return self.look(index, self.resnets[index](x, shared.time), shared)

    def look(self, index: int, x: Tensor, shared: Pass) -> Tensor:
        """Attention within frames, then between them."""
        if hasattr(self, "attentions"):
            x = self.attentions[index](x, shared)
        return self.motion_modules[index](x, shared.frames) if hasattr(self, "motion_modules") else x


class Down(Level):
    def __init__(self, shape: UNetShape, index: int, temporal: bool) -> None:
        out = shape.channels[index]
        widths = [(shape.entries[index], out), *[(out, out)] * (shape.layers - 1)]
        super().__init__(shape, widths, shape.attention[index], temporal)
        if index + 1 < len(shape.channels):
            self.downsamplers = nn.ModuleList([Downsample2D(out, use_conv=True, padding=1, name="op")])

    def forward(self, x: Tensor, shared: Pass, skips: list[Tensor]) -> Tensor:
        for index in range(len(self.resnets)):
            x = self.layer(index, x, shared)
            skips.append(x)
        return x


class Middle(Level):
    def __init__(self, shape: UNetShape, temporal: bool) -> None:
        width = shape.channels[-1]
        super().__init__(shape, [(width, width)], True, temporal)
        resnet = ResnetBlock2D(
            in_channels=width, out_channels=width, temb_channels=4 * shape.channels[0], groups=shape.groups, eps=1e-5
        )
        self.resnets.append(resnet)

    def forward(self, x: Tensor, shared: Pass) -> Tensor:
        return self.resnets[1](self.layer(0, x, shared), shared.time)


class Up(Level):
    def __init__(self, shape: UNetShape, index: int, temporal: bool) -> None:
        out, below = shape.channels[index], shape.channels[min(index + 1, len(shape.channels) - 1)]
        skips = [out] * shape.layers + [shape.entries[index]]
        before = [below] + [out] * shape.layers
        widths = [(a + b, out) for a, b in zip(before, skips, strict=True)]
        super().__init__(shape, widths, shape.attention[index], temporal)
        if index:
            self.upsamplers = nn.ModuleList([Upsample2D(out, use_conv=True)])

    def forward(self, x: Tensor, shared: Pass, skips: list[Tensor]) -> Tensor:
        for index in range(len(self.resnets)):
            x = self.layer(index, torch.cat([x, skips.pop()], dim=1), shared)
        if hasattr(self, "upsamplers"):
            x = self.upsamplers[0](x, output_size=skips[-1].shape[-2:])
        return x


class UNet(nn.Module):
    """Noisy latents of a window of frames to a prediction. `temporal` False and `head` False make a ReferenceNet."""

    def __init__(self, shape: UNetShape, temporal: bool = True, head: bool = True) -> None:
        super().__init__()
        self.shape = shape
        width, levels = shape.channels[0], range(len(shape.channels))
        self.conv_in = nn.Conv2d(shape.latent, width, 3, padding=1)
        self.time_proj = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(width, 4 * width)
        self.down_blocks = nn.ModuleList(Down(shape, index, temporal) for index in levels)
        self.mid_block = Middle(shape, temporal)
        self.up_blocks = nn.ModuleList(Up(shape, index, temporal) for index in reversed(levels))
        if head:
            self.conv_norm_out = nn.GroupNorm(shape.groups, width, eps=1e-5)
            self.conv_out = nn.Conv2d(width, shape.latent, 3, padding=1)

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        maps: Sequence[Tensor] = (),
        memory: Memory | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        """Latents (B, F, C, H, W) with timesteps (B, F), a noise level for each frame -> prediction of the same shape.

        maps: (B, F, C, h, w) for each of the first levels, or all of them, added to what enters the level. memory: what
        `remember` made of a reference. context: (B, L, D) for cross-attention, where the shape has it.
        """
        batch, frames = latents.shape[:2]
        shared = Pass(self._time(timesteps), frames, None, iter(memory) if memory is not None else None)
        if context is not None:
            shared.context = context.repeat_interleave(frames, 0)
        x = self._body(latents.flatten(0, 1), shared, [m.flatten(0, 1) for m in maps])
        return self.conv_out(F.silu(self.conv_norm_out(x))).unflatten(0, (batch, frames))

    def observe(self, latents: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """What the self-attentions attend to in clean pictures (B, C, H, W): (B, N, width) each, in order."""
        time = self._time(torch.zeros(len(latents), 1, dtype=torch.long, device=latents.device))
        bank: list[Tensor] = []
        self._body(latents, Pass(time, 1, context, bank=bank), [])
        return bank

    def remember(self, bank: Sequence[Tensor]) -> Memory:
        """The keys and values that this net's self-attentions make of a ReferenceNet's bank: once per reference."""
        levels = [*self.down_blocks, self.mid_block, *self.up_blocks]
        blocks = [t.transformer_blocks[0] for level in levels for t in getattr(level, "attentions", ())]
        return [block.attn1.remember(b) for block, b in zip(blocks, bank, strict=True)]

    def _time(self, timesteps: Tensor) -> Tensor:
        waves = self.time_proj(timesteps.flatten().clamp_min(0))
        return self.time_embedding(waves.to(self.conv_in.weight.dtype))

    def _body(self, x: Tensor, shared: Pass, maps: Sequence[Tensor]) -> Tensor:
        x = self.conv_in(x)
        if maps:
            x = x + maps[0]
        skips = [x]
        for index, level in enumerate(self.down_blocks):
            x = level(x, shared, skips)
            if hasattr(level, "downsamplers"):
                x = level.downsamplers[0](x)  # type: ignore[index, operator]
                if index + 1 < len(maps):
                    x = x + maps[index + 1]
                skips.append(x)
        x = self.mid_block(x, shared)
        for level in self.up_blocks:
            x = level(x, shared, skips)
        return x
