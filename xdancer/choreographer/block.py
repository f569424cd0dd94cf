"""The choreographer's output."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class TokenBlock:
    """Token rows of frames first .. first + k - 1: `tokens` is int16 (k, 5, 6); k may be 0."""

    first: int
    tokens: np.ndarray
