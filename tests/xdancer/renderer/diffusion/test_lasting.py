"""Whether a renderer's pictures stay as they were."""

import numpy as np
import pytest

from xdancer.errors import UserError
from xdancer.evaluation.lasting import judged, lasting


class Fading:
    """Draws each frame a level darker after each hundred."""

    def stream(self, seed: int, stride: int, levels: int) -> "Fading":
        self.stride, self.heard = stride, 0
        return self

    def step(self, tokens: np.ndarray, poses: np.ndarray) -> np.ndarray:
        number, self.heard = self.heard, self.heard + 1
        due = number >= 4 and number % self.stride == 0  # as a real one, it lags
        picture = np.full((4, 2, 3), 200 - (number - 4) // 100, np.uint8)
        picture[:2] -= 100
        return picture[None][: int(due)]

    def finish(self) -> np.ndarray:
        return np.repeat(self.step(*2 * (None,)), 4 // self.stride, axis=0)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_turn_is_a_turn_of_the_dance_though_pictures_lag(stride: int) -> None:
    tokens, poses = np.zeros((100, 5, 6), np.int16), np.zeros((100, 60, 3), np.float32)
    found = lasting(Fading(), tokens, poses, 3, 1, stride)
    assert [turn["colour"] for turn in found["turns"]] == [[150.0] * 3, [149.0] * 3, [148.0] * 3]
    assert all(turn["contrast"] == pytest.approx([50.0] * 3) for turn in found["turns"])
    assert found["drift"] == pytest.approx({"colour": 2.0, "contrast": 0.0})
    with pytest.raises(UserError, match="strides of 3"):
        lasting(Fading(), tokens, poses, 1, 1, 3)


def test_drift_and_growth_miss_their_goals() -> None:
    turns = [
        {"minute": k, "colour": [100.0, 100.0, 100.0 + 0.8 * k], "contrast": [50.0] * 3, "resident_mb": 500.0 + 3 * k}
        for k in range(1, 9)
    ]
    found = judged(turns)
    assert found["drift"]["colour"] == pytest.approx(5.6) and found["memory_slope"] == pytest.approx(3.0)
    assert [goal["met"] for goal in found["goals"]] == [False, True, False]
