"""The diffusion renderer's networks together, in one of two sizes, and what passes between them."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.renderer.diffusion.autoencoder import REACH, AutoencoderShape, SmallAutoencoder
from xdancer.renderer.diffusion.blocks import Memory
from xdancer.renderer.diffusion.body import BodyNetwork, BodyShape
from xdancer.renderer.diffusion.carry import Carry, Cutout, Moved, carried, cut_out, furnished, recognised
from xdancer.renderer.diffusion.colouring import Colouring, ColouringShape
from xdancer.renderer.diffusion.girth import measured, widened
from xdancer.renderer.diffusion.guider import PoseGuider, skeletons
from xdancer.renderer.diffusion.motion import MotionDecoder, MotionShape
from xdancer.renderer.diffusion.noise import NoiseSchedule
from xdancer.renderer.diffusion.unet import UNet, UNetShape
from xdancer.weights.sizes import Sizes

BLUR = 11  # px: detail is what is smaller
DETAIL = 0.8  # of the picture's own detail gives way to that of the carried reference
ALIKE = 0.2  # by which two blurred pictures in [-1, 1] may differ and still show the same
# What CLIP's image encoder expects (arXiv 2103.00020): mean and deviation of RGB in [0, 1], and its picture's side.
CLIP_MEAN, CLIP_DEVIATION, CLIP_SIDE = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), 224


@dataclass(frozen=True)
class ModelShape(Sizes):
    """Sizes of a renderer. It is led by a motion decoder, or, where `guider` is given, by drawn skeletons.

    size: height and width of its pictures, px, multiples of 8. body: of the network that knows bodies, by which the
    reference is carried to each pose; without one it is not. colouring: of what is known of how people are coloured.
    """

    size: tuple[int, int] = (224, 128)
    unet: UNetShape = field(default_factory=UNetShape)
    motion: MotionShape | None = None
    guider: tuple[int, ...] | None = None
    body: BodyShape | None = None
    colouring: ColouringShape | None = None
    autoencoder: AutoencoderShape | None = field(default_factory=AutoencoderShape)
    noise: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        parts = {
            "unet": self.unet, "motion": self.motion, "body": self.body, "colouring": self.colouring,
            "autoencoder": self.autoencoder,
        }  # fmt: skip
        named = {name: part.to_dict() for name, part in parts.items() if part is not None}
        return {"size": self.size, "noise": self.noise, "guider": self.guider, **named}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises TypeError or ValueError for a key it does not know or a wrong value."""
        kinds: dict[str, Any] = {
            "unet": UNetShape, "motion": MotionShape, "body": BodyShape, "colouring": ColouringShape,
            "autoencoder": AutoencoderShape,
        }  # fmt: skip
        given = {key: kind.from_dict(values[key]) for key, kind in kinds.items() if isinstance(values.get(key), dict)}
        return super().from_dict({**values, **given})


# The shipped size: about 10 M parameters beside the autoencoder, no CLIP (the ReferenceNet alone says who it is).
LIVE = ModelShape(
    size=(224, 128),
    unet=UNetShape(
        latent=8, channels=(48, 80, 112), layers=1, attention=(False, True, True), heads=4, temporal_heads=4,
        context=0, groups=16, longest=16,
    ),
    motion=MotionShape(widths=(96, 64, 48), base=(7, 4), motion=256, longest=16, positions=True),
    body=BodyShape(),
    colouring=ColouringShape(),
    autoencoder=AutoencoderShape(latent=8, encoder=(32, 64, 96), decoder=(32, 64, 96)),
)  # fmt: skip
# The same, led as the paper's baseline is: to measure the motion decoder against.
GUIDED = replace(LIVE, motion=None, guider=(16, 32, 96, 256))


