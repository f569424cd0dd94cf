import numpy as np
import pytest

from xdancer.evaluation import frechet as fr


def test_two_gaussians_by_hand():
    # Means 3 apart: 9. Covariances I and 4 I: 2 + 8 - 2 * (2 + 2).
    assert fr.frechet((np.zeros(2), np.eye(2)), (np.array([3.0, 0.0]), 4 * np.eye(2))) == pytest.approx(11)


def test_covariances_that_do_not_commute_by_hand():
    a, b = np.diag([1.0, 4.0]), np.array([[2.0, 1.0], [1.0, 2.0]])
    # tr (AB)^1/2 of a 2 x 2 product: sqrt(tr AB + 2 sqrt(det AB)) = sqrt(10 + 2 sqrt(12)).
    cross = np.sqrt(10 + 2 * np.sqrt(12))
    assert fr.frechet((np.zeros(2), a), (np.zeros(2), b)) == pytest.approx(5 + 4 - 2 * cross)


def test_covariance_is_shrunk_by_a_tenth_and_never_singular():
    mean, covariance = fr.gaussian(np.array([[0.0, 0.0], [2.0, 2.0]]))
    assert mean.tolist() == [1, 1]
    np.testing.assert_allclose(covariance, [[2, 1.8], [1.8, 2]])
    few = np.random.default_rng(0).normal(size=(5, 40))
    assert np.linalg.matrix_rank(fr.gaussian(few)[1]) == 40
    assert fr.frechet(fr.gaussian(few), fr.gaussian(few)) == pytest.approx(0, abs=1e-6)


def test_the_truth_has_mean_0_and_deviation_1_and_what_is_not_known_is_the_mean():
    truth = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]])
    scale = fr.Scale.of(truth)
    np.testing.assert_allclose(scale(truth), [[-1, 0], [1, 0], [0, 0]])
    np.testing.assert_allclose(scale(np.array([[5.0, 7.0]])), [[3, 2]])  # what never changes has no deviation


def test_diversity_is_the_mean_distance_of_pairs():
    assert fr.diversity(np.array([[0.0], [3.0], [6.0]])) == pytest.approx(4)
    assert fr.diversity(np.zeros((1, 3))) == 0


def sequences(rng, count, shift=0.0):
    return [rng.normal(size=(15, 6)) + shift for _ in range(count)]


def test_real_motions_are_about_one_half_apart_and_others_further():
    rng = np.random.default_rng(0)
    truth = [sequences(rng, 2) for _ in range(24)]
    rows = {"real": sequences(rng, 12), "off": sequences(rng, 12, shift=1.0), "stiff": sequences(rng, 12)}
    rows["stiff"] = [0.1 * row for row in rows["stiff"]]
    found = fr.distances(truth, rows)
    assert found["truth"]["halves"] == 1 and 0.3 < found["real"]["halves"] < 2
    assert found["off"]["distance"] == pytest.approx(6, rel=0.25)  # six features, one deviation each
    assert found["stiff"]["distance"] == pytest.approx(6 * 0.9**2, rel=0.25)
    assert found["stiff"]["diversity"] == pytest.approx(0.1 * found["truth"]["diversity"], rel=0.1)
    for row in found.values():
        assert row["interval"][0] <= row["distance"] <= row["interval"][1]
    assert fr.distances(truth, rows) == found


def test_an_interval_narrows_with_the_number_of_motions():
    rng = np.random.default_rng(1)
    truth = [sequences(rng, 1) for _ in range(40)]
    rows = {name: sequences(rng, n, shift=0.5) for name, n in (("few", 3), ("many", 30))}
    few, many = (np.diff(fr.distances(truth, rows)[name]["interval"])[0] for name in ("few", "many"))
    assert many < few / 2


def test_one_dance_has_no_halves():
    rng = np.random.default_rng(0)
    assert fr.distances([sequences(rng, 2)], {"model": sequences(rng, 2)}) == {}
    assert fr.distances([sequences(rng, 2)] * 4, {"short": [np.zeros((0, 6))]}) == {}
