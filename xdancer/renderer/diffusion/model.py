"""The diffusion renderer's networks together, in one of two sizes, and what passes between them."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.renderer.diffusion.autoencoder import REACH, AutoencoderShape, SmallAutoencoder
from xdancer.renderer.diffusion.blocks import Memory
from xdancer.renderer.diffusion.carry import Carry, Cutout, Moved, carried, cut_out
from xdancer.renderer.diffusion.guider import PoseGuider, skeletons
from xdancer.renderer.diffusion.motion import MotionDecoder, MotionShape
from xdancer.renderer.diffusion.noise import NoiseSchedule
from xdancer.renderer.diffusion.unet import UNet, UNetShape

# What CLIP's image encoder expects (arXiv 2103.00020): mean and deviation of RGB in [0, 1], and its picture's side.
BLUR = 11  # px: detail is what is smaller
DETAIL = 0.8  # of the picture's own detail gives way to the reference's
ALIKE = 0.2  # by which two blurred pictures in [-1, 1] may differ and still show the same
CLIP_MEAN, CLIP_DEVIATION, CLIP_SIDE = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), 224


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a renderer. It is led by a motion decoder, or, where `guider` is given, by drawn skeletons.

    size: height and width of its pictures, px, multiples of 8. carry: it also sees the reference carried to each pose.
    """

    size: tuple[int, int] = (224, 128)
    unet: UNetShape = field(default_factory=UNetShape)
    motion: MotionShape | None = None
    guider: tuple[int, ...] | None = None
    carry: bool = False
    autoencoder: AutoencoderShape | None = field(default_factory=AutoencoderShape)
    noise: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        parts = {"unet": self.unet, "motion": self.motion, "autoencoder": self.autoencoder}
        named = {name: part.to_dict() for name, part in parts.items() if part is not None}
        return {"size": self.size, "noise": self.noise, "guider": self.guider, "carry": self.carry, **named}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelShape":
        """Raises TypeError or ValueError for a key it does not know or a wrong value."""
        kinds: dict[str, Any] = {"unet": UNetShape, "motion": MotionShape, "autoencoder": AutoencoderShape}
        sizes: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        for key, kind in kinds.items():
            if isinstance(sizes.get(key), dict):
                sizes[key] = kind.from_dict(sizes[key])
        return cls(**sizes)


# The shipped size: about 10 M parameters beside the autoencoder, no CLIP (the ReferenceNet alone says who it is).
LIVE = ModelShape(
    size=(224, 128),
    unet=UNetShape(
        latent=8, channels=(48, 80, 112), layers=1, attention=(False, True, True), heads=4, temporal_heads=4,
        context=0, groups=16, longest=16,
    ),
    motion=MotionShape(widths=(96, 64, 48), base=(7, 4), motion=256, longest=16, positions=True),
    carry=True,
    autoencoder=AutoencoderShape(latent=8, encoder=(32, 64, 96), decoder=(32, 64, 96)),
)  # fmt: skip


@dataclass(frozen=True)
class Sight:
    """What the networks hold of a reference picture, made once: keys and values, CLIP's word for it (B, 1, D), and,
    where its pose is known, what is carried to other poses."""

    memory: Memory
    context: Tensor | None = None
    cutout: Cutout | None = None


