"""Did tuning to a style bring the dancer nearer to it, and what did that cost?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdancer.errors import UserError
from xdancer.evaluation import features, frechet
from xdancer.evaluation.alignment import DIRECTIONS
from xdancer.evaluation.comparison import figures
from xdancer.evaluation.dances import Dance, Song
from xdancer.evaluation.handles import described, windows_by_style
from xdancer.evaluation.scores import goal

if TYPE_CHECKING:
    from xdancer.choreographer import Choreographer
    from xdancer.tokenizer import PoseTokenizer

RESAMPLES = 200
KEPT = 0.9  # share of the base's alignment that the tuned one must keep
_FIRST = 3 * len(features.KINETIC)
COLUMNS = {"kinetic": slice(0, _FIRST), "geometric": slice(_FIRST, None)}  # of what `described` returns


def toward(
    tuned: "Choreographer", base: "Choreographer", tokenizer: "PoseTokenizer", corpus: Path, style: str,
    dances: list[Dance], songs: dict[str, Song], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Fréchet distances of what both dance to the same held-out songs, without being told a style, to the training
    windows of that style, which it was tuned to, and to the held-out ones, which nobody has seen; and what the tuned
    one keeps of the base's alignment.

    Raises UserError on an unknown style.
    """
    from xdancer.evaluation.choreographer import dance_all

    known = {"": windows_by_style(corpus), "_held_out": windows_by_style(corpus, "val")}
    if style not in known[""]:
        raise UserError(f"--toward {style}: no window of it; there are {', '.join(sorted(known['']))}")
    rows = {"base": dance_all(base, tokenizer, dances, songs, seed, 0),
            "tuned": dance_all(tuned, tokenizer, dances, songs, seed, 0)}  # fmt: skip
    found = figures({"truth": [dance.view() for dance in dances]} | rows, dances, songs)
    scale = frechet.Scale.of(np.concatenate(list(known[""].values())))
    made = {name: [scale(described(pose)) for pose in poses] for name, poses in rows.items()}
    goals = []
    for kind, columns in COLUMNS.items():
        parts = {name: [windows[:, columns] for windows in motions] for name, motions in made.items()}
        for split, by_style in known.items():
            if style not in by_style:
                continue
            nearness = compared(scale(by_style[style])[:, columns], parts["base"], parts["tuned"], seed)
            for name in rows:
                found[name][kind + split] = nearness[name]
            found["tuned"][f"{kind}{split}_gain"] = nearness["gain"]
        share = found["tuned"][kind] / max(found["base"][kind], 1e-9)
        goals.append(goal(f"{kind} distance to {style} less than the base's, as a share of it", share, high=1.0))
    for direction in DIRECTIONS:
        kept = found["tuned"][f"{direction}_excess"] / max(found["base"][f"{direction}_excess"], 1e-9)
        goals.append(goal(f"beat {direction} at least {KEPT:g} of the base's", kept, low=KEPT))
    windows = {"train" if not split else "held_out": len(each.get(style, ())) for split, each in known.items()}
    return {"songs": len(dances), "seed": seed, "toward": style, "windows": windows, "rows": found, "goals": goals}


def compared(real: np.ndarray, base: list[np.ndarray], tuned: list[np.ndarray], seed: int) -> dict[str, Any]:
    """Fréchet distances of two sets of motions, by motion features (W, D), to the real ones (N, D); `gain`: 95 % of
    how much less the tuned one's is, motions of the same songs drawn together."""
    target = frechet.gaussian(real)

    def distance(motions: list[np.ndarray]) -> float:
        return frechet.frechet(target, frechet.gaussian(np.concatenate(motions)))

    rng = np.random.default_rng(seed)
    gains = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(base), size=len(base))
        gains.append(distance([base[k] for k in drawn]) - distance([tuned[k] for k in drawn]))
    return {
        "base": distance(base),
        "tuned": distance(tuned),
        "gain": [float(v) for v in np.percentile(gains, (2.5, 97.5))],
    }
