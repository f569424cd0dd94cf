"""Pose to picture."""

import importlib
from typing import TYPE_CHECKING, Any

from xdancer.renderer.skeleton import SkeletonRenderer, SkeletonStream

if TYPE_CHECKING:
    from xdancer.renderer.diffusion import Renderer

__all__ = ["Renderer", "SkeletonRenderer", "SkeletonStream"]


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: drawing skeletons needs no torch.
    if name == "Renderer":
        return importlib.import_module("xdancer.renderer.diffusion").Renderer
    raise AttributeError(f"module 'xdancer.renderer' has no attribute {name!r}")
