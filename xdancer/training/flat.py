"""`xdancer train choreographer` with `model: flat`: the paper's GPT-2 over segments of 64 frames."""

import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field
from torch.nn import functional as F
from tqdm import tqdm

from xdancer import weights
from xdancer.choreographer import inputs
from xdancer.choreographer.flat import layout
from xdancer.choreographer.flat.network import FlatNetwork, Shape
from xdancer.errors import UserError
from xdancer.pose.layout import CODEBOOK_SIZE, TOKENS_PER_FRAME, TOKENS_PER_PART
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.choreographer import BITS, Kind, default_start
from xdancer.training.common import decayed, keep_memory, learning_rate, log, resume, save_run
from xdancer.training.dances import Dance, circumstances, clock_rows, energy_quantiles, long_enough, spoiled, wishes


class FlatConfig(Kind):
    """Everything a run depends on beside the corpus and the tokenizer."""

    model_config = ConfigDict(extra="forbid")
    model: Literal["flat"]
    name: str
    corpus: str
    run: str
    tokenizer: str = "live"
    styles: list[str] = ["modern", "salsa", "street", "general", "martial", "breakdance", "idle"]
    initialise: str | None = None  # GPT-2 weights to begin from: a folder or a hub id
    seed: int = 1
    steps: int = Field(gt=0)
    windows: int = Field(default=24, gt=0)  # of 64 frames a step
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = 0.01
    warmup: int = 500
    noise: float = Field(default=0.02, ge=0, lt=0.5)  # mean share of past tokens replaced, in most windows
    check_every: int = Field(default=200, gt=0)
    threads: int = Field(default=2, gt=0)
    device: str = "cpu"
    shape: dict[str, int] = Field(default_factory=dict)
    temperature: list[float] = Field(
        default=[1.0] * TOKENS_PER_PART, min_length=TOKENS_PER_PART, max_length=TOKENS_PER_PART
    )
    top_p: float = Field(default=0.95, gt=0, le=1)
    coherence: int = Field(default=1, ge=1)  # rows over which the sampling noise drifts from one draw to the next


def train(config: FlatConfig, out: Path | None = None, stop_at: int | None = None) -> dict[str, Any]:
    """Train, or go on from the last checkpoint of the run, and write the weights.

    Every draw is seeded by the step, so a run that was cut off goes on along the same curve. `stop_at` leaves early.
    """
    keep_memory()
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    tokenizer = PoseTokenizer.from_pretrained(config.tokenizer)
    corpus = Path(config.corpus)
    data = {s: long_enough(corpus, s, tokenizer, config.styles, layout.FRAMES) for s in ("train", "val")}
    quantiles = energy_quantiles(data["train"])
    segments = {split: Segments(dances, config.styles, quantiles) for split, dances in data.items()}
    network = build(config).to(config.device)
    optimiser = torch.optim.AdamW(decayed(network, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.95))
    folder = Path(config.run)
    checkpoint, bits = folder / "checkpoint.pt", float("nan")
    first = resume(checkpoint, network, [optimiser])
    last = min(config.steps, stop_at or config.steps)
    started, total, done = time.monotonic(), 0.0, 0
    for step in tqdm(range(first, last), initial=first, total=last, unit="step", desc=config.name, mininterval=2):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, config.steps, config.learning_rate, config.warmup)
        rng = np.random.default_rng((config.seed, step))
        total, done = total + _train_step(network, optimiser, segments["train"], rng, config), done + 1
        if (step + 1) % config.check_every == 0 or step + 1 == last:
            bits = held_out_bits(network, segments["val"], config)
            log(folder / "log.jsonl", step=step + 1, seconds=time.monotonic() - started,
                train_bits=total / done * BITS, bits=bits)  # fmt: skip
            total, done = 0.0, 0
            save_run(checkpoint, network, [optimiser], step + 1)
    if first >= last:  # all was done before
        bits = held_out_bits(network, segments["val"], config)
    target = out or folder / config.name
    write(target, network, config, tokenizer, quantiles, default_start(data["train"]))
    return {"steps": last, "bits": bits, "weights": str(target), "sha256": weights.sha256(target)}


def build(config: FlatConfig) -> FlatNetwork:
    """Fresh weights, or GPT-2's. Raises UserError on a wrong key of `shape`, or where they do not fit."""
    try:
        network = FlatNetwork(Shape(inputs=inputs.n_outside(len(config.styles)), **config.shape))
    except TypeError as error:
        raise UserError(f"shape: {error}") from error
    if config.initialise:
        network.start_from_gpt2(config.initialise)
    return network


