"""Pictures of held-out people for whoever looks after a training."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xdancer.renderer.diffusion.autoencoder import REACH
from xdancer.renderer.diffusion.carry import Moved, recognised
from xdancer.renderer.diffusion.model import DiffusionModel, Sight, to_pictures
from xdancer.renderer.diffusion.schedules import LEVELS, WINDOW, Denoise, Rolling, offline
from xdancer.training.renderer.scenes import Scene, all_poses

FRAMES = 4  # shown of a window
STEPS = 8
Reference = tuple[Tensor, Tensor]  # a picture (1, 3, H, W) in [-1, 1], and the pose (1, 60, 3) of who is in it


def write(path: Path, model: DiffusionModel, stage: str, drawn: tuple[Tensor, ...], scenes: Scene, seed: int) -> None:
    """A grid: a row a window, of its reference, then true frames and, below them, what the model makes of them.

    Places of the body are shown as colours."""
    if stage == "autoencoder":
        plain = F.avg_pool2d(drawn[0][:, 0], 2)
        grid = _stacked(to_pictures(v) for v in (plain, model.autoencoder.decode(model.autoencoder.encode(plain))))
    elif stage in ("body", "carry"):
        places, shown, pictures = drawn
        references = pictures if stage == "body" else pictures[:, 0]
        grid = _stacked(to_pictures(v) for v in _bodies(model, places, shown, references, all_poses(scenes)))
    else:
        windows = zip(drawn[0], scenes["posed"], scenes["tokens"], scenes["poses"], strict=True)
        once = stage == "painting"
        grid = np.concatenate([_row(model, *window, seed, once) for window in windows])
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), grid[..., ::-1])


def _stacked(rows: Iterable[np.ndarray]) -> np.ndarray:
    """Rows of pictures (N, H, W, 3) as one picture."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


def _bodies(
    model: DiffusionModel, places: Tensor, shown: Tensor, pictures: Tensor, poses: Tensor
) -> tuple[Tensor, Tensor]:
    """Where bodies are and where the model says they are, reference by reference, each before another pose."""
    assert model.body is not None
    poses = poses.to(pictures.device)
    (_, read), told = recognised(model.body, pictures, poses[:, 0]), model.body(poses[:, 1])
    made = (torch.stack([a, b], 1).flatten(0, 1) for a, b in ((read.places, told.places), (read.shown, told.shown)))
    made_places, made_shown = made
    true = (v[:, :2].flatten(0, 1) for v in (places, shown))
    return _coloured(*true), _coloured(made_places, made_shown)


def _coloured(places: Tensor, shown: Tensor) -> Tensor:
    """Places (N, 3, H, W) in statures and whether somebody is shown (N, 1, H, W) -> colours in [-1, 1]."""
    scale = places.new_tensor([2.0, 2.0, 8.0])[:, None, None]
    middle = places.new_tensor([0.0, 0.5, 0.0])[:, None, None]
    return torch.where(shown > 0, ((places - middle) * scale).clamp(-1, 1), -1.0)


def _row(
    model: DiffusionModel, pictures: Tensor, posed: Tensor, tokens: Tensor, poses: Tensor, seed: int, once: bool
) -> np.ndarray:
    reference = pictures[:1], posed[None]
    if once:
        made = rolled(model, reference, tokens, poses, seed, levels=1, chunk=len(poses))
    else:
        made = drawn(model, reference, tokens, poses, STEPS, seed)
    shown = np.linspace(0, len(poses) - 1, min(FRAMES, len(poses))).round().astype(int)
    true = to_pictures(pictures)
    above = np.concatenate([true[0], *true[1 + shown]], axis=1)
    below = np.concatenate([np.zeros_like(true[0]), *to_pictures(made)[shown]], axis=1)
    return np.concatenate([above, below])


@torch.no_grad()
def drawn(
    model: DiffusionModel, reference: Reference, tokens: Tensor, poses: Tensor, steps: int, seed: int, overlap: int = 4
) -> Tensor:
    """Frames (T, 3, H, W) in [-1, 1] of a clip with tokens (T, 30) and poses (T, 60, 3), all denoised together."""
    denoise, noise, moved = prepared(model, reference, tokens, poses, seed)
    latents = offline(denoise, model.noise, noise, range(len(poses)), steps, overlap=overlap)
    return painted(model, latents, moved)


@torch.no_grad()
def rolled(
    model: DiffusionModel, reference: Reference, tokens: Tensor, poses: Tensor, seed: int, levels: int = LEVELS,
    chunk: int = WINDOW // LEVELS,
) -> Tensor:  # fmt: skip
    """As `drawn`, by the live schedule of so many levels, `chunk` frames being finished together; T is a multiple of
    that."""
    denoise, noise, moved = prepared(model, reference, tokens, poses, seed)
    rolling = Rolling(denoise, model.noise, chunk * levels, levels)
    chunks = [range(k, k + chunk) for k in range(0, len(poses), chunk)]
    ready = [rolling.push(noise[frames.start : frames.stop], frames) for frames in chunks]
    return painted(model, torch.cat([*ready, *rolling.finish()]), moved)


def prepared(
    model: DiffusionModel, reference: Reference, tokens: Tensor, poses: Tensor, seed: int
) -> tuple[Denoise, Tensor, Moved | None]:
    """The model as the schedules ask it, frames being known by their numbers, the noise they begin from, and the
    reference moved to each."""
    picture, posed = reference
    device, (height, width) = picture.device, (side // REACH for side in picture.shape[-2:])
    sight, tokens, poses = model.look(picture, posed.to(device)), tokens.to(device), poses.to(device)
    moved = moved_to(model, sight, poses)

    def denoise(latents: Tensor, timesteps: Tensor, frames: Sequence[int]) -> Tensor:
        here = slice(frames[0], frames[-1] + 1)
        maps_of = moved.maps[None, here] if moved is not None else None
        maps = model.lead(tokens[None, here], poses[None, here], height, width, maps_of)
        return model.predict(latents[None], timesteps[None], maps, sight, maps_of)[0].float()

    shape = (len(poses), model.shape.unet.latent, height, width)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)
    return denoise, noise, moved


def moved_to(model: DiffusionModel, sight: Sight, poses: Tensor) -> Moved | None:
    """The reference carried to poses (T, 60, 3), some frames at a time; None where its own pose is not known."""
    parts = [model.carried(sight, poses[None, k : k + WINDOW]) for k in range(0, len(poses), WINDOW)]
    there = [part[0] for part in parts if part is not None]
    return Moved.joined(there) if there else None


def painted(model: DiffusionModel, latents: Tensor, moved: Moved | None) -> Tensor:
    parts = [slice(k, k + WINDOW) for k in range(0, len(latents), WINDOW)]
    return torch.cat([model.paint(latents[part], moved[part] if moved is not None else None) for part in parts])
