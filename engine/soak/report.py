"""What a soak says at its end: each promise beside what was measured."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Check:
    """A promise: `value` is at most `most` (None: only told). `speed`: it depends on how busy the machine is."""

    what: str
    value: float
    most: float | None
    unit: str = ""
    speed: bool = False

    @property
    def held(self) -> bool:
        return self.most is None or self.value <= self.most


def summary(checks: Sequence[Check], facts: dict[str, Any]) -> dict[str, Any]:
    """For machines: `held` all, `held_but_for_speed` those that a busy machine cannot spoil."""
    return {
        **facts,
        "checks": [{**asdict(check), "held": check.held} for check in checks],
        "held": all(check.held for check in checks),
        "held_but_for_speed": all(check.held for check in checks if not check.speed),
    }


def text(result: dict[str, Any]) -> str:
    """For people."""
    lines = []
    for check in result["checks"]:
        goal = "" if check["most"] is None else f"at most {check['most']:g}"
        mark = "ok    " if check["held"] else "MISSED"
        lines.append(f"{mark} {check['what']:<52} {check['value']:>10.4g} {check['unit']:<7} {goal}")
    return "\n".join(lines)


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Of the line through the points that fits best (least squares); 0 where there are too few."""
    if len(times) < 3 or np.ptp(times) == 0:
        return 0.0
    return float(np.polyfit(np.asarray(times) - times[0], values, 1)[0])


def longest(owners: Sequence[object]) -> slice:
    """The longest run of one and the same owner: where a process was replaced, the one that lived longest."""
    best, first = slice(0, 0), 0
    for k in range(1, len(owners) + 1):
        if k == len(owners) or owners[k] != owners[first]:
            if k - first > best.stop - best.start:
                best = slice(first, k)
            first = k
    return best


def order(frames: Sequence[int]) -> int:
    """How many of these frame numbers are not greater than the one before."""
    return sum(b <= a for a, b in zip(frames, frames[1:], strict=False))


def missing(arrivals: Sequence[tuple[float, int]], excused: Iterable[tuple[float, float]]) -> int:
    """Frames that never came. arrivals: (time, frame) in order; holes that touch an excused span of time are not
    counted."""
    spans, lost = list(excused), 0
    for (before, a), (after, b) in zip(arrivals, arrivals[1:], strict=False):
        if b > a + 1 and not any(first <= after and before <= last for first, last in spans):
            lost += b - a - 1
    return lost


def silence(times: Sequence[float], since: float, until: float) -> float:
    """The longest time between two of these times that touches since .. until, or until then where none follows."""
    times = [since, until] if not times else [*times, until] if times[-1] < until else times
    pairs = zip(times, times[1:], strict=False)
    return max((b - a for a, b in pairs if b >= since and a <= until), default=0.0)
