"""How much memory the diffusion renderer takes: a process of its own for each resolution and schedule."""

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.bench.beside import apart

SMALL, MIDDLE, LARGE = (224, 128), (448, 256), (896, 512)


class Case(NamedTuple):
    """Pictures of `size` (H, W), put out in `scale` times that, by the rolling window of `levels` passes."""

    size: tuple[int, int]
    levels: int
    scale: int


CASES = (
    Case(SMALL, 1, 1), Case(SMALL, 1, 2), Case(SMALL, 1, 4), Case(SMALL, 4, 1), Case(MIDDLE, 1, 1), Case(MIDDLE, 4, 1),
    Case(LARGE, 1, 1),
)  # fmt: skip


def measured() -> list[dict[str, Any]]:
    """For each of CASES, the live size with random weights: MB resident at most, beyond what torch takes by itself."""
    return [
        {"size": list(c.size), "passes": c.levels, "scale": c.scale, "resident_mb": apart(_measured, c)} for c in CASES
    ]


def lines(rows: list[dict[str, Any]]) -> list[str]:
    out = ["memory beyond torch's own, random weights:"]
    for row in rows:
        height, width = row["size"]
        out_in = f", put out at {row['scale'] * height} x {row['scale'] * width}" if row["scale"] > 1 else ""
        passes = f"{row['passes']} pass{'es' if row['passes'] > 1 else ''}"
        out.append(f"  {height} x {width}{out_in}, {passes}: {row['resident_mb']:.0f} MB")
    return out


def _measured(case: Case) -> float:
    import torch

    from engine.painter.pace import Setting
    from xdancer.pose.layout import CODEBOOK_SIZE, N_PARTS, TOKENS_PER_PART
    from xdancer.renderer.diffusion import Renderer
    from xdancer.renderer.diffusion.model import LIVE, DiffusionModel
    from xdancer.tokenizer import PoseTokenizer

    torch.set_num_threads(1)
    torch.nn.functional.conv2d(torch.zeros(1, 8, 32, 32), torch.zeros(8, 8, 3, 3))  # what torch takes by itself
    before = most_mb()
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*case.size, 3), dtype=np.uint8)
    renderer = Renderer(DiffusionModel(replace(LIVE, size=case.size)), picture, PoseTokenizer.from_pretrained("live"))
    setting = Setting(case.levels, 1)
    stream = renderer.stream(levels=setting.levels, chunk=setting.chunk, scale=case.scale)
    for _ in range(setting.levels + 2):  # until the window rolls
        rows = rng.integers(0, CODEBOOK_SIZE, (setting.chunk, N_PARTS, TOKENS_PER_PART))
        stream.step(rows.astype(np.int16))
    return most_mb() - before


def most_mb() -> float:
    """The most that this process has had resident so far."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # Where there is it, for a process inherits the other figure from the one that began it.
    return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))) / 1024
