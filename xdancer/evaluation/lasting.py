"""Does a renderer last? A minute of dance over and over through the rolling window: are the pictures of the last minute
those of the first?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from xdancer.errors import UserError
from xdancer.evaluation.scores import goal
from xdancer.pose.layout import FPS

if TYPE_CHECKING:
    from xdancer.renderer import Renderer
    from xdancer.tokenizer import PoseTokenizer

MINUTE = 60 * FPS  # frames
TINGE, GROWTH = 2.0, 1.0  # goals: levels of 255 that a colour may drift; MB of memory a minute
SETTLED = 0.25  # share of the minutes after which memory is judged


def danced(tokenizer: "PoseTokenizer", seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A minute of the shipped dancer to the looped demo: tokens (1800, 5, 6) and poses (1800, 60, 3)."""
    from xdancer.choreographer import Choreographer
    from xdancer.evaluation.stamina import looped
    from xdancer.music import MusicAnalyzer

    analyzer, stream = MusicAnalyzer(), Choreographer.from_pretrained("live", tokenizer).stream(seed=seed)
    tokens = np.concatenate([stream.step(analyzer.push(samples)).tokens for samples in looped().play(60)])[:MINUTE]
    return tokens, tokenizer.decode(tokens)


def lasting(
    renderer: "Renderer", tokens: np.ndarray, poses: np.ndarray, minutes: int, levels: int, stride: int, seed: int = 0
) -> dict[str, Any]:
    """Draw the dance (T, 5, 6), whose poses are (T, 60, 3), `minutes` times in one stream.

    By turn: mean colour, and its standard deviation over pixels and frames, RGB in levels of 255, and resident MB.
    """
    import psutil
    from tqdm import tqdm

    process, turns = psutil.Process(), []
    pictures = _pictures(renderer, tokens, poses, minutes, levels, stride, seed)
    drawn = len(tokens) // stride
    for turn in tqdm(range(minutes), unit="min", desc="drawing"):
        total, squares = np.zeros(3), np.zeros(3)
        for _ in range(drawn):
            picture = next(pictures).astype(np.float64)
            total, squares = total + picture.mean((0, 1)), squares + np.square(picture).mean((0, 1))
        mean = total / drawn
        turns.append({
            "minute": turn + 1, "colour": mean.tolist(), "contrast": np.sqrt(squares / drawn - mean**2).tolist(),
            "resident_mb": process.memory_info().rss / 1e6,
        })  # fmt: skip
    return {"minutes": minutes, "passes": levels, "stride": stride, "turns": turns} | judged(turns)


def judged(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """What changed from the first turn on, and which goals that meets."""
    drift = {
        name: float(np.abs(np.subtract([turn[name] for turn in turns], turns[0][name])).max())
        for name in ("colour", "contrast")
    }
    settled = turns[int(SETTLED * len(turns)) :]
    sizes = np.array([turn["resident_mb"] for turn in settled])
    slope = float(np.polyfit(np.arange(len(sizes)), sizes, 1)[0]) if len(sizes) > 1 else 0.0
    goals = [
        goal(f"colours within {TINGE:g} levels of 255 of the first minute's", drift["colour"], high=TINGE),
        goal(f"contrast within {TINGE:g} levels of the first minute's", drift["contrast"], high=TINGE),
        goal(f"memory grows by less than {GROWTH:g} MB a minute", slope, high=GROWTH),
    ]
    return {"drift": drift, "memory_slope": slope, "goals": goals}


def _pictures(
    renderer: "Renderer", tokens: np.ndarray, poses: np.ndarray, turns: int, levels: int, stride: int, seed: int
) -> Iterator[np.ndarray]:
    if len(tokens) % stride:
        raise UserError(f"{len(tokens)} frames are no whole number of strides of {stride}")
    stream = renderer.stream(seed, stride, levels=levels)
    for _ in range(turns):
        for row, pose in zip(tokens, poses, strict=True):
            yield from stream.step(row[None], pose[None])
    yield from stream.finish()
