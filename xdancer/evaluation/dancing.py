"""Dances to be scored, as a live choreographer would have made them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xdancer.music.frame import MusicFrame

if TYPE_CHECKING:
    from xdancer.choreographer import Choreographer
    from xdancer.tokenizer import PoseTokenizer


def danced(
    choreographer: "Choreographer",
    tokenizer: "PoseTokenizer",
    frames: Sequence[MusicFrame],
    start: np.ndarray,
    seed: int,
    lead: int = 0,
    **settings: Any,
) -> np.ndarray:
    """Poses (T, 60, 3) to T music frames, from the pose `start` (60, 3); settings: energy, style, temperature."""
    stream = choreographer.stream(seed=seed, start=tokenizer.encode(start[None]), lead=lead)
    for name, value in settings.items():
        setattr(stream, name, value)
    return tokenizer.decode(stream.step(frames).tokens)[: len(frames)]
