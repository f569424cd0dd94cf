"""Do the handles of a choreographer do something? Each is swept, and what should follow it is measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdancer.evaluation import features, frechet, motion
from xdancer.evaluation.alignment import BODY, torso
from xdancer.evaluation.dances import Dance, Song, read_dances
from xdancer.evaluation.dancing import danced
from xdancer.pose.layout import FPS

if TYPE_CHECKING:
    from xdancer.choreographer import Choreographer
    from xdancer.tokenizer import PoseTokenizer

ENERGIES = (0.0, 0.25, 0.5, 0.75, 1.0)
TEMPERATURES = (0.25, 0.5, 1.0, 1.5)
SECONDS = 40  # of each song
PURE = 0.8  # of a window's frames have one style: the window is of that style


def sweep(
    choreographer: "Choreographer", tokenizer: "PoseTokenizer", corpus: Path, dances: list[Dance],
    songs: dict[str, Song], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """The measured effect of `energy` on how much the body moves, of `temperature` on how various a dance is, how much
    the body moves and how far two seeds come apart, and of `style` on how near the motion is to the training dances of
    that style."""
    from tqdm import tqdm

    known = windows_by_style(corpus)
    styles = [style for style in choreographer.styles if style in known]
    bar = tqdm(total=1 + len(ENERGIES) + 2 * len(TEMPERATURES) + len(styles), desc="sweeping")

    def dance(with_seed: int = seed, **settings: Any) -> list[np.ndarray]:
        bar.update()
        return [
            danced(choreographer, tokenizer, songs[each.song].frames[: SECONDS * FPS], each.view()[0], with_seed,
                   **settings)
            for each in dances
        ]  # fmt: skip

    plain = dance()
    energies = [float(np.mean([motion.energy(pose) for pose in dance(energy=value)])) for value in ENERGIES]
    scale = frechet.Scale.of(np.concatenate(list(known.values())))
    various, moved, apart = [], [], []
    for value in TEMPERATURES:
        first, second = dance(temperature=value), dance(seed + 1, temperature=value)
        various.append(variety([*first, *second], scale))
        moved.append(float(np.mean([motion.energy(pose) for pose in [*first, *second]])))
        apart.append(float(np.mean([between(a, b) for a, b in zip(first, second, strict=True)])))
    styled = {style: dance(style=style) for style in styles}
    bar.close()
    return {
        "energy": [effect(ENERGIES, energies, "speed of the body, trunks a second")],
        "temperature": [
            effect(TEMPERATURES, various, "distance of two pieces of 5 s, deviations"),
            effect(TEMPERATURES, moved, "speed of the body, trunks a second"),
            effect(TEMPERATURES, apart, "distance of two seeds, trunks"),
        ],
        "style": nearer(known, plain, styled),
    }


def effect(values: tuple[float, ...], measured: list[float], what: str) -> dict[str, Any]:
    """A sweep as a result: `monotone` where every step up is a step up; `span`, the last measure over the first."""
    return {
        "what": what,
        "values": list(values),
        "measured": measured,
        "monotone": bool((np.diff(measured) > 0).all()),
        "span": measured[-1] / max(measured[0], 1e-9),
    }


def variety(poses: list[np.ndarray], scale: frechet.Scale) -> float:
    """Mean distance of the features of two pieces of 5 s of the same dance, root mean square over features, in
    deviations of `scale`; mean over motions (T, 60, 3)."""
    pieces = [scale(described(pose)) for pose in poses]
    return float(np.mean([frechet.diversity(rows) / np.sqrt(rows.shape[1]) for rows in pieces]))


def between(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of the body's joints seen in both of two motions (T, 60, 3), trunks of the first."""
    seen = (a[:, BODY, 2] > 0) & (b[:, BODY, 2] > 0)
    apart = np.linalg.norm(a[:, BODY, :2] - b[:, BODY, :2], axis=-1)
    return float(apart[seen].mean() / torso(a)) if seen.any() else 0.0


def described(pose: np.ndarray) -> np.ndarray:
    """Both kinds of features of a motion: (W, 61)."""
    return np.concatenate([features.kinetic(pose), features.geometric(pose)], axis=1)


def windows_by_style(corpus: Path, split: str = "train") -> dict[str, np.ndarray]:
    """Features (N, 61) of the windows of the dances of a split that are of one style for most of their time."""
    found: dict[str, list[np.ndarray]] = {}
    for dance in read_dances(corpus, split):
        for number, row in enumerate(described(dance.view())):
            labels = dance.style[number * features.WINDOW : (number + 1) * features.WINDOW]
            names, counts = np.unique(labels, return_counts=True)
            if counts.max() >= PURE * features.WINDOW:
                found.setdefault(str(names[counts.argmax()]), []).append(row)
    return {style: np.array(rows) for style, rows in found.items()}


def nearer(
    known: dict[str, np.ndarray], plain: list[np.ndarray], styled: dict[str, list[np.ndarray]]
) -> list[dict[str, Any]]:
    """How far the mean of dances without a style, and of dances in it, is from the mean of what is `known` of it.

    Features are in standard deviations of all that is known; the distance is the root mean square over them.
    """
    if not known:
        return []
    scale = frechet.Scale.of(np.concatenate(list(known.values())))

    def mean(poses: list[np.ndarray]) -> np.ndarray:
        return np.asarray(scale(np.concatenate([described(pose) for pose in poses])).mean(axis=0))

    out = []
    for style, poses in styled.items():
        target = scale(known[style]).mean(axis=0)
        before, after = (float(np.sqrt(((mean(each) - target) ** 2).mean())) for each in (plain, poses))
        windows = len(known[style])
        out.append({"style": style, "windows": windows, "plain": before, "styled": after, "nearer": after < before})
    return out
