"""In which order frames lose their noise: all together for a clip, or in a rolling window while tokens arrive.

The network is behind `Denoise`, so both orders can be checked without one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from xdancer.renderer.diffusion.noise import CLEAN, NoiseSchedule

WINDOW = 16  # frames
LEVELS = 4  # of noise in the live window
ONCE = 2  # frames that a show finishes together where one pass makes a picture: nothing follows from more
# Noisy latents (F, C, H, W), timesteps (F,) and one condition a frame -> what the network says of them (F, C, H, W).
Denoise = Callable[[Tensor, Tensor, Sequence[Any]], Tensor]


def windows(frames: int, size: int = WINDOW, overlap: int = 4) -> list[range]:
    """Windows of `size` frames that cover `frames`, neighbours sharing at least `overlap`; the last one ends with them.

    None wraps the end onto the start. Raises ValueError where the windows could not move on.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"windows of {size} frames cannot overlap by {overlap}")
    if frames <= size:
        return [range(frames)] if frames else []
    starts = [*range(0, frames - size, size - overlap), frames - size]
    return [range(start, start + size) for start in starts]


def offline(
    denoise: Denoise,
    schedule: NoiseSchedule,
    noise: Tensor,
    conditions: Sequence[Any],
    steps: int = 20,
    size: int = WINDOW,
    overlap: int = 4,
) -> Tensor:
    """A whole clip of latents (T, C, H, W) from noise: at each step the predictions of overlapping windows are averaged
    where they overlap, then all frames take the step together (MultiDiffusion, arXiv 2302.08113, in time; the paper's
    "prompt traveling")."""
    latents, spans = noise, windows(len(noise), size, overlap)
    counts = torch.zeros(len(noise), device=noise.device)
    for span in spans:
        counts[span.start : span.stop] += 1
    levels = schedule.levels(steps)
    for level, following in zip(levels, levels[1:], strict=False):
        said = torch.zeros_like(latents)
        for span in spans:
            here = slice(span.start, span.stop)
            timesteps = torch.full((len(span),), level, device=latents.device)
            said[here] += denoise(latents[here], timesteps, conditions[here])
        said = said / counts[:, None, None, None]
        every = torch.full((len(latents),), level, device=latents.device)
        latents = schedule.step(latents, said, every, torch.full_like(every, following))
    return latents


class Rolling:
    """A window that rolls along: its oldest chunk of frames is nearly clean, its newest is noise.

    Each pass takes every chunk one level down, finishes the oldest, and makes room for the next: `size` frames are
    `levels` chunks, and every frame goes through all levels once. The first chunk of a dance goes through its levels at
    once, alone, so that a picture is there as soon as one chunk is; until the window is full it stays, clean, before
    the others. Where one pass is all, nothing is to be made of the noise, which would only make the picture shimmer:
    frames begin as its mean. State is kept here, apart from weights. Raises ValueError where `levels` does not divide
    `size`.
    """

    def __init__(self, denoise: Denoise, schedule: NoiseSchedule, size: int = WINDOW, levels: int = LEVELS) -> None:
        if levels < 1 or size % levels:
            raise ValueError(f"a window of {size} frames cannot hold {levels} equal chunks")
        self.chunk = size // levels
        self._denoise, self._schedule, self._size = denoise, schedule, size
        self._timesteps = schedule.levels(levels)
        self._latents: Tensor | None = None
        self._conditions: list[Any] = []
        self._passed: list[int] = []  # levels each frame has behind it

    def push(self, noise: Tensor, conditions: Sequence[Any]) -> Tensor:
        """One more chunk of frames, as noise (chunk, C, H, W) and conditions; the frames that became clean (n, C, H, W)
        in order, n = 0 or a chunk."""
        if len(noise) != self.chunk or len(conditions) != self.chunk:
            raise ValueError(f"chunks have {self.chunk} frames, not {len(noise)}")
        if len(self._timesteps) == 2:
            noise = torch.zeros_like(noise)
        first = self._latents is None
        self._latents = noise if self._latents is None else torch.cat([self._latents, noise])
        self._conditions += conditions
        self._passed += [0] * self.chunk
        if first:
            for _ in self._timesteps[1:]:
                self._pass()
            return self._latents.clone()
        return self._roll()

    def finish(self) -> list[Tensor]:
        """What is still in the window, chunk by chunk, at the end of a dance; then the window is empty."""
        out = []
        while self._latents is not None and min(self._passed) < len(self._timesteps) - 1:
            out.append(self._roll())
        self._latents, self._conditions, self._passed = None, [], []
        return [chunk for chunk in out if len(chunk)]

    def _roll(self) -> Tensor:
        """One pass over the window; the frames that it finished."""
        assert self._latents is not None
        if len(self._latents) > self._size:  # what was clean before has had its use
            self._drop(self.chunk)
        before = self._clean()
        self._pass()
        return self._latents[before : self._clean()].clone()

    def _clean(self) -> int:
        return sum(passed == len(self._timesteps) - 1 for passed in self._passed)

    def _pass(self) -> None:
        assert self._latents is not None
        device, last = self._latents.device, len(self._timesteps) - 1
        here = torch.tensor([self._timesteps[p] for p in self._passed], device=device)
        self._passed = [min(p + 1, last) for p in self._passed]
        following = torch.tensor([self._timesteps[p] for p in self._passed], device=device)
        said = self._denoise(self._latents, here, self._conditions)
        moved = self._schedule.step(self._latents, said, here, following)
        clean = (here == CLEAN)[:, None, None, None]
        self._latents = torch.where(clean, self._latents, moved)

    def _drop(self, frames: int) -> None:
        assert self._latents is not None
        self._latents, self._conditions = self._latents[frames:], self._conditions[frames:]
        self._passed = self._passed[frames:]
