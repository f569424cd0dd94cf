"""`xdancer bench tokenizer`: milliseconds a frame on one core, frame by frame against one pass."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

FRAMES = 600
ONE_CORE = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")


def run(args: argparse.Namespace) -> dict[str, Any]:
    # A process of its own: numpy reads the number of threads when it is loaded.
    done = subprocess.run(
        [sys.executable, "-m", "engine.bench.tokenizer"],
        env=os.environ | ONE_CORE,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        from xdancer.errors import UserError

        raise UserError(f"bench tokenizer: {(done.stderr.strip() or 'it failed').splitlines()[-1]}")
    return json.loads(done.stdout)


def report(result: dict[str, Any]) -> str:
    return "\n".join(
        f"  {what}: {row['p50_ms']:.3f} ms a frame (p99 {row['p99_ms']:.3f}), in one pass {row['one_pass_ms']:.3f}"
        for what, row in result.items()
    )


def measure() -> dict[str, Any]:
    """Times of encoding, by nearest codes and by search, and decoding `FRAMES` frames: by "encode", "search" and
    "decode", milliseconds a frame."""
    import numpy as np

    from xdancer.pose.layout import CODEBOOK_SIZE, N_PARTS, TOKENS_PER_PART
    from xdancer.tokenizer import PoseTokenizer

    tokenizer = PoseTokenizer.from_pretrained("live")
    row = np.random.default_rng(0).integers(0, CODEBOOK_SIZE, (1, N_PARTS, TOKENS_PER_PART))
    pose = tokenizer.decode(np.repeat(row, FRAMES, axis=0))  # one frozen pose: time does not depend on values
    tokens = tokenizer.encode(pose)
    out = {}
    limbs, searching = tokenizer.stream(), tokenizer.stream(search=True)
    ways: list[tuple[str, Callable, Callable, np.ndarray]] = [
        ("encode", limbs.encode, tokenizer.encode, pose),
        ("search", searching.encode, partial(tokenizer.encode, search=True), pose),
        ("decode", limbs.decode, tokenizer.decode, tokens),
    ]
    for what, step, whole, items in ways:
        times = []
        for i in range(FRAMES):
            start = time.perf_counter()
            step(items[i : i + 1])
            times.append(time.perf_counter() - start)
        start = time.perf_counter()
        whole(items)
        one_pass = (time.perf_counter() - start) / FRAMES
        p50, p99 = np.percentile(times[20:], [50, 99]) * 1e3
        out[what] = {"p50_ms": float(p50), "p99_ms": float(p99), "one_pass_ms": one_pass * 1e3}
    return out


if __name__ == "__main__":
    print(json.dumps(measure()))
