import numpy as np
import pytest

from xdancer.errors import UserError
from xdancer.evaluation.limbs import EVERY, LIMBS, limb_error, summed
from xdancer.pose.detector import standing


class Detector:
    """Finds what it is told to, on pictures as large as the canvas; where it is told nothing, nobody."""

    def __init__(self, *poses: np.ndarray | None) -> None:
        self.poses = list(poses)

    def detect(self, picture: np.ndarray) -> np.ndarray:
        assert picture.shape == (896, 512, 3)
        pose = self.poses.pop(0)
        if pose is None:
            raise UserError("nobody")
        return pose


def test_limbs_by_hand():
    """Two looks: in one a limb of eight is 30 px off, 40 down, another is not found; in the other nobody is."""
    meant = np.repeat(standing()[None], 2 * EVERY, axis=0)
    meant[:, LIMBS[0], 2] = 0.2  # not meant to be seen
    found = standing()
    found[LIMBS[0], :2] = 0
    found[LIMBS[1], :2] += (30, 40)
    found[LIMBS[2]] = 0
    one = limb_error(Detector(found, None), np.zeros((2 * EVERY, 56, 32, 3), np.uint8), meant)
    assert sorted(one["distances"]) == pytest.approx([0, 0, 0, 0, 0, 50]) and one["wanted"] == 14
    assert summed([one]) == {"limbs": 0, "far": pytest.approx(25), "found": pytest.approx(6 / 14)}


def test_nobody_at_all_is_no_number():
    none = limb_error(Detector(None), np.zeros((1, 56, 32, 3), np.uint8), standing()[None])
    assert summed([none]) == {"found": 0}
