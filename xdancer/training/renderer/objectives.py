"""What each stage of the training asks of the networks."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from xdancer.renderer.diffusion.autoencoder import SmallAutoencoder
from xdancer.renderer.diffusion.body import BodyNetwork, Surface
from xdancer.renderer.diffusion.carry import Moved, carried, cut_out, looks
from xdancer.renderer.diffusion.colouring import Colouring
from xdancer.renderer.diffusion.model import DiffusionModel
from xdancer.renderer.diffusion.noise import CLEAN

PERSON = 3.0  # how much more a pixel of the person counts than one of the backdrop
PLACED = 4.0  # how much a stature counts beside whether somebody is seen
BESIDE = 9  # px: so wide around a pixel of the person the carried picture counts
SQUARED = 10.0  # what the squared error of pictures counts beside the absolute one, which is far larger
HOP = 50  # timesteps between the two answers that consistency asks to agree


@dataclass(frozen=True)
class Batch:
    """Windows to learn from, B of them. Latents hold the reference first.

    latents: (B, 1 + F, C, h, w). person: (B, F, 1, h, w), its share of what a latent covers. pictures: references
    (B, 3, H, W) in [-1, 1], and posed (B, 60, 3), the poses in them. tokens: (B, F, 30). poses: (B, F, 60, 3).
    """

    latents: Tensor
    person: Tensor
    pictures: Tensor
    posed: Tensor
    tokens: Tensor
    poses: Tensor


def autoencoding(net: SmallAutoencoder, fine: Tensor, person: Tensor) -> Tensor:
    """Loss of pictures (N, 3, 2 H, 2 W) of twice the coded size, put out in both sizes: their error and that of their
    edges, the person counting more; latents are kept small."""
    plain = F.avg_pool2d(fine, 2)
    latents = net.encode(plain)
    made, made_fine = net.decode_both(latents)
    weight = 1 + PERSON * F.interpolate(person, fine.shape[-2:])
    loss = _seen(made, plain, F.avg_pool2d(weight, 2)) + 0.5 * _seen(made_fine, fine, weight)
    return loss + 1e-3 * latents.square().mean()


def surface(
    net: BodyNetwork, poses: Tensor, places: Tensor, shown: Tensor, pictures: Tensor, generator: torch.Generator
) -> Tensor:
    """Loss of what is told of poses (B, 1 + F, 60, 3): of the first, that of the references `pictures` (B, 3, H, W),
    by itself and by the picture too, of the others by themselves. See `_placed`."""
    return _surfaces(_told(net, poses, pictures, generator), places, shown)


def carrying(
    net: BodyNetwork, poses: Tensor, places: Tensor, shown: Tensor, pictures: Tensor, generator: torch.Generator,
    colouring: Colouring | None = None,
) -> Tensor:  # fmt: skip
    """As `surface`, with `pictures` (B, 1 + F, 3, H, W) of all poses: also the mean absolute error, on the person and
    beside them, of what is carried. Places may be off, where they are off alike in both poses."""
    told = _told(net, poses, pictures[:, 0], generator)
    with torch.autocast(pictures.device.type, enabled=False):
        made, *_ = carried(cut_out(pictures[:, 0], told.read, colouring), told.moved.windows(len(poses)))
        around = F.max_pool2d(shown[:, 1:].flatten(0, 1), BESIDE, 1, BESIDE // 2).unflatten(0, made.shape[:2])
        wrong = ((made - pictures[:, 1:]).abs() * around).sum() / (3 * around.sum()).clamp_min(1)
    return _surfaces(told, places, shown) + wrong


class Told(NamedTuple):
    """The surfaces that a network tells: of references by their poses, and by their pictures too; of other poses."""

    guess: Surface
    read: Surface
    moved: Surface


def _told(net: BodyNetwork, poses: Tensor, pictures: Tensor, generator: torch.Generator) -> Told:
    guess = net(poses[:, 0])
    seen = looks(pictures, Surface(guess.shown.detach(), guess.places))
    # Colours of clothes are no matter: in any order, and light for dark.
    order, sign = torch.randperm(3, generator=generator), 1 - 2 * int(torch.randint(2, (), generator=generator))
    seen = torch.cat([seen[:, :1], sign * seen[:, 1 + order]], dim=1)
    return Told(guess, net(poses[:, 0], seen), net(poses[:, 1:].flatten(0, 1)))


def _surfaces(told: Told, places: Tensor, shown: Tensor) -> Tensor:
    frames = places.shape[1] - 1
    reference = places[:, 0], shown[:, 0]
    others = places[:, 1:].flatten(0, 1), shown[:, 1:].flatten(0, 1)
    losses = [_placed(told.guess, *reference), _placed(told.read, *reference), frames * _placed(told.moved, *others)]
    return torch.stack(losses).sum() / (2 + frames)


def _placed(told: Surface, places: Tensor, shown: Tensor) -> Tensor:
    """Loss of whether somebody is `shown` (N, 1, H, W), and, where somebody is, how far off the `places` (N, 3, H, W)
    are."""
    wrong = (told.places - places).abs().sum(1, keepdim=True)
    placed = (wrong * shown).sum() / shown.sum().clamp_min(1)
    return F.binary_cross_entropy_with_logits(told.shown, shown) + PLACED * placed


def _seen(made: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error and, as much again, that of the differences between neighbours."""
    wrong = (made - true) * weight / weight.mean()
    edges = (wrong.diff(dim=-1).abs().mean() + wrong.diff(dim=-2).abs().mean()) / 2
    return wrong.abs().mean() + edges


