"""`xdancer finetune choreographer`: a trained two-level model, taught some clips more.

X-Dancer is tuned to a choreography with 30 videos (arXiv 2502.17414, section 4). Here the clips are those of a corpus
that the user built from them, or stretches of one style of a corpus there is. A share of what is drawn stays general,
so that the dancer does not forget how to dance.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from xdancer import weights
from xdancer.choreographer import Choreographer, plan
from xdancer.choreographer.network import ChoreographerNetwork, Shape
from xdancer.config import load_config
from xdancer.errors import UserError
from xdancer.pose.layout import FPS, TOKENS_PER_FRAME
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.choreographer import ChoreographerConfig, Parts, dances_of, fit
from xdancer.training.dances import Dance, cut, first_codes

LONGEST = 12 * FPS  # frames of a stretch that counts as one clip
OUTSIDE = 0.1  # share of a stretch that may be labelled otherwise


class FinetuneConfig(ChoreographerConfig):
    """A training run that begins with the weights of `base`; shape, styles and how it draws tokens are the base's."""

    base: str = "live"
    style: str | None = None  # only stretches of this style; where not said, all dances of the corpus
    clips: int = Field(default=30, gt=0)  # so many stretches, drawn by the seed
    general: str | None = None  # corpus of everything else (default: the same)
    keep: float = Field(default=0.3, ge=0, lt=1)  # share of windows that are of everything else


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="YAML, such as configs/finetune.yaml")
    parser.add_argument("--weights", type=Path, help="folder to write the tuned model to (default: in the run)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return finetune(load_config(args.config, FinetuneConfig, args.settings), args.weights)


def report(result: dict[str, Any]) -> str:
    return (
        f"{result['clips']} clips, {result['seconds']:.0f} s; {result['steps']} steps; {result['bits']:.1f} bits a"
        f" frame and {result['plan_bits']:.1f} a plan on held-out songs, clips and people of all styles\n"
        f"written to {result['weights']}"
    )


def finetune(config: FinetuneConfig, out: Path | None = None, stop_at: int | None = None) -> dict[str, Any]:
    """Tune, or go on from the last checkpoint of the run, and write the weights. `stop_at` leaves early.

    Raises UserError where the base is of the paper's kind, or the corpus holds no clip of the style.
    """
    torch.manual_seed(config.seed)
    tokenizer = PoseTokenizer.from_pretrained(config.tokenizer)
    base = Choreographer.from_pretrained(config.base, tokenizer)
    if base.flat:
        raise UserError(f"base: {config.base}: a flat model; only two-level ones can be tuned")
    taken = {"styles": list(base.styles), "plan_temperature": base.sampling["plan"]}
    taken |= {key: base.sampling[key] for key in ("temperature", "top_p", "coherence", "pull")}
    config = config.model_copy(update=taken)
    quantiles = np.array(base.config["energy_quantiles"], np.float32)
    arrays, _ = weights.load_arrays(weights.find("choreographer", config.base))
    network = loaded(base, arrays)
    data = dances_of(config, Path(config.corpus), tokenizer)
    clips = chosen(data["train"], config)
    rest = dances_of(config, Path(config.general), tokenizer)["train"] if config.general else data["train"]
    parts = Parts(
        tokenizer, base.runtime.spread, quantiles, base.runtime.plans, base.runtime.liveliness,
        leaning_to(clips, rest, base.runtime),
    )  # fmt: skip
    chances = np.concatenate([(1 - config.keep) * _by_length(clips), config.keep * _by_length(rest)])
    data["train"] = [*clips, *rest]
    start = base.start.reshape(TOKENS_PER_FRAME)
    made = fit(config, network, parts, tokenizer, data, start, out, stop_at, chances)
    return made | {"clips": len(clips), "seconds": sum(len(c.tokens) for c in clips) / FPS}


def loaded(model: Choreographer, arrays: dict[str, np.ndarray]) -> ChoreographerNetwork:
    """The torch network of a two-level model. What only training uses, the outlook, begins anew."""
    runtime = model.runtime
    vectors = torch.from_numpy(runtime.codes.vectors)
    network = ChoreographerNetwork(Shape(**model.config["shape"]), vectors, runtime.plans)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=False)
    return network


def leaning_to(clips: list[Dance], rest: list[Dance], runtime: Any) -> np.ndarray:
    """The leanings (1 + S, CODES) of the base, but where no style is asked for to what the clips have more often than
    the rest."""
    own, every = (first_codes(some, runtime.plans)[0] for some in (clips, rest))
    return np.concatenate([plan.leaning(own, every)[None], runtime.leanings[1:]])


def chosen(dances: list[Dance], config: FinetuneConfig) -> list[Dance]:
    """The clips to learn: stretches of the style, each at most 12 s, drawn by the seed; or all dances, where no style
    is said."""
    if config.style is None:
        return dances
    if config.style not in config.styles:
        raise UserError(f"style: there is no {config.style!r}; the base knows {', '.join(config.styles)}")
    number = config.styles.index(config.style)
    found = [cut(dance, *span) for dance in dances for span in stretches(dance.style == number, config.frames)]
    if not found:
        raise UserError(f"style: {config.corpus} holds no {config.frames} frames of {config.style} in a row")
    order = np.random.default_rng(config.seed).permutation(len(found))[: config.clips]
    return [found[k] for k in order]


def stretches(wanted: np.ndarray, least: int) -> list[tuple[int, int]]:
    """Spans (start, stop) of `least` to LONGEST frames in a row, nearly all of which are `wanted` (T,)."""
    spans, start = [], 0
    while start + least <= len(wanted):
        stop = start + least
        if wanted[start:stop].mean() < 1 - OUTSIDE:
            start += 1
            continue
        while stop < min(start + LONGEST, len(wanted)) and wanted[start : stop + 1].mean() >= 1 - OUTSIDE:
            stop += 1
        spans.append((start, stop))
        start = stop
    return spans


def _by_length(dances: list[Dance]) -> np.ndarray:
    lengths = np.array([len(dance.tokens) for dance in dances], np.float64)
    return lengths / lengths.sum()
