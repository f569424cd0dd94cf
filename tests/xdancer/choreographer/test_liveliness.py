"""How lively a dance music wants: learned from dances to it."""

import numpy as np
import pytest

from xdancer.choreographer import inputs, liveliness


def heard(loudness: np.ndarray) -> np.ndarray:
    """Music of that loudness (N,) for so long that all its means have come to it."""
    out = np.zeros((len(loudness), inputs.N_MUSIC))
    out[:, liveliness.LOUDNESS + liveliness.SECOND] = loudness
    return out


def test_what_dances_to_louder_music_were_like_is_asked_for_of_the_next() -> None:
    loudness = np.linspace(-1, 1, 200)
    weights = liveliness.fit(heard(loudness), 0.5 + 0.2 * loudness)
    asked = [liveliness.wanted(row, weights) for row in heard(np.array([-0.5, 0.0, 0.5]))]
    reach = liveliness.STRETCH * 0.1
    assert asked == pytest.approx([0.5 - reach, 0.5, 0.5 + reach], abs=0.01)


def test_music_that_never_changes_asks_for_the_mean_of_its_dances() -> None:
    weights = liveliness.fit(heard(np.zeros(50)), np.tile([0.2, 0.6], 25))
    assert liveliness.wanted(heard(np.zeros(1))[0], weights) == pytest.approx(0.5 - liveliness.STRETCH * 0.1, abs=1e-3)
