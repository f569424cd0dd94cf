"""How much noise stands at each step, and the way from one step to the next, for every frame by itself.

Timesteps run from 0 (nearly clean) to `steps` - 1; CLEAN (-1) is no noise at all. Everything takes a timestep per frame
and works on latents (..., C, H, W) with timesteps (...).
"""

from typing import Any, Literal

import torch
from torch import Tensor

CLEAN = -1
SPREAD = 0.5  # by which a carried reference misses the picture, in latents of unit variance


class NoiseSchedule:
    """A DDPM schedule (arXiv 2006.11239) with deterministic steps (DDIM, arXiv 2010.02502).

    curve: `linear` or `scaled_linear` between `start` and `end`, as diffusers names them. zero_terminal: the last step
    holds no signal (arXiv 2305.08891, algorithm 1). prediction: what the network foretells, the noise (`epsilon`) or
    the velocity (`v`, arXiv 2202.00512).
    """

    def __init__(
        self,
        steps: int = 1000,
        start: float = 0.00085,
        end: float = 0.012,
        curve: Literal["linear", "scaled_linear"] = "linear",
        zero_terminal: bool = True,
        prediction: Literal["epsilon", "v"] = "v",
    ) -> None:
        if zero_terminal and prediction == "epsilon":
            raise ValueError("a network that foretells noise can say nothing of a step that holds nothing else")
        self.steps, self.prediction = steps, prediction
        self.config: dict[str, Any] = {
            "steps": steps, "start": start, "end": end, "curve": curve,
            "zero_terminal": zero_terminal, "prediction": prediction,
        }  # fmt: skip
        if curve == "linear":
            betas = torch.linspace(start, end, steps, dtype=torch.float64)
        else:
            betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64).square()
        signal = (1 - betas).cumprod(0).sqrt()
        if zero_terminal:
            signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
        self.signal = torch.cat([signal, signal.new_ones(1)]).float()  # the last one is CLEAN
        self.noise = torch.cat([(1 - signal.square()).clamp_min(0).sqrt(), signal.new_zeros(1)]).float()

    def levels(self, count: int) -> list[int]:
        """`count` timesteps evenly down from the last one, then CLEAN ("trailing" in arXiv 2305.08891)."""
        return [round(self.steps - k * self.steps / count) - 1 for k in range(count)] + [CLEAN]

    def _shares(self, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Share of signal and of noise (..., 1, 1, 1) at timesteps (...)."""
        shape = (*timesteps.shape, *[1] * (latents.ndim - timesteps.ndim))
        if self.signal.device != latents.device:
            self.signal, self.noise = self.signal.to(latents.device), self.noise.to(latents.device)
        a, b = self.signal[timesteps].reshape(shape), self.noise[timesteps].reshape(shape)
        return a.to(latents.dtype), b.to(latents.dtype)

    def noised(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        a, b = self._shares(clean, timesteps)
        return a * clean + b * noise

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network should have said of `noised(clean, noise, timesteps)`."""
        if self.prediction == "epsilon":
            return noise
        a, b = self._shares(clean, timesteps)
        return a * noise - b * clean

    def expected(self, noisy: Tensor, near: Tensor, timesteps: Tensor) -> Tensor:
        """What a network would say that knew only that the clean latents are like `near`, SPREAD apart: a start from
        which it has little to learn (as preconditioned in arXiv 2206.00364, around a guess instead of around 0)."""
        a, b = self._shares(noisy, timesteps)
        clean = near + a * SPREAD**2 / (a.square() * SPREAD**2 + b.square()) * (noisy - a * near)
        b = b.clamp_min(1e-3)  # of a CLEAN one, nothing is asked
        return (noisy - a * clean) / b if self.prediction == "epsilon" else (a * noisy - clean) / b

    def cleaned(self, noisy: Tensor, said: Tensor, timesteps: Tensor) -> Tensor:
        """The clean latents that follow from what the network said."""
        a, b = self._shares(noisy, timesteps)
        return (noisy - b * said) / a if self.prediction == "epsilon" else a * noisy - b * said

    def step(self, noisy: Tensor, said: Tensor, timesteps: Tensor, following: Tensor) -> Tensor:
        """The latents at timesteps `following` (...), by DDIM without fresh noise."""
        clean = self.cleaned(noisy, said, timesteps)
        if self.prediction == "epsilon":
            noise = said
        else:
            a, b = self._shares(noisy, timesteps)
            noise = b * noisy + a * said
        return self.noised(clean, noise, following)
