"""Frames a second of the choreographer on one core, beside a GPT-2 of its size that `generate`s 30 tokens a frame."""

import argparse
import time
from typing import Any

import numpy as np

FRAMES = 240
PEER_FRAMES = 6


def run(args: argparse.Namespace) -> dict[str, Any]:
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from xdancer import weights
    from xdancer.choreographer import Choreographer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            model = Choreographer.from_pretrained("live")
            arrays, _ = weights.load_arrays(weights.find("choreographer", "live"))
            parameters = sum(array.size for array in arrays.values())
            ours, peer = _ours(model), _peer(parameters)
    finally:
        torch.set_num_threads(threads)
    return {"frames": FRAMES, "parameters": parameters, **ours, "peer": peer, "ratio": ours["fps"] / peer["fps"],
            "realtime": ours["fps"] / 30}  # fmt: skip


def report(result: dict[str, Any]) -> str:
    peer = result["peer"]
    return (
        f"{'':>16}{'fps':>9}{'p50 ms':>9}{'p99 ms':>9}"
        f"   processor time of one core, {result['parameters'] / 1e6:.1f} M parameters\n"
        f"{'choreographer':>16}{result['fps']:>9.1f}{result['p50_ms']:>9.2f}{result['p99_ms']:>9.2f}"
        f"   {result['realtime']:.1f}x real time\n"
        f"{'GPT-2 generate':>16}{peer['fps']:>9.2f}{1000 / peer['fps']:>9.1f}{'':>9}"
        f"   {peer['parameters'] / 1e6:.1f} M; ours is {result['ratio']:.1f}x as fast"
    )


def _ours(model: Any) -> dict[str, float]:
    """Frame by frame to made-up music, after three seconds; what others on the machine take counts not."""
    from xdancer.music.features import N_FEATURES
    from xdancer.music.frame import BeatState, MusicFrame

    rng = np.random.default_rng(0)
    stream = model.stream(seed=1)
    spent = []
    for n in range(FRAMES + 90):
        beat = BeatState(tempo=120.0, beat_phase=n / 15 % 1, bar_phase=n / 60 % 1, confidence=0.9)
        frame = MusicFrame(n, rng.random(N_FEATURES, dtype=np.float32), beat)
        start = time.process_time()
        stream.step([frame])
        spent.append(1e3 * (time.process_time() - start))
    spent = spent[90:]
    return {
        "fps": 1000 / float(np.mean(spent)),
        "p50_ms": float(np.percentile(spent, 50)),
        "p99_ms": float(np.percentile(spent, 99)),
    }


def _peer(parameters: int) -> dict[str, float]:
    """transformers' GPT-2, fp32, its own key-value cache, as many parameters or slightly fewer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    width = 256
    layers = max(round((parameters - width * (512 + 1024)) / (12 * width * width)), 1)
    config = GPT2Config(vocab_size=512, n_positions=1024, n_embd=width, n_layer=layers, n_head=8,
                        bos_token_id=None, eos_token_id=None, pad_token_id=0)  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    prompt = torch.randint(0, 512, (1, 30))
    with torch.inference_mode():
        model.generate(prompt, max_new_tokens=30, do_sample=True, top_k=0)
        start = time.process_time()
        model.generate(prompt, max_new_tokens=30 * PEER_FRAMES, do_sample=True, top_k=0)
        spent = time.process_time() - start
    return {"fps": PEER_FRAMES / spent, "parameters": float(model.num_parameters())}
