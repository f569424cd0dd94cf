"""The diffusion renderer of the live size on one core: processor time a new frame by the rolling window, and as the
painter draws it in one pass and four times the size, beside diffusers' own UNet of the same widths that takes the four
steps of the window on one frame after the other, without a reference, motion or temporal modules. Weights are random:
their values cost nothing. And the memory that it takes, by resolution."""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.bench import memory

PASSES = 10
PARTS = ("unet", "reference", "motion", "body", "autoencoder")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from engine.painter.pace import Setting
    from xdancer.evaluation.lasting import danced
    from xdancer.renderer.diffusion import Renderer
    from xdancer.renderer.diffusion.model import LIVE, DiffusionModel
    from xdancer.renderer.diffusion.schedules import LEVELS, WINDOW
    from xdancer.tokenizer import PoseTokenizer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = DiffusionModel(LIVE)
        rng = np.random.default_rng(0)
        picture = rng.integers(0, 256, (*LIVE.size, 3), dtype=np.uint8)
        renderer = Renderer(model, picture, PoseTokenizer.from_pretrained("live"))
        dance, _ = danced(renderer.tokenizer, 0)  # what a hand costs depends on how large it is

        def measured(levels: int, chunk: int, scale: int) -> float:
            stream = renderer.stream(levels=levels, chunk=chunk, scale=scale)
            rows = iter(dance)

            def draw() -> None:
                stream.step(np.stack([next(rows) for _ in range(chunk)]))

            for _ in range(LEVELS + 2):  # until the window rolls
                draw()
            return _milliseconds(draw) / chunk

        ours = measured(LEVELS, WINDOW // LEVELS, 1)
        renderer.hurry()
        once = Setting(1, 1)
        quick = measured(once.levels, once.chunk, renderer.scales[-1])
        peer = _milliseconds(_plain(LIVE)) * LEVELS
    finally:
        torch.set_num_threads(threads)
    sizes = {name: sum(p.numel() for p in getattr(model, name).parameters()) for name in PARTS}
    return {"size": list(LIVE.size), "ours_ms": ours, "frames_per_core_second": 1e3 / ours, "one_pass_ms": quick,
            "diffusers_unet_ms": peer, "parameters": sizes, "memory": memory.measured()}  # fmt: skip


def report(result: dict[str, Any]) -> str:
    height, width = result["size"]
    sizes = ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in result["parameters"].items())
    return (
        f"{height} x {width}: {result['ours_ms']:.0f} ms of one core a new frame "
        f"({result['frames_per_core_second']:.1f} frames per core and second), pictures decoded\n"
        f"in one pass, four times the size, as the painter draws: {result['one_pass_ms']:.0f} ms\n"
        f"diffusers' UNet alone, frame by frame: {result['diffusers_unet_ms']:.0f} ms\n{sizes}\n"
        + "\n".join(memory.lines(result["memory"]))
    )


def _plain(shape: Any) -> Callable[[], None]:
    """One step of diffusers' UNet of the same widths on one frame."""
    import torch
    from diffusers import UNet2DConditionModel

    unet = shape.unet
    down = ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in unet.attention]
    up = ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(unet.attention)]
    net: Any = UNet2DConditionModel(
        in_channels=unet.latent, out_channels=unet.latent, block_out_channels=unet.channels, down_block_types=down,
        up_block_types=up, layers_per_block=unet.layers, attention_head_dim=unet.heads, norm_num_groups=unet.groups,
        cross_attention_dim=8,
    )  # fmt: skip
    net.eval()
    latents, context = torch.randn(1, unet.latent, *(side // 8 for side in shape.size)), torch.zeros(1, 1, 8)

    def step() -> None:
        with torch.no_grad():
            net(latents, 500, context)

    return step


def _milliseconds(work: Callable[[], None]) -> float:
    """Median processor time: what others on the machine take does not count."""
    work()
    spent = []
    for _ in range(PASSES):
        started = time.process_time()
        work()
        spent.append(1e3 * (time.process_time() - started))
    return float(np.median(spent))
