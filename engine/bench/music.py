"""What hearing costs: a frame of `MusicAnalyzer`, and a second of music beside aubio and librosa."""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SECONDS = 30


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Processor time, so that what others on the machine take does not count."""
    from xdancer.evaluation.beats import peers
    from xdancer.music import MusicAnalyzer
    from xdancer.music.frame import HOP

    samples = _music()
    analyzer, spent = MusicAnalyzer(), []
    for first in range(0, len(samples), HOP):
        start = time.process_time()
        analyzer.push(samples[first : first + HOP])
        spent.append(1e3 * (time.process_time() - start))
    result: dict[str, Any] = {
        "frame_ms": {"mean": float(np.mean(spent)), "p50": _rank(spent, 50), "p99": _rank(spent, 99)},
        "ms_a_second": {"xdancer (online)": sum(spent) / SECONDS},
    }
    for name, track in peers().items():
        track(samples[: 5 * 48_000])  # compiles what the peer compiles
        result["ms_a_second"][name] = _cost(lambda track=track: track(samples)) / SECONDS  # type: ignore[misc]
    return result


def report(result: dict[str, Any]) -> str:
    frame = result["frame_ms"]
    lines = [f"a frame of 33.3 ms: mean {frame['mean']:.2f} ms, p50 {frame['p50']:.2f} ms, p99 {frame['p99']:.2f} ms"]
    ours = result["ms_a_second"]["xdancer (online)"]
    for name, cost in result["ms_a_second"].items():
        lines.append(f"{name:20} {cost:7.1f} ms of one core a second of music ({ours / cost:.1f} x)")
    return "\n".join(lines)


def _cost(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return 1e3 * (time.process_time() - start)


def _rank(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent))


def _music() -> np.ndarray:
    """Strokes of noise eight times a second over a chord: what costs does not depend on the music."""
    rng = np.random.default_rng(0)
    t = np.arange(SECONDS * 48_000) / 48_000
    strokes = rng.standard_normal(len(t)) * np.exp(-30.0 * (t % 0.125))
    chord = sum(np.sin(2.0 * np.pi * hertz * t) for hertz in (110.0, 220.0, 277.2, 329.6))
    return (0.2 * strokes + 0.1 * chord).astype(np.float32)