class DiffusionModel(nn.Module):
    """UNet, ReferenceNet, autoencoder, and what leads them: a motion decoder or a pose guider."""

    def __init__(
        self, shape: ModelShape, autoencoder: nn.Module | None = None, image_encoder: nn.Module | None = None
    ) -> None:
        super().__init__()
        if (shape.motion is None) == (shape.guider is None):
            raise ValueError("a renderer is led by a motion decoder or by a pose guider: give one of the two")
        if any(side % REACH for side in shape.size):
            raise ValueError(f"pictures of {shape.size[0]} x {shape.size[1]}: both must be multiples of {REACH}")
        self.shape = shape
        self.unet = UNet(shape.unet)
        self.reference = UNet(shape.unet, temporal=False, head=False)
        self.motion = MotionDecoder(shape.motion, shape.unet.entries) if shape.motion else None
        self.guider = PoseGuider(shape.unet.channels[0], shape.guider) if shape.guider else None
        self.carry = Carry(shape.unet.latent, shape.unet.channels[0]) if shape.carry else None
        if self.carry is not None:  # before any training, the picture is what was carried
            for parameter in self.unet.conv_out.parameters():
                nn.init.zeros_(parameter)
        if autoencoder is None:
            if shape.autoencoder is None:
                raise ValueError("no autoencoder: give its shape, or one of Stable Diffusion's")
            autoencoder = SmallAutoencoder(shape.autoencoder)
        self.autoencoder: Any = autoencoder
        self.image_encoder: Any = image_encoder
        self.noise = NoiseSchedule(**shape.noise)
        self.hurries = False  # whether the autoencoder works in bfloat16

    def look(self, pictures: Tensor, poses: Tensor | None = None) -> Sight:
        """What is to be remembered of reference pictures (B, 3, H, W) in [-1, 1], of people in poses (B, 60, 3)."""
        return self.see(self.autoencoder.encode(pictures), pictures, poses)

    def see(self, latents: Tensor, pictures: Tensor | None = None, poses: Tensor | None = None) -> Sight:
        """As `look`, of latents (B, C, h, w) that are there already; CLIP and what is carried need the pictures."""
        context = None
        if self.shape.unet.context:
            context = self.describe(pictures) if pictures is not None else self._nothing(len(latents), latents)
        known = self.carry is not None and pictures is not None and poses is not None
        cutout = cut_out(pictures.float(), poses) if known else None  # type: ignore[union-attr, arg-type]
        return Sight(self.unet.remember(self.reference.observe(latents, context)), context, cutout)

    @torch.no_grad()
    def carried(self, sight: Sight, poses: Tensor) -> Moved | None:
        """The reference carried to poses (B, F, 60, 3); None where the reference's own pose is not known."""
        if sight.cutout is None:
            return None
        pictures, masks, away = (v.flatten(0, 1) for v in carried(sight.cutout, poses))
        pictures = pictures.to(self.unet.conv_in.weight.dtype)
        with self._quickly(pictures):
            latents = self.autoencoder.encode(pictures).to(pictures.dtype)
        maps = torch.cat([latents, F.avg_pool2d(masks, REACH).to(latents)], dim=1)
        return Moved(*(v.unflatten(0, poses.shape[:2]) for v in (maps, pictures, masks[:, 1:2], away)))

    def paint(self, latents: Tensor, moved: Moved | None = None, sharp: bool = False) -> Tensor:
        """Pictures (N, 3, H, W) in [-1, 1] of latents (N, C, h, w), of twice the size with `sharp`.

        Where they show what was `moved` (N leading), they get from it what the autoencoder has no room for: its detail,
        such as faces, and a room that stands still."""
        with self._quickly(latents):
            made = self.autoencoder.decode(latents, sharp).to(latents.dtype)
        if moved is None:
            return made
        true = moved.pictures.to(made)
        plain = F.avg_pool2d(made, 2) if sharp else made
        coarse, coarse_made = _blurred(true), _blurred(plain)
        alike = torch.exp(-((coarse - coarse_made).abs().mean(1, keepdim=True) / ALIKE).square())
        away = alike * moved.away.to(made)
        detail = alike * moved.trusted.to(made) * DETAIL * ((true - coarse) - (plain - coarse_made))
        if sharp:
            side = {"scale_factor": 2, "mode": "bilinear", "align_corners": False}
            detail, true, away = (F.interpolate(v, **side) for v in (detail, true, away))  # type: ignore[arg-type]
        return torch.lerp(made + detail, true, away)

    def describe(self, pictures: Tensor) -> Tensor:
        """CLIP's embedding (B, 1, D) of pictures (B, 3, H, W) in [-1, 1]; zeros without an image encoder."""
        if self.image_encoder is None:
            return self._nothing(len(pictures), pictures)
        side = (CLIP_SIDE, CLIP_SIDE)
        small = F.interpolate(pictures, side, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
        mean, deviation = (small.new_tensor(v)[:, None, None] for v in (CLIP_MEAN, CLIP_DEVIATION))
        return self.image_encoder(((small + 1) / 2 - mean) / deviation).image_embeds[:, None]

    def _nothing(self, batch: int, like: Tensor) -> Tensor:
        return like.new_zeros(batch, 1, self.shape.unet.context)

    def _quickly(self, like: Tensor) -> AbstractContextManager[Any]:
        return torch.autocast(like.device.type, torch.bfloat16) if self.hurries else nullcontext()

    def lead(
        self, tokens: Tensor | None, poses: Tensor, height: int, width: int, carried: Tensor | None = None
    ) -> list[Tensor]:
        """Tokens (B, F, 30) or None, poses (B, F, 60, 3) in canvas px and what is `carried` to them -> maps for the
        UNet, whose latents measure `height` x `width`."""
        maps = self._led(tokens, poses, height, width)
        if self.carry is not None and carried is not None:
            maps[0] = maps[0] + self.carry(carried.flatten(0, 1)).unflatten(0, carried.shape[:2])
        return maps

    def _led(self, tokens: Tensor | None, poses: Tensor, height: int, width: int) -> list[Tensor]:
        if self.motion is not None:
            return self.motion(tokens, poses, height, width)
        assert self.guider is not None
        drawn = skeletons(poses.flatten(0, 1).float().cpu().numpy(), REACH * height, REACH * width)
        maps = self.guider(drawn.to(poses.device, self.unet.conv_in.weight.dtype))
        return [maps.unflatten(0, poses.shape[:2])]

    def predict(
        self,
        latents: Tensor,
        timesteps: Tensor,
        maps: list[Tensor],
        sight: Sight | None,
        carried: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """What the UNet says of latents (B, F, C, H, W) at timesteps (B, F). With `guidance` other than 1 it is asked
        again without the reference, and goes further away from that answer (arXiv 2207.12598). Where something was
        `carried`, the networks tell how the picture differs from what that lets expect."""
        nothing = self._nothing(len(latents), latents) if self.shape.unet.context else None
        memory, context = (sight.memory, sight.context) if sight is not None else (None, nothing)
        said = self.unet(latents, timesteps, maps, memory, context)
        if guidance != 1.0 and sight is not None:
            without = self.unet(latents, timesteps, maps, None, nothing)
            said = without + guidance * (said - without)
        if carried is not None:
            said = said + self.noise.expected(latents, carried[:, :, : latents.shape[2]], timesteps)
        return said


def _blurred(pictures: Tensor) -> Tensor:
    """Pictures (N, 3, H, W), each pixel the mean of BLUR x BLUR."""
    side = BLUR // 2
    return F.avg_pool2d(F.pad(pictures, (side, side, side, side), mode="replicate"), BLUR, 1)


def to_tensor(pictures: np.ndarray) -> Tensor:
    """Pictures uint8 (..., H, W, 3) -> float (..., 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.array(pictures)).movedim(-1, -3).float() / 127.5 - 1


def to_pictures(tensor: Tensor) -> np.ndarray:
    """Float (..., 3, H, W) in [-1, 1], beyond which it is clipped -> uint8 (..., H, W, 3)."""
    return ((tensor.float().clamp(-1, 1) + 1) * 127.5).round().byte().movedim(-3, -1).cpu().numpy()
