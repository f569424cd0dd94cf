import numpy as np
import pytest
from evaluation_fixtures import standing, stepping

from xdancer.evaluation.novelty import cuts, nearest, novelty
from xdancer.pose.layout import INDEX, mirror


def test_a_copy_is_not_new_wherever_however_large_and_on_whichever_side():
    known = stepping(150, 0.5, seed=1)
    larger = known.copy()
    larger[..., :2] = larger[..., :2] * 1.3 + (40, -90)
    found = novelty({"copy": [known], "larger": [larger], "mirrored": [mirror(known)]}, [known])
    assert found == {"copy": pytest.approx(0, abs=2e-3), "larger": pytest.approx(0, abs=2e-3),
                     "mirrored": pytest.approx(0, abs=2e-3)}  # fmt: skip


def test_one_joint_elsewhere_counts_as_one_of_twelve():
    other = standing(60)
    other[:, INDEX["left_wrist"], 0] += 24  # 0.12 trunks
    assert novelty({"x": [other]}, [standing(60)])["x"] == pytest.approx(0.12 / np.sqrt(12), rel=1e-3)


def test_the_nearest_of_all_counts():
    queries = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
    found = nearest(queries, [np.array([[3.0, 0.0]], np.float32), np.zeros((0, 2), np.float32),
                              np.array([[3.0, 3.0]], np.float32)])  # fmt: skip
    np.testing.assert_allclose(found, [3, 1], atol=1e-6)


def test_windows_with_an_unseen_joint_are_left_out():
    pose = standing(90)
    pose[40, INDEX["left_knee"]] = 0
    assert len(cuts(pose, 30)) == 2
    pose[:, INDEX["left_knee"]] = 0
    assert np.isnan(novelty({"x": [pose]}, [standing(90)])["x"])
