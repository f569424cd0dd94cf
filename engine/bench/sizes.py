"""The diffusion renderer in both its sizes on one device (`--device`), with random weights, whose values cost nothing:
new frames a second by the rolling window of four passes, the share of what the device can do, where the time goes, and
memory. Each case has a process of its own."""

import argparse
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.bench.beside import apart
from engine.bench.memory import LARGE, MIDDLE, SMALL, most_mb
from xdancer.errors import UserError

if TYPE_CHECKING:
    from xdancer.renderer.diffusion.model import DiffusionModel

REPEATS = {"cpu": 5, "cuda": 10}
SLOW = 60.0  # seconds: a pass that takes longer is made once
SQUARE = {"cpu": 2048, "cuda": 8192}  # side of the matrices whose product says what the device can do
KINDS = 5  # of operations that are named


class Case(NamedTuple):
    """`live` or `sd15`, drawing pictures of `size` (H, W)."""

    name: str
    size: tuple[int, int]


CASES = {
    "cpu": (Case("live", SMALL), Case("live", MIDDLE), Case("sd15", SMALL), Case("sd15", MIDDLE), Case("sd15", LARGE)),
    "cuda": (Case("live", SMALL), Case("live", MIDDLE), Case("sd15", MIDDLE), Case("sd15", LARGE)),
}


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Raises UserError where there is no such device."""
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("bench sizes: --device cuda: PyTorch finds no GPU here; leave the option out")
    return {"device": args.device, "rows": [_row(case, args.device) for case in CASES[args.device]]}


def _row(case: Case, device: str) -> dict[str, Any]:
    from engine.painter.models import short_of_memory

    try:
        return apart(measured, case, device)
    except (BrokenProcessPool, MemoryError, RuntimeError) as error:
        if not (isinstance(error, BrokenProcessPool) or short_of_memory(error)):
            raise
        return {"name": case.name, "size": list(case.size), "failed": "too little memory"}


def report(result: dict[str, Any]) -> str:
    lines = [f"on {result['device']}, window of 16 frames, 4 passes, 4 new frames each:"]
    for row in result["rows"]:
        height, width = row["size"]
        head = f"{row['name']} {height} x {width}: "
        if "failed" in row:
            lines.append(head + row["failed"])
            continue
        lines.append(
            f"{head}{row['frames_per_second']:.3g} new frames a second, {row['tflop_a_frame']:.3g} TFLOP each, "
            f"{100 * row['share']:.0f} % of the {row['device_tflops']:.3g} TFLOP/s of a large product, "
            f"{row['memory_mb']:.0f} MB"
        )
        kinds = ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in row["kinds"].items())
        parts = ", ".join(f"{part} {100 * share:.0f} %" for part, share in row["parts"].items())
        lines.append(f"  {parts}; by operation: {kinds}")
    return "\n".join(lines)


def measured(case: Case, device: str) -> dict[str, Any]:
    """One row: new frames a second (float, clock time), TFLOP a new frame, share (0 to 1) of `device_tflops` that is
    reached, MB at most beyond what torch takes by itself, shares of the time by part and by kind of operation."""
    import torch
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.flop_counter import FlopCounterMode

    from xdancer.renderer.diffusion.schedules import LEVELS, WINDOW

    dtype = torch.float16 if device == "cuda" else torch.float32
    ability = _ability(device, dtype)
    before = most_mb()
    draw, parts = _drawing(_model(case).to(device, dtype), case, device)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with FlopCounterMode(display=False) as counter, profile(activities=activities) as profiled:
        began = time.perf_counter()
        draw()
        seconds = time.perf_counter() - began
    if seconds < SLOW:
        draw()
        parts.clear()
        began = time.perf_counter()
        for _ in range(REPEATS[device]):
            draw()
        seconds = (time.perf_counter() - began) / REPEATS[device]
    shares = {part: spent / sum(parts.values()) for part, spent in parts.items()}
    clock = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    operations = [event for event in profiled.key_averages() if event.key.startswith("aten::")]
    spent = {event.key.removeprefix("aten::"): getattr(event, clock) for event in operations}
    whole = sum(spent.values())
    most = sorted(spent, key=lambda kind: -spent[kind])[:KINDS]
    chunk = WINDOW // LEVELS
    tflop = counter.get_total_flops() / 1e12
    return {
        "name": case.name, "size": list(case.size), "frames_per_second": chunk / seconds,
        "tflop_a_frame": tflop / chunk, "device_tflops": ability, "share": tflop / seconds / ability,
        "memory_mb": torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else most_mb() - before,
        "parts": shares, "kinds": {kind: spent[kind] / whole for kind in most},
    }  # fmt: skip


def _drawing(model: "DiffusionModel", case: Case, device: str) -> tuple[Callable[[], None], dict[str, float]]:
    """What the rolling window does for each chunk once it is full, and the seconds that its parts took so far."""
    import torch

    from xdancer.pose.layout import CODEBOOK_SIZE, N_PARTS, TOKENS_PER_PART
    from xdancer.renderer.diffusion import Renderer
    from xdancer.renderer.diffusion.schedules import LEVELS, WINDOW
    from xdancer.tokenizer import PoseTokenizer

    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*case.size, 3), dtype=np.uint8)
    renderer = Renderer(model, picture, PoseTokenizer.from_pretrained("live"))
    renderer.hurry()
    tokens = rng.integers(0, CODEBOOK_SIZE, (WINDOW, N_PARTS, TOKENS_PER_PART)).astype(np.int16)
    poses = renderer.tokenizer.decode(tokens)
    chunk = WINDOW // LEVELS
    levels = torch.tensor(model.noise.levels(LEVELS)[:LEVELS], device=device).flip(0).repeat_interleave(chunk)
    latents = torch.stack([renderer.noise_of(0, frame) for frame in range(WINDOW)])
    older = renderer.frames(tokens[:-chunk], poses[:-chunk])
    parts: dict[str, float] = {}

    @torch.no_grad()
    def draw() -> None:
        def timed(part: str, since: float) -> float:
            if device == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter()
            parts[part] = parts.get(part, 0.0) + now - since
            return now

        now = time.perf_counter()
        frames = [*older, *renderer.frames(tokens[-chunk:], poses[-chunk:])]
        now = timed("carrying the reference", now)
        said = renderer.denoise(latents, levels, frames)
        now = timed("networks", now)
        renderer.pictures(said[:chunk], frames[:chunk], 1)
        timed("autoencoder", now)

    return draw, parts


def _model(case: Case) -> "DiffusionModel":
    """Random weights; the paper's size with the tiny autoencoder, as somebody in a hurry would have it."""
    from xdancer.renderer.diffusion.autoencoder import StableAutoencoder
    from xdancer.renderer.diffusion.model import LIVE, DiffusionModel, ModelShape
    from xdancer.renderer.diffusion.motion import MotionShape

    if case.name == "live":
        return DiffusionModel(replace(LIVE, size=case.size))
    from diffusers import AutoencoderTiny

    shape = ModelShape(size=case.size, motion=MotionShape(), autoencoder=None)
    return DiffusionModel(shape, StableAutoencoder(AutoencoderTiny()))


def _ability(device: str, dtype: Any) -> float:
    """TFLOP/s of the product of two large matrices: what the device can do at best."""
    import torch

    side = SQUARE[device]
    a = torch.randn(side, side, device=device, dtype=dtype)
    a @ a
    seconds = []
    for _ in range(5):
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds) / 1e12
