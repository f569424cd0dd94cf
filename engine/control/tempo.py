"""What buttons do to the beat that is danced to: steps from where the parameters are."""

from collections.abc import Mapping
from typing import Any

from engine.params import SCALES

NUDGE = 10.0  # ms a step
MOST_NUDGE = 1000.0  # ms
STEPS = ("double", "halve", "earlier", "later")


def step(name: str, params: Mapping[str, Any]) -> tuple[str, float]:
    """The parameter that a step of STEPS changes, and its new value, within its bounds."""
    if name in ("double", "halve"):
        place = SCALES.index(params["tempo_scale"]) + (1 if name == "double" else -1)
        return "tempo_scale", SCALES[min(max(place, 0), len(SCALES) - 1)]
    nudge = params["nudge_ms"] + (NUDGE if name == "later" else -NUDGE)
    return "nudge_ms", min(max(nudge, -MOST_NUDGE), MOST_NUDGE)
