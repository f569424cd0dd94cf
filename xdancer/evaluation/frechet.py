"""How far a set of motions is from real ones as a whole: Fréchet distance and diversity of features.

Features are z-normalised by the truth. Of a few hundred windows, many of them of one dance, the covariance of some
thirty features is poor, and a Fréchet distance grows with its noise: for few windows it is large even between equal
sets. So every row is measured in the same way. Covariances are shrunk by a tenth towards their own diagonal, which
leaves none singular. The truth's dances are cut into two halves at random, forty times; every row stands against one
half with its own number of dances, and the truth itself with as many from the other half: that distance is the unit of
the others.
"""

from dataclasses import dataclass

import numpy as np

SHRINK = 0.1
SPLITS = 40
RESAMPLES = 20  # a split
INTERVAL = (2.5, 97.5)  # percent


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation (D,) of the truth's features, and its way of filling what is not known."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray) -> "Scale":
        """From features (N, D), NaN where not known; a feature that never changes is left as it is."""
        known = ~np.isnan(truth)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, truth, 0.0).sum(0) / count
        deviation = np.sqrt(np.where(known, (truth - mean) ** 2, 0.0).sum(0) / count)
        return cls(mean, np.where(deviation > 1e-6, deviation, 1.0))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Features (N, D) in units of the truth's; what is not known is put at the truth's mean, 0."""
        return np.nan_to_num((features - self.mean) / self.deviation)


def gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D), shrunk by a tenth towards its diagonal, of features (N, D)."""
    mean = features.mean(axis=0)
    centred = features - mean
    covariance = centred.T @ centred / max(len(features) - 1, 1)
    return mean, (1 - SHRINK) * covariance + SHRINK * np.diag(np.diag(covariance))


def frechet(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2) of two Gaussians (mean (D,), covariance (D, D)).

    >>> frechet((np.zeros(2), np.eye(2)), (np.array([3.0, 0.0]), 4 * np.eye(2)))  # 9 + 2 (1 - 2)^2
    11.0
    """
    values, vectors = np.linalg.eigh(a[1])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b[1] @ root), 0)).sum()
    return float(((a[0] - b[0]) ** 2).sum() + np.trace(a[1]) + np.trace(b[1]) - 2 * cross)


def diversity(features: np.ndarray) -> float:
    """Mean distance between two different rows of features (N, D); 0 where there are fewer than two."""
    if len(features) < 2:
        return 0.0
    squares = (features**2).sum(1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * features @ features.T, 0))
    np.fill_diagonal(apart, 0.0)
    return float(apart.sum() / (len(features) * (len(features) - 1)))


def distances(
    truth: list[list[np.ndarray]], rows: dict[str, list[np.ndarray]], seed: int = 0
) -> dict[str, dict[str, float | list[float]]]:
    """Distance of each row to half of the truth, its interval, and its diversity.

    truth: by dance, by view, features (W, D) z-normalised; rows: by motion, the same. For each row: `distance`, the
    mean over random halves; `interval` 95 %, by drawing its motions anew with repetition (centred on the distance, as
    repeated motions alone make one larger); `halves`, the distance divided by that of as many real motions from the
    other half (of all there are, where that half has fewer); `diversity`. The row "truth" is that other half itself,
    its interval from half to half. {} where the truth has fewer than two dances or no row a window.
    """
    rows = {name: [each for each in row if len(each)] for name, row in rows.items()}
    rows = {name: row for name, row in rows.items() if row}
    if len(truth) < 2 or not rows:
        return {}
    halving, drawing = np.random.default_rng(seed).spawn(2)  # the halves are the same whatever rows there are
    found: dict[str, list[float]] = {name: [] for name in rows}
    drawn: dict[str, list[float]] = {name: [] for name in rows}
    units: dict[int, list[float]] = {len(row): [] for row in rows.values()}
    for _ in range(SPLITS):
        order = halving.permutation(len(truth))
        half = [truth[k] for k in order[: len(truth) // 2]]
        other = [truth[k][halving.integers(len(truth[k]))] for k in order[len(truth) // 2 :]]
        real = gaussian(np.concatenate([view for dance in half for view in dance]))
        for count, values in units.items():
            values.append(frechet(real, gaussian(np.concatenate(other[:count]))))
        for name, row in rows.items():
            found[name].append(frechet(real, gaussian(np.concatenate(row))))
            for _ in range(RESAMPLES):
                again = [row[k] for k in drawing.integers(len(row), size=len(row))]
                drawn[name].append(frechet(real, gaussian(np.concatenate(again))))
    out: dict[str, dict[str, float | list[float]]] = {}
    for name, row in rows.items():
        distance = float(np.mean(found[name]))
        spread = np.percentile(drawn[name], INTERVAL) - np.mean(drawn[name])
        out[name] = {
            "distance": distance,
            "interval": [max(float(distance + s), 0.0) for s in spread],
            "halves": distance / max(float(np.mean(units[len(row)])), 1e-9),
            "diversity": diversity(np.concatenate(row)),
        }
    halves = units[max(units)]
    out["truth"] = {
        "distance": float(np.mean(halves)),
        "interval": [float(v) for v in np.percentile(halves, INTERVAL)],
        "halves": 1.0,
        "diversity": diversity(np.concatenate([view for dance in truth for view in dance])),
    }
    return out
