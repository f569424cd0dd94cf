"""`xdancer train choreographer`: the two-level token model, on dances of a corpus as the analyzer heard their music.
The other kind is in `flat`."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional as F
from tqdm import tqdm

from xdancer import weights
from xdancer.choreographer import inputs, plan
from xdancer.choreographer.network import LATER, ChoreographerNetwork, Shape
from xdancer.config import load_config
from xdancer.errors import UserError
from xdancer.pose.layout import CODEBOOK_SIZE, N_PARTS, TOKENS_PER_FRAME, TOKENS_PER_PART
from xdancer.tokenizer import PoseTokenizer
from xdancer.tokenizer.frame import inputs as frame_inputs
from xdancer.tokenizer.network import Shape as TokenizerShape
from xdancer.tokenizer.network import TokenizerNetwork
from xdancer.training.common import decayed, keep_memory, learning_rate, log, resume, save_run
from xdancer.training.dances import Dance, Windows, energy_quantiles, fit_leanings, fit_liveliness, long_enough, spread

ASTRAY = 0.4  # units of 128 px that own forecasts may be off in training
CERTAINTY = 4.0  # weight of the squared error of the confidences beside the places'
BITS = TOKENS_PER_FRAME / np.log(2)  # nats a token to bits a frame


class Kind(BaseModel):
    """Which kind of choreographer a configuration is about."""

    model: Literal["two-level", "flat"] = "two-level"


class ChoreographerConfig(Kind):
    """Everything a run depends on beside the corpus and the tokenizer."""

    model_config = ConfigDict(extra="forbid")
    name: str
    corpus: str
    run: str
    tokenizer: str = "live"
    styles: list[str] = ["modern", "salsa", "street", "general", "martial", "breakdance", "idle"]
    seed: int = 1
    steps: int = Field(gt=0)
    windows: int = Field(default=16, gt=0)
    frames: int = Field(default=128, ge=2)
    depth_share: float = Field(default=0.25, gt=0, le=1)  # of the frames: the depth part learns from these only
    learning_rate: float = Field(default=1.5e-3, gt=0)
    weight_decay: float = 0.05
    warmup: int = 100
    forecast: float = Field(default=2.0, ge=0)  # weight of the forecast's error beside the cross entropy
    planning: float = Field(default=0.2, ge=0)  # weight of the plans' cross entropy beside the tokens'
    noise: float = Field(default=0.02, ge=0, lt=0.5)  # mean share of past tokens replaced, in most windows
    jolts: float = Field(default=0.5, ge=0, le=1)  # share of windows in which the dance is thrown off course
    own_past: float = Field(default=0.7, ge=0, le=1)  # share of the undisturbed windows that follow their own forecast
    own_steps: int = Field(default=3, ge=1)  # for so many frames at most
    check_every: int = Field(default=200, gt=0)
    threads: int = Field(default=2, gt=0)
    bfloat16: bool = True
    without: list[
        Literal["song", "past", "beat"]
    ] = []  # what the model is not told (`inputs.removed`), to compare with
    shape: dict[str, Any] = Field(default_factory=dict)
    temperature: list[float] = Field(
        default=[1.0] * TOKENS_PER_PART, min_length=TOKENS_PER_PART, max_length=TOKENS_PER_PART
    )
    top_p: float = Field(default=0.95, gt=0, le=1)
    plan_temperature: float = Field(default=1.0, gt=0)
    pull: float = Field(default=0.3, ge=0, le=1)  # how far a frame is drawn from its forecast to the way to the plan
    coherence: int = Field(default=6, ge=1)  # rows over which the sampling noise drifts from one draw to the next


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="YAML, such as configs/choreographer.yaml")
    parser.add_argument("--weights", type=Path, help="folder to write the trained model to (default: in the run)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    kind = load_config(args.config, Kind, args.settings).model
    if kind == "flat":
        from xdancer.training import flat

        return flat.train(load_config(args.config, flat.FlatConfig, args.settings), args.weights)
    return train(load_config(args.config, ChoreographerConfig, args.settings), args.weights)


def report(result: dict[str, Any]) -> str:
    plans = f" and {result['plan_bits']:.1f} a plan" if "plan_bits" in result else ""
    return (
        f"{result['steps']} steps; {result['bits']:.1f} bits a frame{plans} on held-out songs, clips and people\n"
        f"written to {result['weights']}"
    )


def train(config: ChoreographerConfig, out: Path | None = None, stop_at: int | None = None) -> dict[str, Any]:
    """Train, or go on from the last checkpoint of the run, and write the weights. `stop_at` leaves early."""
    torch.manual_seed(config.seed)
    tokenizer = PoseTokenizer.from_pretrained(config.tokenizer)
    data = dances_of(config, Path(config.corpus), tokenizer)
    parts = Parts.of(data["train"], tokenizer, config.styles)
    return fit(config, build(config, parts), parts, tokenizer, data, default_start(data["train"]), out, stop_at)


def dances_of(config: ChoreographerConfig, corpus: Path, tokenizer: PoseTokenizer) -> dict[str, list[Dance]]:
    """The dances of both splits of a corpus that are long enough."""
    return {split: long_enough(corpus, split, tokenizer, config.styles, config.frames) for split in ("train", "val")}


def fit(
    config: ChoreographerConfig, network: ChoreographerNetwork, parts: "Parts", tokenizer: PoseTokenizer,
    data: dict[str, list[Dance]], start: np.ndarray, out: Path | None = None, stop_at: int | None = None,
    chances: np.ndarray | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The steps of a run, and its weights.

    Every draw is seeded by the step, so a run that was cut off goes on along the same curve. start (30,): the row the
    model begins from by itself; chances (N,): how often each training dance is drawn, by its length where not said.
    """
    keep_memory()
    torch.set_num_threads(config.threads)
    folder = Path(config.run)
    optimiser = torch.optim.AdamW(
        decayed(network, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.95), fused=True
    )
    checkpoint = folder / "checkpoint.pt"
    first, bits, plan_bits = resume(checkpoint, network, [optimiser]), float("nan"), float("nan")
    parts.plans = network.planner.plans()  # of a resumed run: what it was trained with
    windows = {
        split: Windows(data[split], parts.codes, tokenizer, config.styles, parts.quantiles, parts.plans, config.without)
        for split in data
    }
    if chances is not None:
        windows["train"].chances = chances
    last = min(config.steps, stop_at or config.steps)
    started, total, done = time.monotonic(), 0.0, 0
    for step in tqdm(range(first, last), initial=first, total=last, unit="step", desc=config.name, mininterval=2):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, config.steps, config.learning_rate, config.warmup)
        rng = np.random.default_rng((config.seed, step))
        batch = windows["train"].batch(rng, config.windows, config.frames, config.noise, config.jolts)
        batch = with_own_past(network, parts, tokenizer, rng, batch, config)
        loss, error, planning = batch_loss(network, parts, rng, batch, config)
        optimiser.zero_grad(set_to_none=True)
        (loss + config.forecast * error + config.planning * planning).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        total, done = total + float(loss.detach()), done + 1
        if (step + 1) % config.check_every == 0 or step + 1 == last:
            bits, plan_bits = held_out_bits(network, parts, windows["val"], config)
            log(folder / "log.jsonl", step=step + 1, seconds=time.monotonic() - started,
                train_bits=total / done * BITS, bits=bits, plan_bits=plan_bits)  # fmt: skip
            total, done = 0.0, 0
            save_run(checkpoint, network, [optimiser], step + 1)
            write(folder / config.name, network, config, tokenizer, parts, start)
    if first >= last:  # all was done before
        bits, plan_bits = held_out_bits(network, parts, windows["val"], config)
    target = out or folder / config.name
    write(target, network, config, tokenizer, parts, start)
    return {
        "steps": last,
        "bits": bits,
        "plan_bits": plan_bits,
        "weights": str(target),
        "sha256": weights.sha256(target),
    }