def _train_step(
    network: FlatNetwork, optimiser: torch.optim.Optimizer, segments: "Segments", rng: np.random.Generator,
    config: FlatConfig,
) -> float:  # fmt: skip
    """One update; the mean cross entropy, nats a token. Windows one by one: a segment fills a small machine."""
    optimiser.zero_grad(set_to_none=True)
    total = 0.0
    for _ in range(config.windows):
        loss = segment_loss(network, segments.draw(rng, config.noise), config.device).mean() / config.windows
        loss.backward()
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return total


def segment_loss(network: FlatNetwork, segment: tuple[np.ndarray, ...], device: str = "cpu") -> torch.Tensor:
    """Cross entropy, nats, of each token of a segment that `Segments` drew: (64, 30)."""
    heard, context, told, shown, wanted = (torch.from_numpy(part)[None].to(device) for part in segment)
    with torch.autocast(device, torch.bfloat16):
        logits = network.segment(heard, context, told, shown)
    return F.cross_entropy(logits.float().reshape(-1, CODEBOOK_SIZE), wanted.view(-1), reduction="none").view(
        -1, TOKENS_PER_FRAME
    )


@torch.no_grad()
def held_out_bits(network: FlatNetwork, segments: "Segments", config: FlatConfig, count: int = 24) -> float:
    """Bits a frame of clean held-out segments, the same ones each time."""
    drawn = [segments.draw(np.random.default_rng((99, k))) for k in range(count)]
    return float(np.mean([float(segment_loss(network, s, config.device).mean()) * BITS for s in drawn]))


class Segments:
    """Random segments of dances as the network reads them."""

    def __init__(self, dances: list[Dance], styles: list[str], quantiles: np.ndarray) -> None:
        self.dances, self.styles, self.quantiles = dances, styles, quantiles
        lengths = np.array([len(d.tokens) for d in dances], np.float64)
        self.chances = lengths / lengths.sum()

    def draw(self, rng: np.random.Generator, noise: float = 0.0) -> tuple[np.ndarray, ...]:
        """Music of the start tokens (64, inputs), names of the context (8, 30), what each frame is told (64, inputs),
        names of its tokens as they are shown (64, 30), and the tokens (64, 30) that are wanted.

        noise: mean share of past tokens replaced, in most segments.
        """
        dance = self.dances[rng.choice(len(self.dances), p=self.chances)]
        first = 0 if rng.random() < 0.06 else int(rng.integers(0, len(dance.tokens) - layout.FRAMES + 1))
        lead, kind = circumstances(rng)
        asked = wishes(rng, dance, slice(first, first + layout.FRAMES), self.quantiles, self.styles)
        return self.at(rng, dance, first, lead, kind, asked, noise)

    def at(
        self, rng: np.random.Generator, dance: Dance, first: int, lead: int, kind: str, asked: np.ndarray,
        noise: float = 0.0,
    ) -> tuple[np.ndarray, ...]:  # fmt: skip
        """The segment of this dance that begins at frame `first`, as `draw` gives it; asked (64, 2 + S): energy and
        style."""
        span = slice(first, first + layout.FRAMES)
        before = layout.music_rows(first)
        heard, told = (clock_rows(dance.song, rows, lead, kind) for rows in (before, np.arange(span.start, span.stop)))
        heard = np.concatenate([heard, np.repeat(asked[:1], layout.MUSIC, axis=0)], axis=1, dtype=np.float32)
        told = np.concatenate([told, asked], axis=1, dtype=np.float32)
        past = np.maximum(layout.context_rows(first), 0)  # before the first frame: the start pose
        shown = dance.tokens[np.concatenate([past, np.arange(span.start, span.stop)])]
        if noise and rng.random() < 0.7:
            shown = spoiled(rng, shown, noise * rng.random() * 2)
        named = layout.names(shown)
        wanted = dance.tokens[span].astype(np.int64)
        return heard, named[: layout.CONTEXT], told, named[layout.CONTEXT :], wanted


def write(
    folder: Path, network: FlatNetwork, config: FlatConfig, tokenizer: PoseTokenizer, quantiles: np.ndarray,
    start: np.ndarray,
) -> None:  # fmt: skip
    """The weights as `Choreographer` reads them."""
    values = {
        "name": config.name,
        "model": config.model,
        "vocabulary": tokenizer.vocabulary,
        "styles": config.styles,
        "start": [int(token) for token in start],
        "sampling": {"temperature": config.temperature, "top_p": config.top_p, "coherence": config.coherence},
        "energy_quantiles": [round(float(q), 4) for q in quantiles],
        "shape": network.shape.to_dict(),
    }
    weights.save(folder, network.state_dict(), values)
