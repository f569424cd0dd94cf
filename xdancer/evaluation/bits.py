"""`xdancer evaluate bits`: how surprised choreographers are by held-out dances, side by side on the same frames."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdancer.errors import UserError

if TYPE_CHECKING:
    from xdancer.choreographer import Choreographer
    from xdancer.training.dances import Dance

FRAMES, GIVEN = 64, 12  # of a window, and those at its beginning that are not scored: a segment of the flat model
RESAMPLES = 2000
NOT_TRAINED = ("codebooks", "spread", "planner.mean", "planner.basis", "planner.books")  # carried along


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, help="folder that `xdancer corpus build` wrote")
    parser.add_argument("models", nargs="*", default=["live"], metavar="NAME",
                        help="choreographers: shipped names, folders or hub ids (default live)")  # fmt: skip
    parser.add_argument("--tokenizer", default="live", metavar="NAME", help="whose tokens they all speak")
    parser.add_argument("--windows", type=int, default=96, help="windows of 64 frames (default 96)")
    parser.add_argument("--leads", default="0", metavar="N,N,..", help="frames ahead of the music, e.g. 0,4,8,16,30,60")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> dict[str, Any]:
    from xdancer import weights
    from xdancer.choreographer import Choreographer
    from xdancer.tokenizer import PoseTokenizer
    from xdancer.training.dances import long_enough

    try:
        leads = [int(part) for part in args.leads.split(",")]
    except ValueError as error:
        raise UserError(f"--leads: {args.leads!r} is not a list of frames such as 0,4,8") from error
    if not all(0 <= lead <= 60 for lead in leads):
        raise UserError(f"--leads: {args.leads} is not within 0..60 frames")
    tokenizer = PoseTokenizer.from_pretrained(args.tokenizer)
    models = [Choreographer.from_pretrained(name, tokenizer) for name in args.models]
    arrays = [weights.load_arrays(weights.find("choreographer", name))[0] for name in args.models]
    dances = long_enough(args.corpus, "val", tokenizer, models[0].config["styles"], FRAMES)
    rng = np.random.default_rng(args.seed)
    lengths = np.array([len(d.tokens) for d in dances], np.float64)
    chosen = rng.choice(len(dances), args.windows, p=lengths / lengths.sum())
    windows = [(dances[k], int(rng.integers(0, len(dances[k].tokens) - FRAMES + 1))) for k in chosen]
    rows = []
    for model, numbers in zip(models, arrays, strict=True):
        own = sum(array.size for name, array in numbers.items() if name not in NOT_TRAINED)
        by_lead = [surprise(model, numbers, windows, lead) for lead in leads]
        rows.append({"name": model.name, "parameters": own, "found": by_lead})
    songs = np.unique([id(d.song) for d, _ in windows], return_inverse=True)[1]
    return {
        "windows": args.windows,
        "frames": args.windows * (FRAMES - GIVEN),
        "songs": int(songs.max()) + 1,
        "leads": leads,
        "models": [_summed(row, rows[0], songs) for row in rows],
    }


def surprise(
    model: "Choreographer", arrays: dict[str, np.ndarray], windows: "list[tuple[Dance, int]]", lead: int
) -> np.ndarray:
    """Bits a frame (N, 2) of each window's scored frames, after the true dance before them and the music as it was
    heard: of the tokens, and of the plans that a two-level model makes beside."""
    if model.flat:
        return _flat(model, windows, lead)
    return _two_level(model, arrays, windows, lead)


def _flat(model: "Choreographer", windows: "list[tuple[Dance, int]]", lead: int) -> np.ndarray:
    import torch

    from xdancer.training.flat import Segments, segment_loss

    segments = Segments([dance for dance, _ in windows], list(model.styles), np.zeros(2))
    asked = np.zeros((FRAMES, 2 + len(model.styles)), np.float32)
    out = np.zeros((len(windows), 2))
    for row, (dance, first) in zip(out, windows, strict=True):
        segment = segments.at(np.random.default_rng(0), dance, first, lead, "heard", asked)
        with torch.no_grad():
            row[0] = float(segment_loss(model.runtime.network, segment)[GIVEN:].sum(1).mean()) / np.log(2)
    return out


def _two_level(
    model: "Choreographer", arrays: dict[str, np.ndarray], windows: "list[tuple[Dance, int]]", lead: int
) -> np.ndarray:
    import torch

    from xdancer.training.choreographer import Parts, plan_nats, token_nats
    from xdancer.training.dances import Windows
    from xdancer.training.finetune import loaded

    runtime, network = model.runtime, loaded(model, arrays)
    parts = Parts(model.tokenizer, runtime.spread, np.zeros(2), runtime.plans, runtime.liveliness, runtime.leanings)
    made = Windows([], parts.codes, model.tokenizer, list(model.styles), np.zeros(2), parts.plans,
                   model.config.get("without", ()))  # fmt: skip
    asked = np.zeros((FRAMES, 2 + len(model.styles)), np.float32)
    scored = np.arange(GIVEN, FRAMES)
    out = np.zeros((len(windows), 2))
    for row, (dance, first) in zip(out, windows, strict=True):
        one = made.at(np.random.default_rng(0), dance, first, FRAMES, lead, "heard", dance.tokens[0], asked)
        x, *_, plans = batch = tuple(part[None] for part in one)
        with torch.no_grad():
            states, foretold = network.frames(torch.from_numpy(x))
            row[0] = float(token_nats(network, parts, batch, scored, states, foretold).sum())
            late = slice(GIVEN - 1, None)
            row[1] = float(plan_nats(network, x[:, late], states[:, late], plans[:, late]).sum())
    return out / len(scored) / np.log(2)


def _summed(row: dict[str, Any], base: dict[str, Any], songs: np.ndarray) -> dict[str, Any]:
    """Means with bootstrap intervals over songs; the difference is paired, to the first model at the same lead."""
    found = []
    for mine, other in zip(row["found"], base["found"], strict=True):
        total, theirs = mine.sum(1), other.sum(1)
        found.append({
            "bits": float(total.mean()), "plan_bits": float(mine[:, 1].mean()), "interval": interval(total, songs),
            "more": float((total - theirs).mean()), "more_interval": interval(total - theirs, songs),
        })  # fmt: skip
    return {"name": row["name"], "parameters": row["parameters"], "by_lead": found}


def interval(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> list[float]:
    """95 % bootstrap interval of the mean of values (N,), drawn by whole groups (N,) numbered from 0: frames of one
    song are no independent witnesses."""
    rng = np.random.default_rng(seed)
    count = int(groups.max()) + 1
    sums, sizes = np.bincount(groups, values, count), np.bincount(groups, minlength=count)
    drawn = rng.integers(0, count, (RESAMPLES, count))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return [float(x) for x in np.quantile(means, (0.025, 0.975))]


def report(result: dict[str, Any]) -> str:
    lines = [
        f"{result['frames']} frames of {result['songs']} held-out songs; bits a frame, plans in them; 95 % over songs",
        f"{'':20}{'M weights':>10}{'lead':>6}{'bits':>8}{'':17}{'plans':>7}   more than the first",
    ]
    for model in result["models"]:
        for lead, found in zip(result["leads"], model["by_lead"], strict=True):
            low, high = found["interval"]
            less, more = found["more_interval"]
            lines.append(
                f"{model['name']:20}{model['parameters'] / 1e6:10.2f}{lead:6d}{found['bits']:8.1f}"
                f" [{low:6.1f}, {high:6.1f}]{found['plan_bits']:7.1f}"
                f"   {found['more']:+.1f} [{less:+.1f}, {more:+.1f}]"
            )
    return "\n".join(lines)