def noise_levels(
    batch: int, frames: int, steps: int, generator: torch.Generator, chunks: int = 4, last: float = 0.0
) -> Tensor:
    """Timesteps (B, F), one recipe for both schedules: half of the windows hold the staircase of the live one, shifted
    by up to a step, at times behind a chunk that is clean already; a quarter has one level, a quarter a level for
    every frame. Before that, a share `last` holds nothing but noise: what is said of it is the first picture."""
    kind = torch.rand(batch, 1, generator=generator)
    chunk = torch.arange(frames).float().mul(chunks / max(frames, chunks)).floor()
    shift = torch.rand(batch, 1, generator=generator) * (torch.rand(batch, 1, generator=generator) < 0.7)
    stairs = ((chunk + 1 - shift) * steps / chunks - 1).round()
    behind = (torch.rand(batch, 1, generator=generator) < 0.15) & (chunk == 0) & (frames > 1)
    stairs = torch.where(behind, float(CLEAN), stairs)
    level = torch.randint(steps, (batch, 1), generator=generator).float().expand(-1, frames)
    every = torch.randint(steps, (batch, frames), generator=generator).float()
    levels = torch.where(kind < 0.5, stairs, torch.where(kind < 0.75, level, every))
    blank = torch.rand(batch, 1, generator=generator) < last
    return torch.where(blank, float(steps - 1), levels).long().clamp(CLEAN, steps - 1)


def denoising(model: DiffusionModel, batch: Batch, generator: torch.Generator, last: float = 0.0) -> Tensor:
    """Loss of what the network says of noised windows, of frames that hold noise; `last` as in `noise_levels`."""
    clean = batch.latents[:, 1:]
    timesteps = noise_levels(clean.shape[0], clean.shape[1], model.noise.steps, generator, last=last).to(clean.device)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    said = answer(model, batch, model.noise.noised(clean, noise, timesteps), timesteps)
    return _weighted((said - model.noise.target(clean, noise, timesteps)).square(), batch, timesteps)


def consistency(model: DiffusionModel, average: DiffusionModel, batch: Batch, generator: torch.Generator) -> Tensor:
    """Loss of two answers about one picture at neighbouring noise levels: the moving average's, at the lower one, is
    taken for true, and below the lowest stands the truth (consistency training, arXiv 2303.01469, 2310.14189)."""
    clean = batch.latents[:, 1:]
    timesteps = noise_levels(clean.shape[0], clean.shape[1], model.noise.steps, generator).to(clean.device)
    lower = torch.where(timesteps > HOP, timesteps - HOP, CLEAN)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    noisy, quieter = model.noise.noised(clean, noise, timesteps), model.noise.noised(clean, noise, lower)
    made = model.noise.cleaned(noisy, answer(model, batch, noisy, timesteps), timesteps)
    with torch.no_grad():
        true = average.noise.cleaned(quieter, answer(average, batch, quieter, lower), lower)
        true = torch.where((lower == CLEAN)[..., None, None, None], clean, true)
    return _weighted(torch.sqrt((made - true).square() + 1e-3) - 1e-3**0.5, batch, timesteps)


def painting(model: DiffusionModel, batch: Batch, true: Tensor, person: Tensor) -> Tensor:
    """Loss of the pictures that a show makes in one pass, against `true` ones (B, F, 3, H, W) in [-1, 1], where the
    `person` (B, F, 1, H, W) counts more: their squared error, their absolute one and that of their edges."""
    wrong_at, true = 1 + PERSON * person.flatten(0, 1), true.flatten(0, 1)
    made = once(model, batch)
    squared = ((made - true).square() * wrong_at).mean() / wrong_at.mean()
    return SQUARED * squared + _seen(made, true, wrong_at)


def once(model: DiffusionModel, batch: Batch) -> Tensor:
    """The pictures (B * F, 3, H, W) of a batch in one pass, from the mean of the noise, as `Rolling` begins then. Of
    its latents, only the references' are needed."""
    nothing = batch.latents.new_zeros(*batch.poses.shape[:2], *batch.latents.shape[2:])
    timesteps = torch.full(nothing.shape[:2], model.noise.steps - 1, device=nothing.device)
    said, moved = _answered(model, batch, nothing, timesteps)
    latents = model.noise.cleaned(nothing, said, timesteps).flatten(0, 1)
    return model.paint(latents, moved.flat() if moved is not None else None).float()


def answer(model: DiffusionModel, batch: Batch, noisy: Tensor, timesteps: Tensor) -> Tensor:
    """What the model says of noisy windows (B, F, C, h, w) of this batch."""
    return _answered(model, batch, noisy, timesteps)[0]


def _answered(model: DiffusionModel, batch: Batch, noisy: Tensor, timesteps: Tensor) -> tuple[Tensor, Moved | None]:
    """As `answer`, and the references as they were carried to the windows' poses."""
    sight = model.see(batch.latents[:, 0], batch.pictures, batch.posed)
    moved = model.carried(sight, batch.poses)
    carried = moved.maps if moved is not None else None
    maps = model.lead(batch.tokens, batch.poses, noisy.shape[-2], noisy.shape[-1], carried)
    return model.predict(noisy, timesteps, maps, sight, carried).float(), moved


def _weighted(error: Tensor, batch: Batch, timesteps: Tensor) -> Tensor:
    weight = (1 + PERSON * batch.person) * (timesteps != CLEAN)[..., None, None, None]
    return (error * weight).sum() / (weight.sum() * error.shape[2]).clamp_min(1)