@dataclass(frozen=True)
class Sight:
    """What the networks hold of a reference picture, made once: keys and values, CLIP's word for it (B, 1, D), and,
    where its pose is known, how wide the person is, as `girth.measured` tells it, and what is carried to other poses,
    also in twice the size."""

    memory: Memory
    context: Tensor | None = None
    girths: Tensor | None = None
    cutout: Cutout | None = None
    fine: Cutout | None = None


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
        self.body = BodyNetwork(shape.body) if shape.body else None
        self.colouring = Colouring(shape.colouring) if shape.colouring else None
        self.carry = Carry(shape.unet.latent, shape.unet.channels[0]) if shape.body else None
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
        self.hurries = False  # whether the autoencoder and the body work in bfloat16

    def look(self, pictures: Tensor, poses: Tensor | None = None, fine: Tensor | None = None) -> Sight:
        """What is to be remembered of reference pictures (B, 3, H, W) in [-1, 1], of people in poses (B, 60, 3).
        `fine`: the same pictures in twice the size, for whoever paints in that."""
        sight = self.see(self.autoencoder.encode(pictures), pictures, poses, fine)
        if sight.cutout is None:
            return sight
        if sight.fine is None:
            return replace(sight, cutout=furnished(sight.cutout))
        larger = furnished(sight.fine)
        return replace(sight, cutout=furnished(sight.cutout, larger), fine=larger)

    def see(
        self, latents: Tensor, pictures: Tensor | None = None, poses: Tensor | None = None, fine: Tensor | None = None
    ) -> Sight:
        """As `look`, of latents (B, C, h, w) that are there already, before a room that is simpler where it is hidden;
        CLIP and what is carried need the pictures."""
        context = girths = None
        if self.shape.unet.context:
            context = self.describe(pictures) if pictures is not None else self._nothing(len(latents), latents)
        cutouts: list[Cutout | None] = [None, None]
        if self.body is not None and poses is not None and pictures is not None:
            with torch.no_grad():
                expected, surface = recognised(self.body, pictures.float(), poses)
                girths = measured(expected, surface, poses)
                for k, version in enumerate((pictures, fine)):
                    if version is not None:
                        cutouts[k] = cut_out(version.float(), surface, self.colouring, poses)
        return Sight(self.unet.remember(self.reference.observe(latents, context)), context, girths, *cutouts)

    @torch.no_grad()
    def carried(self, sight: Sight, poses: Tensor, sharp: bool = False) -> Moved | None:
        """The reference carried to poses (B, F, 60, 3), with `sharp` in twice the size where it was seen in that; None
        where the reference's own pose is not known."""
        cutout = sight.fine if sharp and sight.fine is not None else sight.cutout
        if cutout is None or self.body is None or sight.girths is None:
            return None
        flat = poses.flatten(0, 1)
        with self._quickly(cutout.pictures):
            expected = self.body(flat)
        surface = widened(expected, sight.girths.repeat_interleave(poses.shape[1], 0), flat).windows(len(poses))
        pictures, masks, there = (v.flatten(0, 1) for v in carried(cutout, surface, poses))
        pictures = pictures.to(self.unet.conv_in.weight.dtype)
        plain, covered = (F.avg_pool2d(v, 2) if cutout is sight.fine else v for v in (pictures, masks))
        with self._quickly(plain):
            latents = self.autoencoder.encode(plain).to(plain.dtype)
        maps = torch.cat([latents, F.avg_pool2d(covered, REACH).to(latents)], dim=1)
        found = torch.cat([there, masks[:, 1:2]], dim=1)
        return Moved(*(v.unflatten(0, poses.shape[:2]) for v in (maps, pictures, masks[:, :1], found)))

    def paint(self, latents: Tensor, moved: Moved | None = None, sharp: bool = False) -> Tensor:
        """Pictures (N, 3, H, W) in [-1, 1] of latents (N, C, h, w), of twice the size with `sharp`.

        From what was `moved` (N leading) they get what the autoencoder has no room for and what a mean of all that may
        be would blur: detail, such as of faces, where the two are alike; and outlines, before a room that stands
        still."""
        with self._quickly(latents):
            made = self.autoencoder.decode(latents, sharp).to(latents.dtype)
        if moved is None:
            return made
        size = tuple(latents.shape[-1 - k] * REACH for k in (1, 0))
        true, person = moved.pictures.to(made), moved.person.to(made)
        coarse, coarse_made = (_blurred(_fitted(v, size)) for v in (true, made))
        alike = torch.exp(-((coarse - coarse_made).abs().mean(1, keepdim=True) / ALIKE).square())
        at = true.shape[-2:]  # detail is worked out in the size that the reference was carried in
        coarse, coarse_made, close = (_fitted(v, at) for v in (coarse, coarse_made, alike))
        detail = close * DETAIL * ((true - coarse) - (_fitted(made, at) - coarse_made))
        detail, true, person = (_fitted(v, made.shape[-2:]) for v in (detail, true, person))
        return torch.lerp(true, made + detail, person)

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


def _fitted(pictures: Tensor, size: tuple[int, ...]) -> Tensor:
    """Pictures (N, C, H, W) in that size, which is theirs, half or twice theirs."""
    if pictures.shape[-1] == size[-1]:
        return pictures
    if pictures.shape[-1] > size[-1]:
        return F.avg_pool2d(pictures, 2)
    return F.interpolate(pictures, scale_factor=2, mode="bilinear", align_corners=False)


def _blurred(pictures: Tensor) -> Tensor:
    """Pictures (N, 3, H, W), each pixel the mean of BLUR x BLUR."""
    side = BLUR // 2
    columns = F.avg_pool2d(F.pad(pictures, (side, side, side, side), mode="replicate"), (BLUR, 1), 1)
    return F.avg_pool2d(columns, (1, BLUR), 1)


def to_tensor(pictures: np.ndarray) -> Tensor:
    """Pictures uint8 (..., H, W, 3) -> float (..., 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.array(pictures)).movedim(-1, -3).float() / 127.5 - 1


def to_pictures(tensor: Tensor) -> np.ndarray:
    """Float (..., 3, H, W) in [-1, 1], beyond which it is clipped -> uint8 (..., H, W, 3)."""
    return ((tensor.float().clamp(-1, 1) + 1) * 127.5).round().byte().movedim(-3, -1).cpu().numpy()
