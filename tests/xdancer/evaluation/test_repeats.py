import numpy as np
import pytest
from evaluation_fixtures import standing

from xdancer.evaluation.repeats import likeness, repeats

BARS = np.arange(33) * 2.0


def wandering(bars: int, seed: int = 0) -> np.ndarray:
    """Every joint somewhere else each fifth of a second, never again there; a bar is 60 frames."""
    rng = np.random.default_rng(seed)
    pose = standing(60 * bars)
    pose[..., :2] += np.repeat(rng.normal(scale=40, size=(10 * bars, 60, 2)), 6, axis=0)
    return pose


def test_bars_at_random_are_not_alike_and_a_bar_is_like_itself():
    pose = wandering(32)
    assert likeness(pose, BARS, 0).tolist() == pytest.approx([1.0] * 32)
    assert abs(likeness(pose, BARS, 1).mean()) < 0.1
    assert repeats(pose, BARS)["longest"] == 0


def test_two_bars_over_and_over_for_twelve():
    pose = wandering(32)
    pose[600 : 600 + 12 * 60] = np.tile(pose[600:720], (6, 1, 1))  # bars 10 to 21
    found = repeats(pose, BARS[:33])
    assert (found["longest"], found["lag"]) == (12, 2)


def test_music_that_comes_again_may_be_danced_to_in_the_same_way():
    pose = np.tile(wandering(8), (4, 1, 1))  # eight bars, four times
    assert repeats(pose, BARS)["longest"] == 32 and repeats(pose, BARS)["lag"] == 8
    assert repeats(pose, BARS, period=8)["longest"] == 0
    assert repeats(np.tile(pose[:120], (16, 1, 1)), BARS, period=8)["lag"] == 2


def test_a_bar_shown_twice_is_a_repetition_of_two():
    pose = wandering(32)
    pose[300:360] = pose[240:300]
    assert repeats(pose, BARS)["longest"] == 2


def test_a_phrase_that_comes_back_later_is_no_loop():
    pose = wandering(32)
    pose[1200:1320] = pose[0:120]  # bars 0 and 1 come again as 20 and 21
    assert repeats(pose, BARS)["longest"] == 0


def test_too_short_a_dance_repeats_nothing():
    assert repeats(standing(30), BARS) == {"longest": 0, "lag": 0, "by_lag": [0.0] * 16}
