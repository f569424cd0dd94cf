"""A tiny tokenizer network with random weights, and smooth made-up poses."""

import numpy as np
import torch

from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, N_JOINTS
from xdancer.tokenizer.network import Shape, TokenizerNetwork

TINY = {"encoder_width": 8, "encoder_dilations": [1, 0], "decoder_width": 8, "decoder_dilations": [1, 2], "stages": 2}


def swaying(frames: int, seed: int = 0, n: int = 0) -> np.ndarray:
    """Random joints that sway: float32 (T, 60, 3), or (n, T, 60, 3)."""
    rng = np.random.default_rng(seed)
    shape = (n or 1, 1, N_JOINTS, 2)
    centre = rng.uniform(0.3, 0.7, shape) * (CANVAS_WIDTH, CANVAS_HEIGHT)
    phase = np.arange(frames)[None, :, None, None] * rng.uniform(0.05, 0.3, shape) + rng.uniform(0, 6, shape)
    place = centre + 40 * np.sin(phase)
    sure = np.broadcast_to(rng.uniform(0.3, 1.0, (n or 1, 1, N_JOINTS, 1)), (*place.shape[:-1], 1))
    pose = np.concatenate([place, sure], axis=-1).astype(np.float32)
    return pose if n else pose[0]


def tiny_network(seed: int = 0) -> TokenizerNetwork:
    torch.manual_seed(seed)
    network = TokenizerNetwork(Shape.from_dict(TINY))
    network.quantiser.codebooks.normal_(std=0.3)
    return network
