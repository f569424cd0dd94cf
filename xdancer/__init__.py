"""X-Dancer's models as a library: music in, pose tokens out, and pictures of them."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xdancer.choreographer import Choreographer
    from xdancer.music import MusicAnalyzer
    from xdancer.renderer import Renderer, SkeletonRenderer
    from xdancer.tokenizer import PoseTokenizer

__all__ = ["Choreographer", "MusicAnalyzer", "PoseTokenizer", "Renderer", "SkeletonRenderer"]
__version__ = "0.1.0"

_HOMES = {
    "Choreographer": "xdancer.choreographer",
    "MusicAnalyzer": "xdancer.music",
    "PoseTokenizer": "xdancer.tokenizer",
    "Renderer": "xdancer.renderer",
    "SkeletonRenderer": "xdancer.renderer",
}


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: the stage imports xdancer without torch.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'xdancer' has no attribute {name!r}")
