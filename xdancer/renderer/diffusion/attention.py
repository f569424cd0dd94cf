"""Attention, with the key names of diffusers, by whichever kernel is fastest here."""

import time
from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]  # (B, heads, N, D), (B, heads, M, D) twice -> (B, heads, N, D)
TRIAL = (16, 8, 1024, 40)  # batch, heads, tokens, width: the widest attention of SD 1.5, near enough


class Attention(nn.Module):
    """Multi-head attention of `width` channels over a context of `context_width`, or over itself."""

    def __init__(self, width: int, heads: int, context_width: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width or width, width, bias=False)
        self.to_v = nn.Linear(context_width or width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor, context: Tensor | None = None, memory: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """(B, N, C) -> (B, N, C). `memory`: further keys and values, (B, M, C) each."""
        keys, values = self.remember(x if context is None else context)
        if memory is not None:
            keys, values = (torch.cat([a, b], dim=1) for a, b in zip((keys, values), memory, strict=True))
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (self.to_q(x), keys, values))
        return self.to_out[0](kernel(x.device.type, q.dtype)(q, k, v).transpose(1, 2).flatten(2))

    def remember(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, M, C) of a context (B, M, context_width)."""
        return self.to_k(context), self.to_v(context)


@cache
def kernel(device: str, dtype: torch.dtype) -> Kernel:
    """The attention used on this kind of device, chosen once: PyTorch's, or xformers' where that is faster."""
    kernels: dict[str, Kernel] = {"torch": F.scaled_dot_product_attention}
    if device == "cuda":
        try:
            from xformers.ops import memory_efficient_attention
        except ImportError:
            return kernels["torch"]
        kernels["xformers"] = lambda q, k, v: memory_efficient_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        ).transpose(1, 2)

        def seconds(run: Kernel) -> float:
            q = torch.randn(TRIAL, device=device, dtype=dtype)
            with torch.no_grad():
                for _ in range(3):
                    run(q, q, q)
                torch.cuda.synchronize()
                started = time.perf_counter()
                for _ in range(10):
                    run(q, q, q)
                torch.cuda.synchronize()
            return time.perf_counter() - started

        return kernels[fastest(kernels, seconds)]
    return kernels["torch"]


def fastest(kernels: Mapping[str, Kernel], seconds: Callable[[Kernel], float]) -> str:
    """The name of the kernel that takes the fewest `seconds`; one that cannot run here is passed over."""
    times = {}
    for name, run in kernels.items():
        try:
            times[name] = seconds(run)
        except (RuntimeError, NotImplementedError, ValueError):
            continue
    return min(times, key=lambda name: times[name])