class Parts:
    """What the model takes from the data: code vectors in units of their spread, the ranks of motion energy, what plans
    are made of, how lively a dance each music wants, and what plans of each style lean to."""

    def __init__(
        self, tokenizer: PoseTokenizer, spread_: np.ndarray, quantiles: np.ndarray, plans: plan.Plans,
        liveliness: np.ndarray, leanings: np.ndarray,
    ) -> None:  # fmt: skip
        self.codebooks, self.stages = tokenizer.runtime.books, int(tokenizer.config["shape"]["stages"])
        self.spread, self.quantiles, self.plans = spread_, quantiles, plans
        self.liveliness, self.leanings = liveliness, leanings
        self.codes = inputs.Codes(self.codebooks, self.stages, spread_)
        self.encoder_field = tokenizer.runtime.encoder_field
        self.encoder = TokenizerNetwork(TokenizerShape.from_dict(tokenizer.config["shape"])).requires_grad_(False)
        state = {name: torch.from_numpy(array) for name, array in tokenizer.arrays.items()}
        self.encoder.load_state_dict(state, strict=False)

    @classmethod
    def of(cls, dances: list[Dance], tokenizer: PoseTokenizer, styles: Sequence[str]) -> "Parts":
        books, stages = tokenizer.runtime.books, int(tokenizer.config["shape"]["stages"])
        quantiles = energy_quantiles(dances)
        liveliness = fit_liveliness(dances, quantiles)
        plans = fit_plans(dances)
        leanings = fit_leanings(dances, plans, styles)
        return cls(tokenizer, _rounded(spread(dances, books, stages)), quantiles, plans, liveliness, leanings)


