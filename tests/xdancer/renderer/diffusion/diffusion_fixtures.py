"""Renderers of a few thousand numbers, whose every part still does its work."""

import numpy as np
import torch

from xdancer.pose.layout import INDEX
from xdancer.renderer.diffusion.autoencoder import AutoencoderShape
from xdancer.renderer.diffusion.model import DiffusionModel, ModelShape
from xdancer.renderer.diffusion.motion import MotionShape
from xdancer.renderer.diffusion.unet import UNetShape

TINY_UNET = {
    "latent": 4, "channels": [8, 16, 16], "layers": 1, "attention": [False, True, True], "heads": 2,
    "temporal_heads": 2, "context": 0, "groups": 4, "longest": 16,
}  # fmt: skip
TINY_MOTION = {
    "widths": [16, 8, 8], "base": [4, 2], "code": 2, "motion": 16, "heads": 2, "groups": 4, "longest": 16,
    "positions": True,
}  # fmt: skip
TINY_AUTOENCODER = {"latent": 4, "encoder": [4, 8, 8], "decoder": [4, 8, 8]}
TINY_BODY = {"widths": [8, 8, 16], "fine": 4, "edges": 4, "lift": 16, "motion": 8, "groups": 4}
TINY = {
    "size": [64, 40], "unet": TINY_UNET, "motion": TINY_MOTION, "body": TINY_BODY,
    "colouring": {"cells": 8000, "components": 4}, "autoencoder": TINY_AUTOENCODER,
}  # fmt: skip
STANDING = {
    "nose": (256, 180), "right_eye": (246, 170), "left_eye": (266, 170), "neck": (256, 250),
    "right_shoulder": (190, 255), "left_shoulder": (322, 255), "right_elbow": (170, 360), "left_elbow": (342, 360),
    "right_wrist": (165, 460), "left_wrist": (347, 460), "right_hip": (215, 470), "left_hip": (297, 470),
    "right_knee": (210, 640), "left_knee": (302, 640), "right_ankle": (208, 800), "left_ankle": (304, 800),
}  # fmt: skip


def standing_pose(without: tuple[str, ...] = (), **moved: tuple[float, float]) -> torch.Tensor:
    """(60, 3) of a person who stands before the camera, some joints elsewhere or not seen."""
    joints = np.zeros((60, 3), np.float32)
    for name, place in {**STANDING, **moved}.items():
        if name not in without:
            joints[INDEX[name]] = (*place, 1)
    return torch.from_numpy(joints)


def shaken(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The module with every parameter drawn anew, those too that begin as zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return module.eval()


def tiny_unet_shape(**changes) -> UNetShape:
    return UNetShape.from_dict({**TINY_UNET, **changes})


def tiny_motion_shape(**changes) -> MotionShape:
    return MotionShape.from_dict({**TINY_MOTION, **changes})


def tiny_autoencoder_shape() -> AutoencoderShape:
    return AutoencoderShape.from_dict(TINY_AUTOENCODER)


def tiny_model(**changes) -> DiffusionModel:
    torch.manual_seed(0)
    return shaken(DiffusionModel(ModelShape.from_dict({**TINY, **changes})))


def person(height: int = 140, width: int = 80, seed: int = 0) -> np.ndarray:
    """A picture, uint8 (height, width, 3), in which no two places are alike."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
