"""What people stand before, to learn from and to be held out."""

from pathlib import Path

import numpy as np

from xdancer.tokenizer import PoseTokenizer
from xdancer.training.renderer.backdrops import FULL, PATTERNED, PLAIN, any_kind, plain
from xdancer.training.renderer.scenes import Scenes

DRAWN = 300


def edges(backdrop: np.ndarray) -> float:
    """Mean difference of neighbours in a row."""
    return float(np.abs(np.diff(backdrop, axis=-1)).mean())


def test_backdrops_are_colours_and_come_again() -> None:
    for make, size in ((plain, PLAIN), (any_kind, FULL)):
        some = [make(np.random.default_rng(k)) for k in range(20)]
        assert all(v.shape == (3, *size) and v.dtype == np.float32 for v in some)
        assert all(v.min() >= 0 and v.max() <= 1 for v in some)
        assert np.array_equal(some[3], make(np.random.default_rng(3))) and not np.array_equal(some[3], some[4])


def test_a_share_of_the_backdrops_is_full_of_edges() -> None:
    drawn = [any_kind(np.random.default_rng(k)) for k in range(DRAWN)]
    walls = [edges(plain(np.random.default_rng(k))) * PLAIN[1] / FULL[1] for k in range(DRAWN)]  # as they are enlarged
    busy = np.mean([edges(v) > np.max(walls) for v in drawn])
    assert 0.5 * PATTERNED < busy < 1.2 * PATTERNED


def test_those_held_out_stand_before_plain_walls(corpus: Path, tokenizer: PoseTokenizer) -> None:
    shapes = [Scenes(corpus, split, 1, tokenizer)[0]["backdrop"].shape for split in ("train", "val")]
    assert shapes == [(3, *FULL), (3, *PLAIN)]
