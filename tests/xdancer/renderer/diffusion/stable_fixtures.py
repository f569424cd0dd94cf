"""A Stable Diffusion 1.5 folder at tiny widths, as diffusers writes one."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusion_fixtures import shaken, tiny_motion_shape
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from xdancer.renderer.diffusion.unet import UNetShape

SIZES = {
    "block_out_channels": (32, 64), "layers_per_block": 1, "cross_attention_dim": 12, "attention_head_dim": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip
SHAPE = UNetShape(channels=(32, 64), layers=1, attention=(True, False), context=12)
MOTION = tiny_motion_shape(widths=[8, 8])


def write_parts(folder: Path) -> None:
    """An autoencoder and an image encoder."""
    kl = AutoencoderKL(
        block_out_channels=(4, 4, 4, 4), norm_num_groups=2, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    kl.save_pretrained(folder / "vae")
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, patch_size=56,
        projection_dim=12,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "image_encoder")


def write_stable(folder: Path) -> Path:
    torch.manual_seed(0)
    shaken(UNet2DConditionModel(**SIZES)).save_pretrained(folder / "unet")
    write_parts(folder)
    return folder
