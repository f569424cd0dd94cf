"""The plan: roughly where the body is to be in a quarter and in half a second, drawn anew every eight frames.

From one frame to the next a pose is mostly inertia. A dancer that draws what is left at random, thirty times a second,
twitches, and drifts where no dancer has been; one that draws nothing at random comes to rest in the mean of all poses.
So the choice between moves is drawn where it is one, a few times a second, and the frames follow the plan with little
noise. The idea is that of hierarchical motion models (a coarse code over a stretch of time, fine ones in it); the code
is residual k-means of principal components of the body's places, so that a plan is always a pose somebody had.
"""

import numpy as np

EVERY = 8  # frames a plan is followed
AHEAD = 2  # plans look at the ends of so many stretches of EVERY frames
JOINTS = 18  # the body's; hands follow the wrists
STAGES, CODES, SIZE = 3, 256, 32
N_PLAN = SIZE + 3  # columns: what is planned, whether anything is, how far the stretch has come, and what is left
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
        rest = (ends.reshape(len(ends), -1) - self.mean) @ self.basis
        out = np.empty((len(ends), STAGES), np.int64)
        for stage, book in enumerate(self.books):
            out[:, stage] = (np.square(book).sum(-1) / 2 - rest @ book.T).argmin(-1)
            rest = rest - book[out[:, stage]]
        return out

    def vectors(self, codes: np.ndarray) -> np.ndarray:
        """Codes (N, STAGES) -> the components (N, SIZE) they stand for."""
        return self.books[np.arange(STAGES), codes].sum(-2)

    def places(self, codes: np.ndarray) -> np.ndarray:
        """Codes (N, STAGES) -> the places (N, AHEAD, 18, 2) they stand for."""
        return (self.vectors(codes) @ self.basis.T + self.mean).reshape(-1, AHEAD, JOINTS, 2)


def columns(vector: np.ndarray | None, row: int) -> np.ndarray:
    """What the frame of row `row` is told of the plan (SIZE,) it follows, or of none: float32 (N_PLAN,)."""
    out = np.zeros(N_PLAN, np.float32)
    if vector is not None:
        part = (row % EVERY) / EVERY
        out[:SIZE] = SCALE * vector
        out[SIZE:] = 1.0, part, 1.0 - part
    return out
