"""What the training loops share: schedule, resumable checkpoints, moving average, log."""

import ctypes
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xdancer.errors import UserError


def keep_memory() -> None:
    """Have glibc keep freed memory. Fresh pages are dear on small machines: a training step is 2 to 5 times faster."""
    trim_threshold, mmap_max, arena_max = -1, -4, -8
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, or Windows
        return
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(arena_max, 1)


def learning_rate(step: int, steps: int, peak: float, warmup: int, floor: float = 0.01) -> float:
    """Linear warm-up over `warmup` steps, then a cosine from `peak` to `floor` * peak at `steps`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    part = min((step - warmup) / max(steps - warmup, 1), 1.0)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * part)))


def save_checkpoint(path: Path, values: dict[str, Any]) -> None:
    """Write `values` so that a kill at any moment leaves either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    torch.save(values, draft)
    os.replace(draft, path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, or None where there is none. Raises UserError where it is damaged."""
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: damaged checkpoint ({reason}); remove it to start again") from error


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """What is raised in here where a checkpoint does not fit becomes the UserError that says so."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError) as error:
        raise UserError(f"{path}: from a run of another shape; change `run` or remove it to start again") from error


def save_run(path: Path, network: nn.Module, optimisers: Sequence[torch.optim.Optimizer], step: int) -> None:
    """A checkpoint from which `resume` goes on after `step` steps."""
    kept = [optimiser.state_dict() for optimiser in optimisers]
    save_checkpoint(path, {"network": network.state_dict(), "optimisers": kept, "step": step})


def resume(path: Path, network: nn.Module, optimisers: Sequence[torch.optim.Optimizer]) -> int:
    """Take up the run of a checkpoint: the steps it has done, 0 where there is none. Raises UserError where it is
    damaged or does not fit."""
    state = load_checkpoint(path)
    if state is None:
        return 0
    with fitting(path):
        network.load_state_dict(state["network"])
        for optimiser, kept in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
    return int(state["step"])


def decayed(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """The weights as groups for an optimiser: matrices decay, biases and scales do not."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Move every parameter of `average` towards `model`'s, keeping a share `keep` of itself."""
    with_gradient = [(a, p) for a, p in zip(average.parameters(), model.parameters(), strict=True) if p.requires_grad]
    if with_gradient:
        torch._foreach_lerp_([a for a, _ in with_gradient], [p for _, p in with_gradient], 1 - keep)


def log(path: Path, **values: Any) -> None:
    """Append one JSON line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()}) + "\n")
