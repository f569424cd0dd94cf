"""Jolts: where they strike, that they die away, and that they leave what is not seen alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdancer.pose.layout import INDEX, N_JOINTS, check_pose
from xdancer.training import recoveries


def standing(frames: int) -> np.ndarray:
    """A figure that does not move, its left knee never seen."""
    pose = np.ones((frames, N_JOINTS, 3), np.float32)
    pose[..., :2] = np.random.default_rng(3).uniform(150, 350, (N_JOINTS, 2))
    pose[:, INDEX["left_knee"]] = 0
    return pose


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_dance_moves_only_at_and_after_a_jolt(seed: int) -> None:
    pose = standing(200)
    made, struck = recoveries.jolted(np.random.default_rng(seed), pose)
    check_pose(made)
    first = int(np.argmax(struck)) if struck.any() else 200
    np.testing.assert_array_equal(made[:first], pose[:first])
    assert (made[:, INDEX["left_knee"]] == 0).all()
    off = np.abs(made - pose)[..., :2].max((1, 2))
    grew = np.flatnonzero(np.diff(off, prepend=0.0) > 1e-3 + 0.02 * off)
    if len(np.flatnonzero(struck)) == 1:
        assert set(grew) <= set(np.flatnonzero(struck)), "between jolts the way back is straight"


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in recoveries.KINDS}, key=lambda kind: kind.__name__))
def test_every_kind_of_jolt_dies_away(kind: recoveries.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoveries, "KINDS", ((kind, 0.2),))
    monkeypatch.setattr(recoveries, "EVERY", 1e6)

    class Once:
        """A generator that jolts at frame 10 and is otherwise random."""

        def __init__(self) -> None:
            self.rng, self.times = np.random.default_rng(1), iter([10.0, 1e9])

        def exponential(self, scale: float) -> float:
            return next(self.times)

        def __getattr__(self, name: str) -> object:
            return getattr(self.rng, name)

    pose = standing(120)
    made, struck = recoveries.jolted(Once(), pose)  # type: ignore[arg-type]
    assert np.flatnonzero(struck).tolist() == [10]
    off = np.abs(made - pose)[..., :2].max((1, 2))
    assert off[9] == 0 and off[10] > 0.5
    assert off[16] < off[10] and off[70] < 0.02 * off[10]
