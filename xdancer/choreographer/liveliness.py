"""How lively a dance the music wants, where no performer says.

People dance larger to louder, busier music and wait in a break. Left to itself the model does not: what a body does
next hangs so much on what it has just done that the music's share is lost, and a dance once begun goes on as lively as
it is. So the rank that the energy of the training dances to such music had is told from what is heard, and plans swing
as wide as for a performer who asks for it. The network itself is not told: its dances come out less like real ones.
"""

import numpy as np

from xdancer.music.features import LOUDNESS, N_FEATURES, ONSET, SILENCE, TREND

SECOND, EIGHT, MINUTE = N_FEATURES, 2 * N_FEATURES, 3 * N_FEATURES  # where their means over so many seconds begin
COLUMNS = np.array([
    LOUDNESS + SECOND, LOUDNESS + EIGHT, LOUDNESS + MINUTE, TREND, TREND + SECOND, ONSET + SECOND, ONSET + EIGHT,
    SILENCE + SECOND,
])  # fmt: skip
STRETCH = 1.5  # about the middle: the mean rank of the dances to some music lies nearer to it than most of them do


def fit(heard: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """The weights (9,) by which what was heard, (N, N_MUSIC), tells the rank (N,) 0..1 of the energy of dances to it:
    least squares, a little ridge."""
    rows = np.c_[heard[:, COLUMNS], np.ones(len(heard))].astype(np.float64)
    ridge = 1e-3 * len(rows) * np.diag(rows.var(axis=0) + 1e-6)
    ridge[-1, -1] = 0.0
    return np.asarray(np.linalg.solve(rows.T @ rows + ridge, rows.T @ rank))


def wanted(heard: np.ndarray, weights: np.ndarray) -> float:
    """The rank of energy that the music (N_MUSIC,) wants: mostly 0..1."""
    return float(0.5 + STRETCH * (heard[COLUMNS] @ weights[:-1] + weights[-1] - 0.5))
