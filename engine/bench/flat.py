"""Tokens a second of the paper's flat model, beside transformers' own `generate` on the same weights."""

import argparse
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from xdancer.choreographer.flat import layout
from xdancer.pose.layout import CODEBOOK_SIZE, TOKENS_PER_FRAME

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel

    from xdancer.choreographer.flat.decoder import Decoder
    from xdancer.choreographer.flat.network import FlatNetwork

FRAMES = 3  # that are timed: on a CPU a frame of GPT-2 small takes seconds
ON_GPU = 52  # a whole segment


def run(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return measure(args.device, args.flat)
    finally:
        torch.set_num_threads(threads)


def measure(device: str = "cpu", weights: str | None = None) -> dict[str, Any]:
    """All decoders in one run, each after the same 12 frames, as at the beginning of a segment."""
    from xdancer.choreographer.flat.decoder import Decoder, Precision

    network, name = _network(weights)
    rng = np.random.default_rng(0)
    size = network.shape.inputs
    context, rows = rng.integers(0, CODEBOOK_SIZE, (2, layout.OVERLAP, TOKENS_PER_FRAME))
    heard = np.zeros((layout.MUSIC, size), np.float32)
    told = np.zeros((layout.OVERLAP, size), np.float32)
    known = (heard, context[: layout.CONTEXT], told, rows)
    frames = FRAMES if device == "cpu" else ON_GPU
    plain = Decoder(network, "fp32", device)
    tokens, fps = _timed(plain, known, frames)
    peer = _generate(network, known, frames, device)
    precisions: list[Precision] = ["bf16", "int8"] if device == "cpu" else ["bf16"]
    others: dict[str, Any] = {}
    for precision in precisions:
        decoder = Decoder(network, precision, device)
        others[precision] = {
            "tokens_a_second": _timed(decoder, known, frames)[1],
            "agree": _agree(decoder, known, tokens),
        }
    return {
        "name": name, "device": device, "parameters": sum(p.numel() for p in network.parameters()), "frames": frames,
        "tokens_a_second": fps, "generate": peer, "ratio": fps / peer, **others,
    }  # fmt: skip


def _network(weights: str | None) -> "tuple[FlatNetwork, str]":
    """Trained weights of the paper's kind, or GPT-2 small's shape, untrained: as fast, and of no opinion."""
    import torch

    from xdancer.choreographer import Choreographer, inputs
    from xdancer.choreographer.flat.network import FlatNetwork, Shape
    from xdancer.errors import UserError

    if weights is None:
        torch.manual_seed(0)
        return FlatNetwork(Shape(inputs=inputs.n_outside(7))), "GPT-2 small, untrained"
    model = Choreographer.from_pretrained(weights)
    if not model.flat:
        raise UserError(f"--flat: {weights} is not a choreographer of the paper's kind")
    return model.runtime.network, model.name


def _timed(decoder: "Decoder", known: tuple[np.ndarray, ...], frames: int) -> tuple[np.ndarray, float]:
    """The likeliest tokens (frames, 30), and how many a second of one core (on a GPU: of the clock)."""
    clock = time.process_time if decoder.device == "cpu" else time.perf_counter
    told = np.zeros(decoder.shape.inputs, np.float32)
    segment = decoder.begin(*known)
    decoder.frame(segment, told, likeliest)  # warm
    segment = decoder.begin(*known)
    start = clock()
    rows = np.stack([decoder.frame(segment, told, likeliest) for _ in range(frames)])
    return rows, rows.size / (clock() - start)


def likeliest(slot: int, logits: np.ndarray) -> int:
    return int(logits.argmax())


def _agree(decoder: "Decoder", known: tuple[np.ndarray, ...], tokens: np.ndarray) -> float:
    """Share of the tokens (n, 30) that this decoder would have chosen too, each after the same past."""
    segment, chosen = decoder.begin(*known), []
    for row in tokens:

        def follow(slot: int, logits: np.ndarray, row: np.ndarray = row) -> int:
            chosen.append(int(logits.argmax()))
            return int(row[slot])

        decoder.frame(segment, np.zeros(decoder.shape.inputs, np.float32), follow)
    return float((np.array(chosen) == tokens.reshape(-1)).mean())


def _generate(network: "FlatNetwork", known: tuple[np.ndarray, ...], frames: int, device: str) -> float:
    """Tokens a second of transformers: greedy, fp32, its own cache; the first pass over what is known not counted."""
    import torch

    peer: Any = as_transformers(network)
    peer.to(device)
    prompt = as_prompt(network, known)
    mask = torch.ones(prompt.shape[:2], device=device)
    clock = time.process_time if device == "cpu" else time.perf_counter
    spent = []
    with torch.inference_mode():
        for count in (1, 1 + frames * TOKENS_PER_FRAME):
            start = clock()
            peer.generate(
                inputs_embeds=prompt, attention_mask=mask, min_new_tokens=count, max_new_tokens=count, do_sample=False
            )
            if device != "cpu":
                torch.cuda.synchronize()
            spent.append(clock() - start)
    return frames * TOKENS_PER_FRAME / (spent[1] - spent[0])


def as_prompt(network: "FlatNetwork", known: tuple[np.ndarray, ...]) -> "torch.Tensor":
    """What is known of a segment, without music, as transformers' `inputs_embeds`: it adds the positions itself."""
    import torch

    _, context, _, rows = known
    names = torch.from_numpy(layout.names(np.concatenate([context, rows])).reshape(1, -1)).to(network.wte.weight.device)
    start = network.heard.bias.expand(1, layout.MUSIC, -1)
    return torch.cat([start, network.wte(names)], dim=1).detach()


def as_transformers(network: "FlatNetwork") -> "GPT2LMHeadModel":
    """The same weights as transformers' GPT-2, without what is told of the music."""
    from transformers import GPT2Config, GPT2LMHeadModel

    from xdancer.choreographer.flat.network import GPT2_NAMES

    shape = network.shape
    config = GPT2Config(
        vocab_size=layout.VOCABULARY, n_positions=layout.LENGTH, n_embd=shape.width, n_layer=shape.layers,
        n_head=shape.heads, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    peer = GPT2LMHeadModel(config).eval()
    own = network.state_dict()
    state = {f"transformer.{name}": own[name] for name in ("wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias")}
    for i in range(shape.layers):
        for ours, theirs in GPT2_NAMES:
            tensor = own[f"blocks.{i}.{ours}"]
            state[f"transformer.h.{i}.{theirs}"] = tensor.T if tensor.ndim == 2 else tensor
    peer.load_state_dict(state | {"lm_head.weight": own["wte.weight"]})
    return peer


def report(result: dict[str, Any]) -> str:
    of = "processor time of one core" if result["device"] == "cpu" else "clock"
    lines = [
        f"{result['name']}, {result['parameters'] / 1e6:.1f} M weights, {result['device']}; {of}",
        f"{'':>22}{'tokens/s':>10}{'ratio':>8}{'agree':>8}",
        f"{'transformers generate':>22}{result['generate']:>10.1f}{1.0:>8.2f}",
        f"{'ours, fp32':>22}{result['tokens_a_second']:>10.1f}{result['ratio']:>8.2f}",
    ]
    for precision in ("bf16", "int8"):
        if precision in result:
            row = result[precision]
            ratio = row["tokens_a_second"] / result["generate"]
            lines.append(f"{'ours, ' + precision:>22}{row['tokens_a_second']:>10.1f}{ratio:>8.2f}{row['agree']:>8.0%}")
    lines.append(f"a dance takes {30 * TOKENS_PER_FRAME} tokens a second")
    return "\n".join(lines)
