"""`xdancer train tokenizer`: the five-part VQ-VAE, on motion of any clip on any body before any camera."""

import argparse
import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional as F
from tqdm import tqdm

from xdancer import weights
from xdancer.config import load_config
from xdancer.data.sampler import PoseSampler
from xdancer.errors import UserError
from xdancer.evaluation.tokenizer import joint_error
from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, FPS, JOINTS, LEFT_HAND, PARTS, RIGHT_HAND
from xdancer.tokenizer import frame
from xdancer.tokenizer.network import Shape, TokenizerNetwork
from xdancer.training.common import keep_memory, learning_rate, log, resume, save_run
from xdancer.training.muon import Muon

LOSSES = ("place", "velocity", "jerk", "confidence", "commitment")
HELD_OUT = (32, 96)  # windows and frames that training is checked on


class TokenizerConfig(BaseModel):
    """Everything a run depends on beside the corpus. Loss weights are relative to the joint error in units of 8 px."""

    model_config = ConfigDict(extra="forbid")
    name: str
    corpus: str
    run: str
    seed: int = 1
    steps: int = Field(gt=0)
    windows: int = Field(default=24, gt=0)
    frames: int = Field(default=48, ge=2)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    hidden_rate: float = Field(default=5e-3, gt=0)  # of the matrices between, which Muon moves
    warmup: int = 100
    pool_windows: int = Field(default=192, gt=0)
    pool_frames: int = 96
    pool_steps: int = Field(default=60, gt=0)
    augment: float = Field(default=0.35, ge=0, le=1)
    velocity: float = 1.0
    jerk: float = 0.15
    confidence: float = 0.3
    commitment: float = 0.25
    revive_every: int = Field(default=40, gt=0)
    check_every: int = Field(default=500, gt=0)
    threads: int = Field(default=1, gt=0)
    keep: str | None = None  # a tokenizer to go on from, whose tokens stay what they are: its codebooks are not trained
    kept_share: float = Field(default=0.5, ge=0, lt=1)  # of the windows told by its own encoders, as they were
    shape: dict[str, Any] = Field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="YAML, such as configs/tokenizer.yaml")
    parser.add_argument("--weights", type=Path, help="folder to write the trained tokenizer to (default: in the run)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return train(load_config(args.config, TokenizerConfig, args.settings), args.weights)


def report(result: dict[str, Any]) -> str:
    errors = ", ".join(f"{part} {value:.2f}" for part, value in result["joint_error"].items())
    return f"{result['steps']} steps; joint error on held-out clips, px: {errors}\nwritten to {result['weights']}"


def train(config: TokenizerConfig, out: Path | None = None, stop_at: int | None = None) -> dict[str, Any]:
    """Train, or go on from the last checkpoint of the run, and write the weights.

    Every draw is seeded by the step, so a run that was cut off goes on along the same curve. `stop_at` leaves early.
    """
    keep_memory()
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    try:
        shape = Shape.from_dict(config.shape)
    except TypeError as error:
        raise UserError(f"shape: {error}") from error
    network = TokenizerNetwork(shape)
    kept = _go_on_from(config.keep, network) if config.keep else None
    optimiser = _optimiser(network, config)
    checkpoint = Path(config.run) / "checkpoint.pt"
    first = resume(checkpoint, network, [optimiser])
    sampler, held_out = PoseSampler(config.corpus, "train"), _held_out(config)
    pool, pool_number, errors = np.empty(0), -1, joint_error(held_out, reconstruct(network, held_out))
    last = min(config.steps, stop_at or config.steps)
    started, sums = time.monotonic(), np.zeros(len(LOSSES))
    for step in tqdm(range(first, last), initial=first, total=last, unit="step", desc=config.name, mininterval=2):
        if step // config.pool_steps != pool_number:
            pool_number = step // config.pool_steps
            sampler.rng = np.random.default_rng((config.seed, 0, pool_number))
            pool = sampler.batch(config.pool_windows, max(config.pool_frames, config.frames))
        rng = np.random.default_rng((config.seed, 1, step))
        for group in optimiser.param_groups:
            peak = config.hidden_rate if group["hidden"] else config.learning_rate
            group["lr"] = learning_rate(step, config.steps, peak, config.warmup)
        if step == 0 and not kept:
            network.start(_tensors(crops(rng, pool, 8 * config.windows, config.frames)))
        pose = augmented(rng, crops(rng, pool, config.windows, config.frames), config.augment)
        sums += train_step(network, optimiser, pose, config, step, kept)
        if (step + 1) % config.check_every == 0 or step + 1 == last:
            errors = joint_error(held_out, reconstruct(network, held_out))
            done = (step % config.check_every) + 1
            means = {name: float(v) / done for name, v in zip(LOSSES, sums, strict=True)}
            log(Path(config.run) / "log.jsonl", step=step + 1, seconds=time.monotonic() - started, **means, **errors)
            sums[:] = 0
            save_run(checkpoint, network, [optimiser], step + 1)
    folder = out or Path(config.run) / config.name
    write(folder, network, config)
    return {"steps": last, "joint_error": errors, "weights": str(folder), "sha256": weights.sha256(folder)}


def _go_on_from(name: str, network: TokenizerNetwork) -> TokenizerNetwork:
    """Give the network the weights of a tokenizer; and one that stays as that is."""
    folder = weights.find("tokenizer", name)
    state, _ = weights.load(folder)
    try:
        missing, unknown = network.load_state_dict({key: v.float() for key, v in state.items()}, strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"keep: {folder}: not a tokenizer of `shape` ({reason})") from error
    if missing != ["quantiser.counts"] or unknown:
        raise UserError(f"keep: {folder}: not a tokenizer of `shape`")
    return copy.deepcopy(network).requires_grad_(False)


def _optimiser(network: TokenizerNetwork, config: TokenizerConfig) -> Muon:
    """Muon for the matrices inside the stacks, AdamW for the rest.

    The last px are a regression to within a hundredth: after 2000 steps the error is a sixth smaller than with AdamW.
    """
    inside: list[torch.nn.Parameter] = []
    rest: list[torch.nn.Parameter] = []
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            hidden = weight.ndim == 2 and name.split(".")[-2] not in ("head", "line")
            (inside if hidden else rest).append(weight)
    optimiser = Muon(inside, rest, lr=config.learning_rate, betas=(0.9, 0.98))
    for group in optimiser.param_groups:
        group["weight_decay"] = 0.0 if group["hidden"] else 1e-4
    return optimiser


def _held_out(config: TokenizerConfig) -> np.ndarray:
    return PoseSampler(config.corpus, "val", seed=1234, vary=0.0).batch(*HELD_OUT)


def crops(rng: np.random.Generator, pool: np.ndarray, n: int, frames: int) -> np.ndarray:
    """`n` random windows (n, frames, 60, 3) of the pool (N, T, 60, 3)."""
    rows = rng.integers(len(pool), size=n)
    starts = rng.integers(pool.shape[1] - frames + 1, size=n)
    return pool[rows[:, None], starts[:, None] + np.arange(frames)].astype(np.float32)


def augmented(rng: np.random.Generator, pose: np.ndarray, share: float) -> np.ndarray:
    """A `share` of the windows (n, T, 60, 3) further off or nearer (so that half bodies occur), moved on the canvas,
    and at times without a hand, both hands, the head or the legs for a while."""
    pose = pose.copy()
    frames = pose.shape[1]
    for window in (pose[i] for i in np.flatnonzero(rng.random(len(pose)) < share)):
        zoom = rng.uniform(0.5, 1.0) if rng.random() < 0.7 else rng.uniform(1.0, 1.8)
        focus = np.array([CANVAS_WIDTH / 2, CANVAS_HEIGHT * rng.uniform(0.2, 0.6)])
        window[..., :2] = (window[..., :2] - focus) * zoom + focus + rng.normal(size=2) * (40, 30)
        for joints, chance in ((LEFT_HAND, 0.15), (RIGHT_HAND, 0.15), (PARTS[2].joints, 0.06), (PARTS[1].joints, 0.06)):
            if rng.random() < chance:
                start = rng.integers(-frames, frames)
                window[max(start, 0) : start + frames, joints, 2] = 0
        x, y = window[..., 0], window[..., 1]
        off = (x < 0) | (x > CANVAS_WIDTH - 1) | (y < 0) | (y > CANVAS_HEIGHT - 1)
        window[off | (window[..., 2] <= 0)] = 0
    return pose


def train_step(
    network: TokenizerNetwork, optimiser: Muon, pose: np.ndarray, config: TokenizerConfig,
    step: int, kept: TokenizerNetwork | None = None,
) -> np.ndarray:  # fmt: skip
    """One update on poses (B, T, 60, 3). The losses, in the order of LOSSES."""
    told = round(config.kept_share * len(pose)) if kept else 0  # of what is told as before, the meaning is kept
    latents = network.encode(_tensors(pose[told:]))
    if kept and told:
        latents = torch.cat([kept.encode(_tensors(pose[:told])), latents])
    flat = latents.flatten(0, 1)
    quantised, _, commitment = network.quantiser(flat, learn=not kept)
    parts = (*losses(network.decode(quantised.reshape(latents.shape)), torch.from_numpy(pose)), commitment)
    total = sum(getattr(config, name, 1.0) * loss for name, loss in zip(LOSSES, parts, strict=True))
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    if not kept and step % config.revive_every == 0 and step < 0.8 * config.steps:
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        network.quantiser.revive(flat.detach(), generator)
    return np.array([float(v.detach()) for v in parts])


def losses(outputs: torch.Tensor, pose: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Place, velocity and jerk: mean over the parts of the confidence-weighted error, and of its first and third
    difference in time, in units of 8 px; confidence: mean |d| and, where that is flat, a little cross entropy.

    The error in px is |d| with a round foot of 1 px, so that the gradient does not flutter about 0."""
    px, logits = frame.placed(outputs)
    sure = pose[..., 2]
    wrong = px - pose[..., :2]
    out = []
    for order in (0, 1, 3):
        drift = torch.diff(wrong, n=order, dim=1)
        lasting = sure[:, order:]
        for back in range(1, order + 1):
            lasting = torch.minimum(lasting, sure[:, order - back : -back])
        parts = [_weighted(drift[..., list(part.joints), :], lasting[..., list(part.joints)]) for part in PARTS]
        out.append(torch.stack(parts).mean())
    confidence = F.l1_loss(torch.sigmoid(logits), sure) + 0.2 * F.binary_cross_entropy_with_logits(logits, sure)
    return *out, confidence


def _weighted(wrong: torch.Tensor, sure: torch.Tensor) -> torch.Tensor:
    error = (torch.sqrt(wrong.square() + 1) - 1).mean(-1) / 8
    return (error * sure).sum() / sure.sum().clamp_min(1)


def _tensors(pose: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(part) for part in frame.inputs(pose)]


@torch.no_grad()
def reconstruct(network: TokenizerNetwork, pose: np.ndarray) -> np.ndarray:
    """Poses (B, T, 60, 3) through tokens and back."""
    latents = network.encode(_tensors(pose))
    quantised, _, _ = network.quantiser(latents.flatten(0, 1))
    return frame.finished(network.decode(quantised.reshape(latents.shape)).numpy())


def write(folder: Path, network: TokenizerNetwork, config: TokenizerConfig) -> None:
    """The weights as `PoseTokenizer` reads them."""
    state = {name: tensor for name, tensor in network.state_dict().items() if name != "quantiser.counts"}
    values = {
        "name": config.name,
        "fps": FPS,
        "canvas": [CANVAS_WIDTH, CANVAS_HEIGHT],
        "joints": list(JOINTS),
        "parts": {part.name: list(part.joints) for part in PARTS},
        "receptive_field": network.shape.receptive_field,
        "encoder_field": network.shape.encoder_field,
        "decoder_field": network.shape.decoder_field,
        "shape": network.shape.to_dict(),
    }
    weights.save(folder, state, values)
