"""The figures of one motion against its music, and of rows of motions against each other."""

from typing import Any

import numpy as np

from xdancer.evaluation import motion
from xdancer.evaluation.alignment import DIRECTIONS, alignment, motion_beats, original
from xdancer.music.frame import FPS

RATES = (30, 60)  # frames a second at which the published formula is also given
TO_TRUTH = ("jerk", "sliding")  # given as a ratio to the truth's as well
ENOUGH_EXCESS, MOST_HALVES, JERKS = 0.7, 3.0, (0.8, 1.25)  # the goals of the live model


def score(
    pose: np.ndarray, beats: np.ndarray, others: list[np.ndarray], idle: np.ndarray | None = None, seed: int = 0,
    lively: np.ndarray | None = None,
) -> dict[str, float]:  # fmt: skip
    """Figures of one motion (T, 60, 3) against the music's beats (B,) s and how `lively` (B,) it is at each. Beats
    where the truth waits (`idle` (T,)) do not count, nor do motion beats there; chance is worked out in the same way.
    NaN: not to be told."""
    seconds = len(pose) / FPS
    waits = np.zeros(len(pose), bool) if idle is None else np.resize(idle, len(pose))

    def danced(times: np.ndarray) -> np.ndarray:
        times = times[times < seconds]
        return times[~waits[np.clip((times * FPS).astype(int), 0, len(pose) - 1)]]

    bar = 4 * float(np.median(np.diff(beats))) if len(beats) > 1 else 2.0
    found = alignment(danced(motion_beats(pose)), beats, [*others], bar, seconds, seed, danced)
    out = {}
    for k, direction in enumerate(DIRECTIONS):
        out[direction] = float(found["score"][k])
        out[f"{direction}_chance"] = float(found["chance"][k])
    for rate in RATES:
        by_music, by_motion = original(pose, beats, rate)
        out |= {f"bailando_{rate}fps": float(by_music), f"aist_{rate}fps": float(by_motion)}
    if lively is not None and len(beats):
        out["follows"] = motion.follows(pose, np.interp((np.arange(len(pose)) + 0.5) / FPS, beats, lively))
    moving = pose if idle is None or waits.all() else pose[~waits]
    return out | {
        "beat_ratio": float(found["beat_ratio"]),
        "energy": motion.energy(pose),
        "jerk": motion.jerk(pose),
        "frozen": motion.frozen(moving),
        "sliding": motion.sliding(pose),
        "unseen": motion.unseen(pose),
        "off_canvas": motion.off_canvas(pose),
        "exits": motion.exits(pose),
    }


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the motions in which it can be told; left out where that is none."""
    out = {}
    for key in rows[0]:
        told = [row[key] for row in rows if not np.isnan(row[key])]
        if told:
            out[key] = float(np.mean(told))
    return out


def against_truth(rows: dict[str, dict[str, Any]]) -> None:
    """Add to each row what it has of the row "truth": excess alignment over chance as a share, and ratios."""
    truth = rows["truth"]
    for row in rows.values():
        for direction in DIRECTIONS:
            true = truth[direction] - truth[f"{direction}_chance"]
            row[f"{direction}_excess"] = (row[direction] - row[f"{direction}_chance"]) / true if true > 1e-6 else 0.0
        for key in TO_TRUTH:
            if key in row and key in truth:
                row[f"{key}_ratio"] = row[key] / max(truth[key], 1e-9)


def goals(row: dict[str, Any], graphs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The goals of the live model and whether a row meets them; `graphs`: the rows of motion graphs, by name."""
    out = [goal(f"{d} at least {ENOUGH_EXCESS} of the truth's", row[f"{d}_excess"], low=ENOUGH_EXCESS)
           for d in DIRECTIONS]  # fmt: skip
    for kind in ("kinetic", "geometric"):
        if kind in row:
            name = f"{kind} distance at most {MOST_HALVES:g} x that of the truth's halves"
            out.append(goal(name, row[kind]["halves"], high=MOST_HALVES))
    out.append(goal(f"jerk {JERKS[0]} to {JERKS[1]} of the truth's", row["jerk_ratio"], *JERKS))
    for name, graph in graphs.items():
        if "novelty" in row and "novelty" in graph:
            out.append(goal(f"newer than the {name}", row["novelty"], low=graph["novelty"]))
            worst = min(row[d] - row[f"{d}_chance"] - graph[d] + graph[f"{d}_chance"] for d in DIRECTIONS)
            out.append(goal(f"at no loss of alignment to the {name}", worst, low=0.0))
    return out


def goal(name: str, value: float, low: float = -np.inf, high: float = np.inf) -> dict[str, Any]:
    """A goal, what was measured, and whether that lies within it."""
    return {"goal": name, "value": float(value), "met": bool(low <= value <= high)}
