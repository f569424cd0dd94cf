"""Pictures to latents of an eighth of their size and back: our own small autoencoder, and those of Stable Diffusion."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.weights.sizes import Sizes

REACH = 8  # pixels to a latent, each way
COLOURS = 3


class Autoencoder(Protocol):
    """Pictures (N, 3, 8 H, 8 W) in [-1, 1] <-> latents (N, C, H, W) of about unit variance."""

    @property
    def sharper(self) -> bool:
        """Whether `decode` can also put out twice the size."""
        ...

    def encode(self, pictures: Tensor) -> Tensor: ...

    def decode(self, latents: Tensor, sharp: bool = False) -> Tensor:
        """Pictures of the size that was encoded; twice that with `sharp`."""
        ...


@dataclass(frozen=True)
class AutoencoderShape(Sizes):
    """widths: channels at a half, a quarter and an eighth of the size, of the encoder and of the decoder."""

    latent: int = 8
    encoder: tuple[int, ...] = (32, 64, 96)
    decoder: tuple[int, ...] = (32, 64, 96)


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class SmallAutoencoder(nn.Module):
    """No normalisation inside, so that it never sees one picture in the light of another, and few channels where there
    are many pixels: the last layers only rearrange (arXiv 1609.05158). The decoder puts out the size that was encoded,
    or twice that, from the same features."""

    mean: Tensor
    deviation: Tensor
    sharper = True

    def __init__(self, shape: AutoencoderShape) -> None:
        super().__init__()
        self.shape = shape
        half, quarter, eighth = shape.encoder
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, half, 3, padding=1), Residual(half),
            nn.Conv2d(half, quarter, 3, stride=2, padding=1), Residual(quarter),
            nn.Conv2d(quarter, eighth, 3, stride=2, padding=1), Residual(eighth), Residual(eighth),
            nn.SiLU(), nn.Conv2d(eighth, shape.latent, 3, padding=1),
        )  # fmt: skip
        half, quarter, eighth = shape.decoder
        self.decoder = nn.Sequential(
            nn.Conv2d(shape.latent, eighth, 3, padding=1), Residual(eighth), Residual(eighth),
            nn.Upsample(scale_factor=2), nn.Conv2d(eighth, quarter, 3, padding=1), Residual(quarter), Residual(quarter),
            nn.Upsample(scale_factor=2), nn.Conv2d(quarter, half, 3, padding=1), Residual(half), nn.SiLU(),
        )  # fmt: skip
        self.plain = nn.Sequential(nn.Conv2d(half, 12, 3, padding=1), nn.PixelShuffle(2))
        self.sharp = nn.Sequential(nn.Conv2d(half, 48, 3, padding=1), nn.PixelShuffle(4))
        self.register_buffer("mean", torch.zeros(1, shape.latent, 1, 1))
        self.register_buffer("deviation", torch.ones(1, shape.latent, 1, 1))

    def encode(self, pictures: Tensor) -> Tensor:
        return (self._raw(pictures) - self.mean) / self.deviation

    def decode(self, latents: Tensor, sharp: bool = False) -> Tensor:
        raw = latents * self.deviation + self.mean
        return self._put_out(self.decoder(raw), raw, sharp)

    def decode_both(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures of the size that was encoded and of twice that."""
        raw = latents * self.deviation + self.mean
        features = self.decoder(raw)
        return self._put_out(features, raw, False), self._put_out(features, raw, True)

    def _raw(self, pictures: Tensor) -> Tensor:
        raw = self.encoder(pictures)
        return raw + F.pad(F.avg_pool2d(pictures, REACH), (0, 0, 0, 0, 0, raw.shape[1] - COLOURS))

    def _put_out(self, features: Tensor, raw: Tensor, sharp: bool) -> Tensor:
        detail = self.sharp(features) if sharp else self.plain(features)
        return detail + F.interpolate(raw[:, :COLOURS], detail.shape[-2:], mode="bilinear", align_corners=False)

    @torch.no_grad()
    def standardise(self, pictures: Tensor) -> None:
        """Set mean and deviation so that the latents of these pictures have mean 0 and variance 1 in each channel."""
        raw = self._raw(pictures)
        self.mean.copy_(raw.mean((0, 2, 3), keepdim=True))
        self.deviation.copy_(raw.std((0, 2, 3), keepdim=True).clamp_min(1e-4))


class StableAutoencoder(nn.Module):
    """diffusers' AutoencoderKL or AutoencoderTiny behind the same two methods."""

    sharper = False

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net
        self.scale = float(net.config.scaling_factor)

    def encode(self, pictures: Tensor) -> Tensor:
        net: Any = self.net
        out = net.encode(pictures)
        return (out.latent_dist.mode() if hasattr(out, "latent_dist") else out.latents) * self.scale

    def decode(self, latents: Tensor, sharp: bool = False) -> Tensor:
        if sharp:
            raise ValueError("this autoencoder has one size of picture only")
        net: Any = self.net
        return net.decode(latents / self.scale).sample
