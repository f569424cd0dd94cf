"""The plan: roughly where the body is to be in half a beat and in a whole one, drawn anew every half beat.

From one frame to the next a pose is mostly inertia. A dancer that draws what is left at random, thirty times a second,
twitches, and drifts where no dancer has been; one that draws nothing at random comes to rest in the mean of all poses.
And what the music says of the next thirtieth of a second is next to nothing beside what the last movements say, so that
a dancer that only learns to go on learns its own rhythm, not the music's. So the choice between moves is drawn where it
is one, by the clock of the music, and the frames follow the plan, to arrive in time, with little noise. A plan is
residual k-means of principal components of the body's places: always a pose that somebody had.
"""

import math

import numpy as np

from xdancer.pose.layout import HANDS

AHEAD = 2  # half beats that a plan looks ahead
UNTIMED = 8  # frames that stand for half a beat where there is no beat
JOINTS = 18  # the body's; hands follow the wrists
STAGES, CODES, SIZE = 3, 256, 32
N_PLAN = SIZE + 3  # columns: what is planned, whether anything is, how far the stretch has come, and what is left
ACCENT = 2.0  # how much of a movement from beat to beat falls between them: 1 is even, more is slower on the beat
PACE = (0.5, 1.2)  # of a movement on the beat and between two
REACH = (0.4, 1.8)  # how wide a movement is at an energy of 0 and of 1, beside that which was drawn
LEAN = 1.0  # how much it counts how often dances of a style make a plan, beside what the network says
ALIKE = 50  # plans of all dances that are taken for the style's: of few, nobody knows how often each is made
SCALE = 4.0  # places in units of 128 px are small; the network reads them so much larger


class Plans:
    """mean (72,) and basis (72, SIZE) of the places at both ends; books (STAGES, CODES, SIZE) of their components."""

    def __init__(self, mean: np.ndarray, basis: np.ndarray, books: np.ndarray) -> None:
        self.mean, self.basis, self.books = mean, basis, books

    @classmethod
    def fit(cls, ends: np.ndarray, rng: np.random.Generator) -> "Plans":
        """From places (N, AHEAD, 18, 2) of real dances, N >= CODES."""
        from scipy.cluster.vq import kmeans2

        rows = ends.reshape(len(ends), -1).astype(np.float64)
        mean = rows.mean(axis=0)
        _, _, directions = np.linalg.svd(rows - mean, full_matrices=False)
        basis = directions[:SIZE].T
        rest = (rows - mean) @ basis
        books = np.zeros((STAGES, CODES, SIZE))
        for stage in range(STAGES):
            start = rest[rng.permutation(len(rest))[:CODES]]
            books[stage], chosen = kmeans2(rest, start, iter=25, minit="matrix", missing="warn")
            rest = rest - books[stage][chosen]
        return cls(*(array.astype(np.float32) for array in (mean, basis, books)))

    def codes(self, ends: np.ndarray) -> np.ndarray:
        """Places (N, AHEAD, 18, 2) -> the codes (N, STAGES) that come nearest, stage by stage."""
        rest = self._components(ends)
        out = np.empty((len(ends), STAGES), np.int64)
        for stage, book in enumerate(self.books):
            out[:, stage] = (np.square(book).sum(-1) / 2 - rest @ book.T).argmin(-1)
            rest = rest - book[out[:, stage]]
        return out

    def vectors(self, codes: np.ndarray) -> np.ndarray:
        """Codes (N, STAGES) -> the components (N, SIZE) they stand for."""
        return self.books[np.arange(STAGES), codes].sum(-2)

    def places(self, vectors: np.ndarray) -> np.ndarray:
        """Components (..., SIZE) -> the places (..., AHEAD, 18, 2) they stand for."""
        return (vectors @ self.basis.T + self.mean).reshape(*vectors.shape[:-1], AHEAD, JOINTS, 2)

    def swung(self, vector: np.ndarray, begun: np.ndarray, energy: float) -> np.ndarray:
        """The plan (SIZE,) of a body that stands at `begun` (60, 2), its movements smaller or wider by the `energy`
        (0..1) that a performer asks for, or the music."""
        here = self._components(np.tile(begun[:JOINTS], (1, AHEAD, 1, 1)))[0]
        reach = float(np.interp(energy, (0.0, 1.0), REACH))
        return (here + reach * (vector - here)).astype(np.float32)

    def _components(self, ends: np.ndarray) -> np.ndarray:
        """Places (N, AHEAD, 18, 2) -> components (N, SIZE)."""
        return (ends.reshape(len(ends), -1) - self.mean) @ self.basis


def half_beats(rows: np.ndarray, tempo: np.ndarray, beat_phase: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of rows (N,) with their clock: which half of a beat (0 or 1), how far it has come (0..1), and its frames."""
    twice = np.where(tempo > 0, 2 * beat_phase, rows / UNTIMED)
    length = np.where(tempo > 0, 900.0 / np.maximum(tempo, 1.0), float(UNTIMED))
    return np.floor(twice).astype(np.int64) % 2, twice % 1, length


def leaning(codes: np.ndarray, of_all: np.ndarray) -> np.ndarray:
    """How much more often some dances begin a plan with each code than all do: the logarithm of the ratio (CODES,), of
    the first codes (N,) of theirs and (M,) of all."""
    every = np.bincount(of_all, minlength=CODES) + 1.0
    every /= every.sum()
    own = np.bincount(codes, minlength=CODES) + ALIKE * every
    return np.log(own / own.sum() / every)


def columns(vector: np.ndarray | None, part: float) -> np.ndarray:
    """What a frame is told of the plan (SIZE,) it follows, or of none, `part` of half a beat (0..1) having passed:
    float32 (N_PLAN,)."""
    out = np.zeros(N_PLAN, np.float32)
    if vector is not None:
        out[:SIZE] = SCALE * vector
        out[SIZE:] = 1.0, part, 1.0 - part
    return out


def led(places: np.ndarray, begun: np.ndarray, target: np.ndarray, half: int, part: float, pull: float) -> np.ndarray:
    """Foretold places (60, 2), drawn by `pull` (0..1) to where they should be on the way to the plan's first target.

    begun (60, 2): where the body was when the plan began; target (18, 2). The way starts slowly on the beat, is fastest
    between two beats, and slows down again to the next: `half` is 0 on the way out from a beat, 1 on the way in, and
    `part` (0..1) of it has passed. Hands go with their wrists.
    """
    way = part**ACCENT if half == 0 else 1 - (1 - part) ** ACCENT
    due = begun[:JOINTS] + way * (target - begun[:JOINTS])
    out = places.copy()
    out[:JOINTS] += pull * (due - places[:JOINTS])
    for wrist, hand in HANDS:
        out[hand] += out[wrist] - places[wrist]
    return out


def hit(places: np.ndarray, before: np.ndarray, phase: float) -> np.ndarray:
    """The places (60, 2) that come after those `before`, moved to more slowly as the beat's phase (0..1) is near 0 or
    1, and a little faster between beats.

    People hit the beat. The dances that the network learned from do, but its own inertia carries a body past a beat,
    and drawn to a plan by a share of the way in every frame it arrives a little late.
    """
    between = 0.5 - 0.5 * math.cos(2 * math.pi * phase)
    return before + (PACE[0] + (PACE[1] - PACE[0]) * between) * (places - before)