def fit_plans(dances: list[Dance], most: int = 16_000) -> plan.Plans:
    """What plans are made of, from a sample of the dances at half a beat and a beat of a middling tempo."""
    first = np.concatenate([d.places[:: plan.UNTIMED] for d in dances])
    pairs = np.lib.stride_tricks.sliding_window_view(first, plan.AHEAD, axis=0).transpose(0, 3, 1, 2)
    rng = np.random.default_rng(0)
    sample = pairs[rng.permutation(len(pairs))[:most]].astype(np.float32)
    if len(sample) < plan.CODES:
        sample = np.repeat(sample, -(-plan.CODES // len(sample)), axis=0)
    made = plan.Plans.fit(sample + rng.normal(0, 1e-4, sample.shape), rng)
    return plan.Plans(_rounded(made.mean), _rounded(made.basis), _rounded(made.books))


def _rounded(array: np.ndarray) -> np.ndarray:
    """As it will be after the round trip through the file."""
    return torch.from_numpy(array).bfloat16().float().numpy()


def build(config: ChoreographerConfig, parts: Parts) -> ChoreographerNetwork:
    """A network with fresh weights. Raises UserError on a wrong key of `shape`."""
    columns = inputs.n_inputs(len(config.styles), parts.codes.width)
    try:
        shape = Shape(inputs=columns, code=parts.codes.width, **config.shape)
    except TypeError as error:
        raise UserError(f"shape: {error}") from error
    if sorted(shape.order) != list(range(N_PARTS)):
        raise UserError(f"shape: order: {list(shape.order)} does not name each of the {N_PARTS} parts once")
    network = ChoreographerNetwork(shape, torch.from_numpy(parts.codes.vectors), parts.plans)
    with torch.no_grad():  # what is never told is never learnt either: on stage it may be told in vain
        network.stem.weight[:, inputs.removed(config.without, len(config.styles), parts.codes.width)] = 0.0
    return network


def with_own_past(
    network: ChoreographerNetwork, parts: "Parts", tokenizer: PoseTokenizer, rng: np.random.Generator,
    batch: tuple[np.ndarray, ...], config: ChoreographerConfig,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """The batch with what was danced replaced, in some windows, by what the network itself foretells.

    All frames at once, one to `own_steps` times over, so that every frame follows so many of the network's own: the
    errors it learns to mend are its own ones (the pushforward trick, arXiv 2202.03376). Targets stay what they are.
    What goes further astray than ASTRAY is brought back: a forecast that explodes teaches nothing.
    """
    x, targets, before, poses, true, struck, plans = batch
    own = np.flatnonzero(~struck.any(axis=1) & (rng.random(len(x)) < config.own_past))
    if not len(own):
        return batch
    x, before, poses = x.copy(), before.copy(), poses.copy()
    frames = x.shape[1]
    kept = poses.shape[1] - frames + 1
    field = parts.encoder_field
    begin = x.shape[2] - inputs.N_BODY - N_PARTS * parts.codes.width * (2 + inputs.CONTEXT_FRAMES)
    for _ in range(rng.integers(1, config.own_steps + 1)):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            foretold = network.frames(torch.from_numpy(x[own]))[1].numpy()
        for window, frame in zip(own, foretold[:, :-1], strict=True):
            past = poses[window]
            near = np.where(true[window, :-1, :, 2:] > 0, inputs.places(true[window, :-1]), frame[..., :2])
            past[kept:] = inputs.posed(np.clip(frame[..., :2], near - ASTRAY, near + ASTRAY), frame[..., 2])
            rows = tokenizer.runtime.encode(past[kept - field + 1 :])
            before[window, 1:] = rows.reshape(frames - 1, -1)
            x[window, :, begin : begin + inputs.N_BODY] = inputs.body(past[kept - 1 :], past[kept - 2 : -1])
            latents = parts.codes.latents(before[window]).reshape(frames, -1)
            x[window, :, begin + inputs.N_BODY : begin + inputs.N_BODY + latents.shape[1]] = latents
    return x, targets, before, poses, true, struck, plans


def batch_loss(
    network: ChoreographerNetwork, parts: "Parts", rng: np.random.Generator, batch: tuple[np.ndarray, ...],
    config: ChoreographerConfig,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Of a batch of `Windows`: mean cross entropy, nats a token, on a share of the frames; the forecast's error on all;
    mean cross entropy of the plans, nats a code.

    Frames at which a jolt strikes are nobody's to foresee, and left out.
    """
    x, targets, _, _, true, struck, plans = batch
    n, frames = targets.shape[:2]
    usable = np.flatnonzero(~struck)
    picked = np.sort(rng.permutation(usable)[: max(int(n * frames * config.depth_share), 1)])
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        states, foretold = network.frames(torch.from_numpy(x))
        bits = token_nats(network, parts, batch, picked, states, foretold).mean()
        outlook = network.later(states, foretold)
    place, sure = torch.from_numpy(inputs.places(true)), torch.from_numpy(true[..., 2:])
    jolts = torch.from_numpy(struck).cumsum(1)
    error = wrong(foretold[..., :2], place, sure * torch.from_numpy(~struck)[..., None, None])
    error = error + CERTAINTY * F.mse_loss(foretold[..., 2:], sure)
    # The next frame is mostly inertia; what comes half a beat on has to be understood.
    for k, later in enumerate(LATER):
        calm = (jolts[:, later:] == jolts[:, :-later])[..., None, None]
        error = error + 0.1 * wrong(outlook[:, :-later, k], place[:, later:], sure[:, later:] * calm)
    planning = plan_nats(network, x, states, plans)
    return bits, error, planning.mean() if len(planning) else planning.sum()


def token_nats(
    network: ChoreographerNetwork, parts: "Parts", batch: tuple[np.ndarray, ...], picked: np.ndarray,
    states: torch.Tensor, foretold: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """Cross entropy, nats, of each token (N, 30) of the picked of a batch's frames, after what `frames` returned."""
    _, targets, before, poses, *_ = batch
    aim = aims(parts, poses, foretold.detach().numpy(), picked)
    rows, last = (r.reshape(-1, TOKENS_PER_FRAME)[picked] for r in (targets, before))
    codes = (torch.from_numpy(parts.codes.look_up(r)) for r in (rows, last))
    logits = network.depth(states.flatten(0, 1)[torch.from_numpy(picked)], torch.from_numpy(aim), *codes)
    wanted = torch.from_numpy(rows.astype(np.int64)).reshape(-1)
    nats = F.cross_entropy(logits.float().reshape(-1, CODEBOOK_SIZE), wanted, reduction="none")
    return nats.reshape(-1, TOKENS_PER_FRAME)


def plan_nats(network: ChoreographerNetwork, x: np.ndarray, states: torch.Tensor, plans: np.ndarray) -> torch.Tensor:
    """Cross entropy, nats, of each code (N, STAGES) of the plans that begin after the first frame of a window."""
    window, frame = np.nonzero(plans[:, 1:, 0] >= 0)
    codes = torch.from_numpy(plans[window, frame + 1])
    clock = torch.from_numpy(x[window, frame + 1, inputs.N_MUSIC : inputs.N_MUSIC + inputs.N_CLOCK])
    logits = network.planner(states[torch.from_numpy(window), torch.from_numpy(frame)].float(), clock, codes)
    nats = F.cross_entropy(logits.reshape(-1, plan.CODES), codes.reshape(-1), reduction="none")
    return nats.reshape(-1, plan.STAGES)


def wrong(made: torch.Tensor, true: torch.Tensor, sure: torch.Tensor) -> torch.Tensor:
    """Smooth L1 of places (..., 60, 2) in units of 8 px, weighted by confidence (..., 60, 1)."""
    return (sure * F.smooth_l1_loss(made * 16, true * 16, beta=0.5, reduction="none")).sum() / sure.sum().clamp_min(1)


def aims(parts: "Parts", poses: np.ndarray, foretold: np.ndarray, picked: np.ndarray) -> np.ndarray:
    """The latents (N, 5, D) that the tokenizer's encoder gives the foretold poses, for the picked of (n, T) frames."""
    field = parts.encoder_field
    kept = poses.shape[1] - foretold.shape[1] + 1  # poses before the first frame
    number, frame = np.divmod(picked, foretold.shape[1])
    past = poses[number[:, None], frame[:, None] + kept - (field - 1) + np.arange(field - 1)]
    newest = inputs.posed(foretold[number, frame, :, :2], foretold[number, frame, :, 2])
    windows = np.concatenate([past, newest[:, None]], axis=1).astype(np.float32)
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        latents = parts.encoder.encode([torch.from_numpy(part) for part in frame_inputs(windows)])[:, -1]
    return latents.numpy() / parts.spread


@torch.no_grad()
def held_out_bits(
    network: ChoreographerNetwork, parts: "Parts", windows: Windows, config: ChoreographerConfig, batches: int = 6
) -> tuple[float, float]:
    """Bits a frame and bits a plan of clean held-out windows, the same ones each time."""
    found = []
    for k in range(batches):
        rng = np.random.default_rng((99, k))
        bits, _, planning = batch_loss(network, parts, rng, windows.batch(rng, config.windows, config.frames), config)
        found.append((float(bits) * BITS, float(planning) * plan.STAGES / np.log(2)))
    frame, each = np.mean(found, axis=0)
    return float(frame), float(each)


def default_start(dances: list[Dance]) -> np.ndarray:
    """The row (30,) to begin from where none is given: the first of the dance that begins most like all others."""
    first = np.stack([d.tokens[0] for d in dances])
    coarse = first.reshape(len(first), N_PARTS, TOKENS_PER_PART)[:, :, :2].reshape(len(first), -1)
    alike = [(coarse == row).mean() for row in coarse]
    return first[int(np.argmax(alike))]


def write(
    folder: Path, network: ChoreographerNetwork, config: ChoreographerConfig, tokenizer: PoseTokenizer, parts: Parts,
    start: np.ndarray,
) -> None:  # fmt: skip
    """The weights as `Choreographer` reads them."""
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("outlook.")}
    state["codebooks"] = torch.from_numpy(np.ascontiguousarray(parts.codebooks))
    state["spread"] = torch.from_numpy(parts.spread)
    values = {
        "name": config.name,
        "vocabulary": tokenizer.vocabulary,
        "styles": config.styles,
        "stages": parts.stages,
        "without": config.without,
        "start": [int(token) for token in start],
        "sampling": {
            "temperature": config.temperature,
            "top_p": config.top_p,
            "coherence": config.coherence,
            "plan": config.plan_temperature,
            "pull": config.pull,
        },
        "energy_quantiles": [round(float(q), 4) for q in parts.quantiles],
        "liveliness": [round(float(w), 4) for w in parts.liveliness],
        "leanings": [[round(float(w), 2) for w in row] for row in parts.leanings],
        "shape": network.shape.to_dict(),
    }
    weights.save(folder, state, values)
