"""Frames a second of the choreographer on one core, beside other ways to run its weights and a GPT-2 of its size that
`generate`s 30 tokens a frame."""

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

FRAMES = 240
WARM = 90
JUDGED = 120  # frames of which the tokens are compared
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
            ours, peer = _timed(model), _peer(parameters)
            others = _others(model)
    finally:
        torch.set_num_threads(threads)
    return {"frames": FRAMES, "parameters": parameters, **ours, "peer": peer, "ratio": ours["fps"] / peer["fps"],
            "realtime": ours["fps"] / 30, "others": others}  # fmt: skip


def report(result: dict[str, Any]) -> str:
    peer = result["peer"]
    others = "".join(
        f"{name:>16}{row['fps']:>9.1f}{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}"
        f"   likeliest tokens that agree {row['agree']:.2%}, surprised by {row['bits']:+.3f} bits a frame\n"
        for name, row in result["others"].items()
    )
    return (
        f"{'':>16}{'fps':>9}{'p50 ms':>9}{'p99 ms':>9}"
        f"   processor time of one core, {result['parameters'] / 1e6:.1f} M parameters\n"
        f"{'choreographer':>16}{result['fps']:>9.1f}{result['p50_ms']:>9.2f}{result['p99_ms']:>9.2f}"
        f"   {result['realtime']:.1f}x real time\n"
        f"{others}"
        f"{'GPT-2 generate':>16}{peer['fps']:>9.2f}{1000 / peer['fps']:>9.1f}{'':>9}"
        f"   {peer['parameters'] / 1e6:.1f} M; ours is {result['ratio']:.1f}x as fast"
    )


def _music(frames: int) -> Iterator[Any]:
    """Made-up music at 120 BPM."""
    from xdancer.music.features import N_FEATURES
    from xdancer.music.frame import BeatState, MusicFrame

    rng = np.random.default_rng(0)
    for n in range(frames):
        beat = BeatState(tempo=120.0, beat_phase=n / 15 % 1, bar_phase=n / 60 % 1, confidence=0.9)
        yield MusicFrame(n, rng.random(N_FEATURES, dtype=np.float32), beat)


def _timed(model: Any) -> dict[str, float]:
    """Frame by frame to made-up music, after three seconds; what others on the machine take counts not."""
    stream = model.stream(seed=1)
    spent = []
    for frame in _music(FRAMES + WARM):
        start = time.process_time()
        stream.step([frame])
        spent.append(1e3 * (time.process_time() - start))
    spent = spent[WARM:]
    return {
        "fps": 1000 / float(np.mean(spent)),
        "p50_ms": float(np.percentile(spent, 50)),
        "p99_ms": float(np.percentile(spent, 99)),
    }


def _others(model: Any) -> dict[str, dict[str, float]]:
    """Speed of the other ways, and what each makes of the dance that the shipped one dances: the share of likeliest
    tokens that are the same, and how many bits a frame more it is surprised by the tokens chosen."""
    from engine.bench.candidates import candidates

    shipped = model.runtime
    ours = _followed(model, shipped, None)
    found = {}
    for name, candidate in candidates(shipped).items():
        model.runtime = _Instead(shipped, candidate)
        try:
            theirs = _followed(model, model.runtime, ours["tokens"])
            found[name] = {
                **_timed(model),
                "agree": float((theirs["best"] == ours["best"]).mean()),
                "bits": float(theirs["surprise"] - ours["surprise"]) / JUDGED,
            }
        finally:
            model.runtime = shipped
    return found


class _Instead:
    """A runtime of which frames and tokens are run by another."""

    def __init__(self, runtime: Any, other: Any) -> None:
        self._runtime = runtime
        self.caches, self.frame, self.tokens = other.caches, other.frame, other.tokens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)


def _followed(model: Any, runtime: Any, tokens: np.ndarray | None) -> dict[str, Any]:
    """JUDGED frames danced, or danced after the `tokens` (JUDGED, 30) whatever seems likeliest: these tokens, the
    likeliest ones, and the bits of surprise at those danced."""
    stream, choose = model.stream(seed=1), runtime.tokens
    danced: list[np.ndarray] = []
    best: list[int] = []
    surprise = 0.0

    def follow(h: np.ndarray, aim: np.ndarray, last: np.ndarray, pick: Any) -> np.ndarray:
        def spy(slot: int, logits: np.ndarray) -> int:
            nonlocal surprise
            token = pick(slot, logits) if tokens is None else int(tokens[len(danced), slot])
            best.append(int(logits.argmax()))
            odds = logits.astype(np.float64) - logits.max()
            surprise += float(np.log(np.exp(odds).sum()) - odds[token]) / np.log(2)
            return token

        danced.append(choose(h, aim, last, spy))
        return danced[-1]

    runtime.tokens = follow
    try:
        stream.step(list(_music(JUDGED)))
    finally:
        runtime.tokens = choose
    return {"tokens": np.stack(danced), "best": np.array(best), "surprise": surprise}


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
