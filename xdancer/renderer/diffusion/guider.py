"""The paper's baseline: a drawn skeleton, brought to the latents' resolution and added to what enters the UNet.

Named and shaped as the PoseGuider of Animate Anyone (arXiv 2311.17117, section 3.2) in public weights.
"""

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.pose.layout import BODY_BONES, CANVAS_HEIGHT, CANVAS_WIDTH, HAND_BONES, SEEN

REACH = 8  # picture pixels to a latent
# OpenPose's colours, RGB: red to violet along the body.
COLOURS = (
    (153, 0, 0), (153, 51, 0), (153, 102, 0), (153, 153, 0), (102, 153, 0), (51, 153, 0), (0, 153, 0), (0, 153, 51),
    (0, 153, 102), (0, 153, 153), (0, 102, 153), (0, 51, 153), (0, 0, 153), (51, 0, 153), (102, 0, 153), (153, 0, 153),
    (153, 0, 102),
)  # fmt: skip


class PoseGuider(nn.Module):
    """Skeleton pictures (N, 3, 8 H, 8 W) in [0, 1] to maps (N, out, H, W); at first the maps are zero."""

    def __init__(self, out: int, widths: tuple[int, ...] = (16, 32, 96, 256)) -> None:
        super().__init__()
        if len(widths) != 4:
            raise ValueError(f"a pose guider has 4 widths, not {len(widths)}: it halves the picture three times")
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for here, there in zip(widths, widths[1:], strict=False):
            self.blocks.append(nn.Conv2d(here, here, 3, padding=1))
            self.blocks.append(nn.Conv2d(here, there, 3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(widths[-1], out, 3, padding=1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, skeletons: Tensor) -> Tensor:
        x = F.silu(self.conv_in(skeletons))
        for block in self.blocks:
            x = F.silu(block(x))
        return self.conv_out(x)


def skeletons(poses: np.ndarray, height: int, width: int) -> Tensor:
    """Poses (T, 60, 3) on the canvas drawn as OpenPose draws them: (T, 3, height, width) in [0, 1], black behind."""
    out = np.zeros((len(poses), height, width, 3), dtype=np.uint8)
    scale = np.array([width / CANVAS_WIDTH, height / CANVAS_HEIGHT])
    thick = max(round(6 * scale[1]), 1)
    for picture, pose in zip(out, poses, strict=True):
        places = np.round(np.clip(pose[:, :2], -4096, 4096) * scale * 8).astype(int)
        for index, (a, b) in enumerate((*BODY_BONES, *HAND_BONES)):
            if min(pose[a, 2], pose[b, 2]) < SEEN:
                continue
            body = index < len(BODY_BONES)
            colour = COLOURS[index] if body else tuple(int(255 * c) for c in _hue((index - len(BODY_BONES)) % 20 / 20))
            width_px = thick if body else max(thick // 3, 1)
            cv2.line(picture, places[a].tolist(), places[b].tolist(), colour, width_px, cv2.LINE_AA, shift=3)
    return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255


def _hue(share: float) -> tuple[float, float, float]:
    """The colour (0..1, RGB) at `share` of the way round the colour circle."""
    red, green, blue = (abs((share * 6 + shift) % 6 - 3) - 1 for shift in (0, 4, 2))
    return min(max(red, 0.0), 1.0), min(max(green, 0.0), 1.0), min(max(blue, 0.0), 1.0)
