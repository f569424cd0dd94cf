"""The diffusion renderer as a configuration names it."""

import os
from pathlib import Path

import torch

from engine.config import Config
from engine.painter.pace import Setting
from engine.painter.painter import Painter
from xdancer import weights
from xdancer.errors import UserError
from xdancer.pose.mediapipe import MediaPipeDetector, installed
from xdancer.renderer import Renderer
from xdancer.renderer.reference import own


def make_painter(config: Config) -> Painter:
    """One that draws every frame in one pass. Raises UserError where weights or the reference are missing or damaged,
    or do not fit in the memory."""
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    detector = MediaPipeDetector() if installed() else None
    try:
        renderer = Renderer.from_pretrained(
            config.weights.renderer,
            reference=config.reference,
            detector=detector,
            tokenizer=config.weights.tokenizer,
        )
        renderer.hurry()
    except (RuntimeError, MemoryError) as error:
        if not short_of_memory(error):
            raise
        raise UserError(
            f"renderer {config.weights.renderer}: too little memory to load it; end other programs, or name a smaller"
        ) from error
    return Painter(renderer, config.width, config.height, Setting(1, 1), config.seed)


def short_of_memory(error: Exception) -> bool:
    """Whether that is what torch, on a GPU or on CPU, or Python failed for."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def wear(renderer: Renderer, config: Config, picture: Path | None) -> None:
    """Draw the person of an uploaded picture, or, None, the one that the show began with. Raises UserError as
    `Renderer.wear`."""
    if picture is not None or config.reference is not None:
        renderer.wear(picture or str(config.reference))
    else:
        renderer.wear(*own(weights.find("renderer", config.weights.renderer)))
