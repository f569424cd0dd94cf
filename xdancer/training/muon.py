"""Muon for the weights between layers, AdamW for the others, as one optimiser.

torch has a Muon of its own, for matrices only and in bfloat16, which CPUs without AVX-512 BF16 take thirty times as
long for. This one takes a convolution as a matrix of a row an output, and works in single precision.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

STEPS = 5
QUINTIC = 3.4445, -4.7750, 2.0315  # of the steps; their singular values end between 0.7 and 1.2
LIKE_ADAM = 0.2  # what AdamW's updates measure, as a root mean square (arXiv 2502.16982)


class Muon(torch.optim.Optimizer):
    """Weights that are `hidden` move along the nearest orthogonal matrix of their momentum (Jordan et al. 2024,
    kellerjordan.github.io/posts/muon), as far as AdamW would move them; the `others` by AdamW.

    Each group has its own `lr` and `weight_decay`, so that a schedule may set them apart.
    """

    def __init__(
        self, hidden: Iterable[nn.Parameter], others: Iterable[nn.Parameter], lr: float = 1e-3, momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 1e-2,
    ) -> None:  # fmt: skip
        matrices = list(hidden)
        groups = [{"params": matrices, "hidden": True}, {"params": list(others), "hidden": False}]
        if any(weight.ndim < 2 for weight in matrices):
            raise ValueError("a hidden weight of one dimension is no matrix; give it with the others")
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "eps": 1e-8, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            move = _along_orthogonal if group["hidden"] else _by_adam
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    move(weight, weight.grad, self.state[weight], group)
        return loss


def _along_orthogonal(weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state["momentum"] = torch.zeros_like(weight)
    state["momentum"].lerp_(gradient, 1 - group["momentum"])
    ahead = torch.lerp(gradient, state["momentum"], group["momentum"])  # Nesterov's
    matrix = orthogonal(ahead.flatten(1))
    weight.add_(matrix.view_as(weight), alpha=-group["lr"] * LIKE_ADAM * max(matrix.shape) ** 0.5)


def _by_adam(weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state["step"] = torch.zeros(())
        state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
    state["step"] += 1
    first, second = group["betas"]
    state["mean"].lerp_(gradient, 1 - first)
    state["square"].lerp_(gradient.square(), 1 - second)
    steps = float(state["step"])
    deviation = (state["square"] / (1 - second**steps)).sqrt_().add_(group["eps"])
    weight.addcdiv_(state["mean"], deviation, value=-group["lr"] / (1 - first**steps))


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the orthogonal matrix that is nearest to `matrix` (m, n): all its singular values about 1, by
    Newton-Schulz iteration."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp_min(1e-7)
    linear, cubic, quintic = QUINTIC
    for _ in range(STEPS):
        square = x @ x.T
        x = linear * x + (cubic * square + quintic * square @ square) @ x
    return x.T if tall else x
