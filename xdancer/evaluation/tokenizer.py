"""`xdancer evaluate tokenizer`: what of a pose survives the tokens, on held-out clips and people."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from xdancer.pose.layout import CODEBOOK_SIZE, INDEX, N_PARTS, PARTS, SEEN, TOKENS_PER_PART

GROUPS = {
    "whole": tuple(range(60)),
    "upper": PARTS[0].joints,
    "lower": PARTS[1].joints,
    "head": PARTS[2].joints,
    "hands": PARTS[3].joints + PARTS[4].joints,
}
WRISTS = [
    (INDEX["left_wrist"], INDEX["left_hand_wrist"]),
    (INDEX["right_wrist"], INDEX["right_hand_wrist"]),
]
KNOWN = (160, 48)  # windows and frames that the k-means baseline is fitted to
HOLD = 6  # frames the baseline "hold" keeps a pose


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, help="folder that `xdancer corpus build` wrote")
    parser.add_argument("--tokenizer", default="live", metavar="NAME", help="shipped name, folder or hub id")
    parser.add_argument("--windows", type=int, default=96, help="windows of 128 frames to score (default 96)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="also write a PNG of true poses beside decoded ones")


def joint_error(true: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """Mean of |dx| and |dy|, px, over joints with true confidence >= 0.3: whole, upper, lower, head, hands.

    Poses (..., 60, 3). A joint that the made pose does not show counts with the zeros it has there.
    """
    wrong = np.abs(true[..., :2] - made[..., :2]).mean(-1)
    certain = true[..., 2] >= SEEN
    out = {}
    for name, joints in GROUPS.items():
        counted = certain[..., joints]
        out[name] = float(wrong[..., joints][counted].mean()) if counted.any() else 0.0
    return out


def quality(true: np.ndarray, made: np.ndarray) -> dict[str, Any]:
    """Figures of decoded poses (N, T, 60, 3) against the true ones.

    joint_error: px, as above; velocity_error: px a frame, mean of |d| over both axes; jerk: mean length of the third
    difference of certain joints, px a frame^3, true and made; confidence_error: mean absolute; wrist_gap_p95: px
    between the body's wrist and the hand's in the made pose, where both are certain, and missed: certain joints it
    does not show.
    """
    certain = true[..., 2] >= SEEN
    moving = certain[:, 1:] & certain[:, :-1]
    lasting = certain[:, 3:] & certain[:, 2:-1] & certain[:, 1:-2] & certain[:, :-3]
    drift = np.abs(np.diff(true[..., :2] - made[..., :2], axis=1)).mean(-1)
    gaps = [
        np.linalg.norm(made[..., a, :2] - made[..., b, :2], axis=-1)[certain[..., a] & certain[..., b]]
        for a, b in WRISTS
    ]
    return {
        "joint_error": joint_error(true, made),
        "velocity_error": float(drift[moving].mean()),
        "jerk": {"true": _jerk(true, lasting), "made": _jerk(made, lasting)},
        "confidence_error": float(np.abs(true[..., 2] - made[..., 2]).mean()),
        "missed": float((made[..., 2] == 0)[certain].mean()),
        "wrist_gap_p95": float(np.percentile(np.concatenate(gaps), 95)),
    }


def _jerk(pose: np.ndarray, lasting: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(pose[..., :2], n=3, axis=1), axis=-1)[lasting].mean())


def codebook_use(tokens: np.ndarray) -> dict[str, float]:
    """Of tokens (N, 5, 6): share of the codes that occur, and perplexity (512 where all occur alike), by part."""
    used, perplexity = np.empty((N_PARTS, TOKENS_PER_PART)), np.empty((N_PARTS, TOKENS_PER_PART))
    for part in range(N_PARTS):
        for slot in range(TOKENS_PER_PART):
            share = np.bincount(tokens[:, part, slot], minlength=CODEBOOK_SIZE) / len(tokens)
            used[part, slot] = (share > 0).mean()
            seen = share[share > 0]
            perplexity[part, slot] = np.exp(-(seen * np.log(seen)).sum())
    return {"used": float(used.mean()), "least_used": float(used.min()), "perplexity": float(perplexity.mean())}


def run(args: argparse.Namespace) -> dict[str, Any]:
    from xdancer.data.sampler import PoseSampler
    from xdancer.tokenizer import PoseTokenizer
    from xdancer.training.tokenizer import augmented

    tokenizer = PoseTokenizer.from_pretrained(args.tokenizer)
    sampler = PoseSampler(args.corpus, "val", seed=args.seed, vary=0.0)
    true = sampler.batch(args.windows, 128)
    tokens = np.stack([tokenizer.encode(pose) for pose in true])
    made = np.stack([tokenizer.decode(rows) for rows in tokens])
    hard = augmented(np.random.default_rng(args.seed), true, 1.0)
    found = np.stack([tokenizer.encode(pose, search=True) for pose in true])
    searched = np.stack([tokenizer.decode(rows) for rows in found])
    hard_made = np.stack([tokenizer.decode(tokenizer.encode(pose)) for pose in hard])
    shown = true[..., 2] >= SEEN
    heights = np.where(shown, true[..., 1], -np.inf).max(-1) - np.where(shown, true[..., 1], np.inf).min(-1)
    known = PoseSampler(args.corpus, "train", seed=args.seed).batch(*KNOWN)
    result = {
        "tokenizer": tokenizer.name,
        "sha256": tokenizer.sha256,
        "frames": int(true.shape[0] * true.shape[1]),
        "people": len(sampler.bodies),
        "clips": len(sampler.clips),
        "figure_height_p50": float(np.median(heights[shown.sum(-1) > 30])),
        "tokens": quality(true, made),
        "searched": quality(true, searched),
        "hard": quality(hard, hard_made),
        "codebooks": {
            name: codebook_use(rows.reshape(-1, N_PARTS, TOKENS_PER_PART))
            for name, rows in (("tokens", tokens), ("searched", found))
        },
        "baselines": {name: quality(true, poses) for name, poses in _baselines(true, known)},
    }
    if args.picture:
        from xdancer.evaluation.picture import side_by_side

        rows = np.random.default_rng(args.seed).choice(len(true), 6, replace=False)
        side_by_side([(true[row, 64], made[row, 64]) for row in rows], args.picture)
    return result


def _baselines(true: np.ndarray, known: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Cheap ways to say a pose: the mean one; every sixth held; and, in as many bits as the tokens, each frame by
    itself as principal components under residual k-means, both fitted to the `known` poses (N, T, 60, 3)."""
    import torch

    from xdancer.tokenizer import frame
    from xdancer.tokenizer.network import Shape, TokenizerNetwork

    sure = known[..., 2:]
    mean = (known * sure).sum((0, 1)) / np.maximum(sure.sum((0, 1)), 1e-6)
    held = true[:, np.arange(true.shape[1]) // HOLD * HOLD]
    network = TokenizerNetwork(Shape(encoder_width=1, decoder_width=1, decoder_dilations=(0,), stages=3))
    for stack in (*network.encoders, network.decoder):
        torch.nn.init.zeros_(stack.head.weight)
    with torch.no_grad():
        network.start([torch.from_numpy(x) for x in frame.inputs(known)])
        latents = network.encode([torch.from_numpy(x) for x in frame.inputs(true)])
        codes, _, _ = network.quantiser(latents.flatten(0, 1))
        by_frame = frame.finished(network.decode(codes.reshape(latents.shape)).numpy())
    return [("mean pose", np.broadcast_to(mean, true.shape)), (f"held {HOLD} frames", held), ("k-means", by_frame)]


def report(result: dict[str, Any]) -> str:
    lines = [
        f"{result['tokenizer']} ({result['sha256'][:12]}), {result['frames']} frames of {result['people']} held-out "
        f"people and {result['clips']} clips, figures {result['figure_height_p50']:.0f} px high (median)",
        f"{'':16}" + "".join(f"{name:>8}" for name in GROUPS) + "   velocity    jerk  confidence  wrist gap p95",
    ]
    rows = [("tokens", result["tokens"]), ("searched", result["searched"]), ("tokens, hard", result["hard"])]
    for name, row in [*rows, *result["baselines"].items()]:
        errors = "".join(f"{value:8.2f}" for value in row["joint_error"].values())
        lines.append(
            f"{name:16}{errors}{row['velocity_error']:11.2f}{row['jerk']['made']:8.2f}{row['confidence_error']:12.3f}"
            f"{row['wrist_gap_p95']:15.2f}"
        )
    lines.append("searched: tokens chosen by what they decode to, not by the nearest latent")
    lines.append("hard: half to 1.8 times the size, moved, cut off, hands, head or legs missing for a while")
    lines.append(f"true jerk {result['tokens']['jerk']['true']:.2f}; errors in px, jerk in px a frame^3")
    for name, use in result["codebooks"].items():
        lines.append(
            f"codes used, {name}: {use['used']:.0%} (least used book {use['least_used']:.0%}), perplexity "
            f"{use['perplexity']:.0f}"
        )
    return "\n".join(lines)
