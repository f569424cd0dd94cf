import numpy as np
import pytest
from evaluation_fixtures import standing, stepping

from xdancer.evaluation import features as ft
from xdancer.pose.layout import INDEX, mirror

WRIST = ft.KINETIC.index(INDEX["right_wrist"])
COUNT = len(ft.KINETIC)


def test_a_steady_glide_has_speed_and_no_acceleration():
    pose = standing(ft.WINDOW)
    pose[:, :, 0] += np.arange(ft.WINDOW)[:, None] * 2.0  # 60 px a second: 0.3 trunks
    (row,) = ft.kinetic(pose)
    np.testing.assert_allclose(row[:COUNT], 0.3, rtol=1e-4)
    np.testing.assert_allclose(row[COUNT:], 0.0, atol=2e-3)


def test_a_wrist_that_speeds_up_has_its_acceleration():
    pose = standing(ft.WINDOW)
    pose[:, INDEX["right_wrist"], 1] += 0.01 * np.arange(ft.WINDOW) ** 2  # 0.02 px a frame^2: 18 px a s^2, 0.09 trunks
    (row,) = ft.kinetic(pose)
    assert row[2 * COUNT + WRIST] == pytest.approx(0.09, rel=0.01)
    speeds = 0.01 * (2 * np.arange(ft.WINDOW - 1) + 1) * 30 / 200
    assert row[COUNT + WRIST] == pytest.approx(np.sqrt((speeds**2).mean()), rel=1e-3)
    assert not np.delete(row, [COUNT + WRIST, 2 * COUNT + WRIST]).any()


def test_what_is_not_seen_is_not_known():
    pose = standing(ft.WINDOW)
    pose[:, INDEX["right_wrist"]] = 0
    (row,) = ft.kinetic(pose)
    assert np.isnan(row[[WRIST, COUNT + WRIST, 2 * COUNT + WRIST]]).all() and np.isnan(row).sum() == 3
    (row,) = ft.geometric(pose)
    assert np.isnan(row[0]) and not np.isnan(row[10])


def test_a_joint_that_comes_and_goes_does_not_move():
    pose = standing(ft.WINDOW)
    pose[::3, INDEX["right_wrist"]] = 0
    assert ft.kinetic(pose)[0, WRIST] == 0


def test_windows_are_whole():
    pose = stepping(2 * ft.WINDOW + 100, 0.5)
    assert ft.kinetic(pose).shape == (2, 33) and ft.geometric(pose).shape == (2, 28)
    assert ft.kinetic(pose[:100]).shape == (0, 33) and ft.geometric(pose[:100]).shape == (0, 28)


def test_a_standing_figure_does_next_to_nothing():
    held, seen = ft.predicates(standing(5))
    # Right and left arms hang down and far from the neck (sqrt(100^2 + 200^2) px: 1.12 trunks); hips hang 200 px,
    # 1 trunk, above the ankles, which counts as crouching on legs as short as these.
    assert seen[1:].all() and np.flatnonzero(held[0]).tolist() == [5, 15, 25]


def test_hands_up_for_half_of_the_time():
    pose = standing(ft.WINDOW)
    pose[: ft.WINDOW // 2, INDEX["right_wrist"], :2] = (256, 90)  # 110 px above the neck, in its line
    (row,) = ft.geometric(pose)
    assert row[[0, 1]].tolist() == [0.5, 0.5] and row[10] == 0
    assert row[6] == pytest.approx(1 / (ft.WINDOW - 1), rel=1e-6)  # fast in the one frame in which it comes down


def test_a_bent_elbow_is_one_below_110_degrees():
    joints = np.array([[0.0, 1.0]]), np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]])
    assert ft.bend(*joints)[0] == pytest.approx(90)
    pose = standing(3)
    pose[:, INDEX["left_wrist"], :2] = (456, 300)
    held, _ = ft.predicates(pose)
    assert held[0, 13] and not held[0, 3]


def test_a_mirror_exchanges_the_sides():
    pose = stepping(60, 0.5, reach=120, seed=3)
    held, _ = ft.predicates(pose)
    other, _ = ft.predicates(mirror(pose))
    np.testing.assert_array_equal(other, np.concatenate([held[:, 10:20], held[:, :10], held[:, 20:]], axis=1))
