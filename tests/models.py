"""Tiny models with random weights, for tests that need a working one and do not care how it dances; music for them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.xdancer.renderer.diffusion.diffusion_fixtures import TINY, shaken
from xdancer.choreographer import Choreographer
from xdancer.choreographer.plan import AHEAD, CODES, JOINTS, Plans
from xdancer.music.features import N_FEATURES
from xdancer.music.frame import BeatState, MusicFrame
from xdancer.pose.detector import standing
from xdancer.pose.layout import TOKENS_PER_FRAME
from xdancer.renderer.diffusion import renderer as renderers
from xdancer.renderer.diffusion.model import DiffusionModel, ModelShape
from xdancer.renderer.reference import OWN
from xdancer.tokenizer import PoseTokenizer
from xdancer.tokenizer.network import Shape, TokenizerNetwork
from xdancer.training import choreographer as choreography
from xdancer.training import flat
from xdancer.training import tokenizer as tokenizing

TINY_TOKENIZER = {
    "encoder_width": 8, "encoder_dilations": [1, 0], "decoder_width": 8, "decoder_dilations": [1, 2], "stages": 3,
}  # fmt: skip
TINY_CHOREOGRAPHER = {
    "width": 32, "layers": 2, "heads": 2, "hidden": 64, "window": 16,
    "depth_width": 16, "depth_layers": 1, "depth_heads": 2, "depth_hidden": 32,
}  # fmt: skip

TINY_FLAT = {"width": 16, "layers": 2, "heads": 2}


def tiny_tokenizer(folder: Path, seed: int = 0) -> PoseTokenizer:
    """Write a tokenizer with random weights to `folder` and load it."""
    torch.manual_seed(seed)
    network = TokenizerNetwork(Shape.from_dict(TINY_TOKENIZER))
    network.quantiser.codebooks.normal_(std=0.3)
    tokenizing.write(folder, network, tokenizing.TokenizerConfig(name="tiny", corpus="", run="", steps=1))
    return PoseTokenizer.from_pretrained(str(folder))


def tiny_plans() -> Plans:
    """Plans about nothing in particular."""
    return Plans.fit(np.random.default_rng(0).normal(size=(1000, AHEAD, JOINTS, 2)), np.random.default_rng(0))


def tiny_choreographer(folder: Path, tokenizer: PoseTokenizer, seed: int = 0, **more: Any) -> Choreographer:
    """Write a choreographer with random weights for `tokenizer` to `folder` and load it; `more`: of its config."""
    torch.manual_seed(seed)
    values = {"name": "tiny", "corpus": "", "run": "", "steps": 1, "shape": TINY_CHOREOGRAPHER} | more
    config = choreography.ChoreographerConfig(**values)
    spread = np.ones((5, tokenizer.embed(np.zeros((1, 5, 6), np.int16)).shape[-1]), np.float32)
    leanings = np.random.default_rng(seed).normal(size=(1 + len(config.styles), CODES))
    leanings[0] = 0.0
    parts = choreography.Parts(tokenizer, spread, np.linspace(0, 1, 33), tiny_plans(), 0.1 * np.arange(9), leanings)
    network = choreography.build(config, parts)
    for name, parameter in network.named_parameters():
        if name.endswith(("out.weight", "down.weight", "forecast.weight", "aims")):  # zero in a fresh network
            torch.nn.init.normal_(parameter, std=0.1)
    start = np.arange(TOKENS_PER_FRAME)
    choreography.write(folder, network, config, tokenizer, parts, start)
    return Choreographer.from_pretrained(str(folder), tokenizer)


def tiny_flat(folder: Path, tokenizer: PoseTokenizer, seed: int = 0) -> Choreographer:
    """Write a choreographer of the paper's kind with random weights for `tokenizer` to `folder` and load it."""
    torch.manual_seed(seed)
    config = flat.FlatConfig(model="flat", name="tiny-flat", corpus="", run="", steps=1, shape=TINY_FLAT)
    network = flat.build(config)
    for parameter in network.parameters():  # so that music and past matter
        torch.nn.init.normal_(parameter, std=0.2 if parameter.ndim > 1 else 0.5)
    flat.write(folder, network, config, tokenizer, np.linspace(0, 1, 33), np.arange(TOKENS_PER_FRAME))
    return Choreographer.from_pretrained(str(folder), tokenizer)


def tiny_renderer(folder: Path, tokenizer: PoseTokenizer) -> None:
    """Write a diffusion renderer with random weights to `folder`, with a person of its own."""
    rng = np.random.default_rng(0)
    shape = {**TINY, "size": [112, 64]}
    named = {"tokenizer": {"vocabulary": tokenizer.vocabulary}, "reference": {"pose": standing().tolist()}}
    model = shaken(DiffusionModel(ModelShape.from_dict(shape)))
    with torch.no_grad():  # random weights see somebody all over a picture; these see nobody, and so its room
        model.body.leave.bias[:4].fill_(-8)
    renderers.save(folder, model, named)  # type: ignore[arg-type]
    Image.fromarray(rng.integers(0, 256, (112, 64, 3), dtype=np.uint8)).save(folder / OWN)


def tiny_show(folder: Path, *parts: str) -> list[str]:
    """Write a tokenizer and, for it, these `parts` ("choreographer", "renderer") to `folder`; the settings of a small
    show with them."""
    makers = {"choreographer": tiny_choreographer, "renderer": tiny_renderer}
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    for part in parts:
        makers[part](folder / part, tokenizer)
    return [f"weights.{part}={folder / part}" for part in ("tokenizer", *parts)] + ["width=64", "height=112"]


def music(frames: int, seed: int = 0, tempo: float = 120.0) -> list[MusicFrame]:
    """Music frames with random features and a steady beat; the tempo is unknown for the first ten."""
    rng = np.random.default_rng(seed)
    features = rng.random((frames, N_FEATURES), dtype=np.float32)
    out = []
    for n in range(frames):
        position = (n + 1) / 30 * tempo / 60
        known = {"tempo": tempo, "beat_phase": position % 1, "bar_phase": position / 4 % 1, "confidence": 0.75}
        out.append(MusicFrame(n, features[n], BeatState(**known) if n >= 10 else BeatState()))
    return out
