import numpy as np
import argparse
from typing import Any
from xdancer.pose.layout import PARTS
CERTAIN = 0.3
GROUPS = {"whole": tuple(range(60)), "upper": PARTS[0].joints, "lower": PARTS[1].joints, "head": PARTS[2].joints,
          "hands": PARTS[3].joints + PARTS[4].joints}

def joint_error(true: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """Mean of |dx| and |dy|, px, over joints with true confidence >= 0.3: whole, upper, lower, head, hands.

    Poses (..., 60, 3); a joint that the made pose does not show counts as lying at its zeros.
    """
    wrong = np.abs(true[..., :2] - made[..., :2]).mean(-1)
    certain = true[..., 2] >= CERTAIN
    return {name: float(wrong[..., j][certain[..., j]].mean()) if certain[..., j].any() else 0.0 for name, j in GROUPS.items()}
