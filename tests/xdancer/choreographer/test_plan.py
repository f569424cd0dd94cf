"""Plans: codes and back, and what a frame is told of one."""

import numpy as np
import pytest

from xdancer.choreographer import plan
from xdancer.choreographer.plan import Plans


def dances(n: int, seed: int = 0) -> np.ndarray:
    """Places (n, AHEAD, 18, 2) that vary in five ways."""
    rng = np.random.default_rng(seed)
    ways = np.random.default_rng(1).normal(size=(5, plan.AHEAD * plan.JOINTS * 2))
    return (0.3 * rng.normal(size=(n, 5)) @ ways).reshape(n, plan.AHEAD, plan.JOINTS, 2)


def test_a_plan_comes_near_poses_it_was_not_fitted_to() -> None:
    plans = Plans.fit(dances(4000), np.random.default_rng(0))
    new = dances(500, seed=7)
    codes = plans.codes(new)
    assert codes.shape == (500, plan.STAGES) and codes.min() >= 0 and codes.max() < plan.CODES
    off = np.abs(plans.places(plans.vectors(codes)) - new).mean()
    assert off < 0.3 * np.abs(new).mean()
    first = plans.places(plans.vectors(codes * [1, 0, 0]))  # other fine codes
    assert off < np.abs(first - new).mean(), "every stage brings it nearer"


def test_codes_are_the_nearest_stage_by_stage() -> None:
    books = np.zeros((plan.STAGES, plan.CODES, plan.SIZE), np.float32)
    books[0, :, 0], books[1, :, 0], books[2, :, 0] = (np.arange(plan.CODES) * step for step in (1.0, 0.1, 0.01))
    basis = np.eye(plan.AHEAD * plan.JOINTS * 2, plan.SIZE, dtype=np.float32)
    plans = Plans(np.zeros(len(basis), np.float32), basis, books)
    ends = np.zeros((1, plan.AHEAD, plan.JOINTS, 2))
    ends[0, 0, 0, 0] = 7.34  # nearest 7, then 0.3, then 0.04
    np.testing.assert_array_equal(plans.codes(ends), [[7, 3, 4]])
    np.testing.assert_allclose(plans.vectors(np.array([[7, 3, 4]]))[0, 0], 7.34, rtol=1e-6)
    np.testing.assert_allclose(plans.places(plans.vectors(np.array([[7, 3, 4]])))[0, 0, 0, 0], 7.34, rtol=1e-6)


def test_dances_lean_to_the_codes_they_have_more_often_than_all() -> None:
    of_all = np.repeat(np.arange(plan.CODES), 4)  # each as often as any
    found = plan.leaning(np.repeat([3, 5], [120, 30]), of_all)
    share = plan.ALIKE / plan.CODES  # of each code in the plans that are taken for theirs
    expected = np.log((np.array([120, 30, 0]) + share) / (150 + plan.ALIKE) * plan.CODES)
    np.testing.assert_allclose(found[[3, 5, 9]], expected)
    np.testing.assert_allclose(plan.leaning(of_all, of_all), 0, atol=1e-9)


def test_half_beats_follow_the_clock_and_frames_where_there_is_none() -> None:
    rows = np.array([0, 7, 8, 20, 21, 22])
    tempo = np.array([0, 0, 0, 120, 120, 90.0])
    phase = np.array([0.9, 0.9, 0.9, 0.25, 0.75, 0.5])
    half, part, length = plan.half_beats(rows, tempo, phase)
    np.testing.assert_array_equal(half, [0, 0, 1, 0, 1, 1])
    np.testing.assert_allclose(part, [0, 7 / 8, 0, 0.5, 0.5, 0])
    np.testing.assert_allclose(length, [8, 8, 8, 7.5, 7.5, 10])


def test_a_frame_is_told_how_far_the_half_beat_has_come() -> None:
    assert not plan.columns(None, 0.3).any()
    told = plan.columns(np.full(plan.SIZE, 0.5, np.float32), 0.25)
    np.testing.assert_allclose(told[: plan.SIZE], 0.5 * plan.SCALE)
    assert told[plan.SIZE :] == pytest.approx([1.0, 0.25, 0.75])


def test_the_way_to_a_plan_is_slow_on_the_beat_and_arrives_in_time() -> None:
    begun, target = np.zeros((60, 2)), np.ones((plan.JOINTS, 2))
    out = [plan.led(begun, begun, target, 0, part, 1.0)[0, 0] for part in (0.0, 0.5, 1.0)]
    home = [plan.led(begun, begun, target, 1, part, 1.0)[0, 0] for part in (0.0, 0.5, 1.0)]
    assert out == pytest.approx([0, 0.25, 1]) and home == pytest.approx([0, 0.75, 1])
    half_way = plan.led(begun, begun, target, 1, 1.0, 0.5)
    assert half_way[0, 0] == 0.5
    np.testing.assert_allclose(half_way[plan.HANDS[0][1]], 0.5), "hands go with their wrists"
    np.testing.assert_array_equal(plan.led(begun + 3, begun, target, 0, 0.3, 0.0), begun + 3)


def test_a_movement_is_slow_on_the_beat_and_fast_between_two() -> None:
    before, places = np.full((60, 2), 3.0), np.full((60, 2), 4.0)
    slow, fast = plan.PACE
    assert slow < 1 < fast
    for phase, pace in {0.0: slow, 0.25: (slow + fast) / 2, 0.5: fast, 0.75: (slow + fast) / 2, 1.0: slow}.items():
        np.testing.assert_allclose(plan.hit(places, before, phase), 3 + pace)


def test_energy_makes_movements_wider_from_where_the_body_is() -> None:
    rng = np.random.default_rng(2)
    plans = Plans.fit(dances(1000), rng)
    begun = np.zeros((60, 2), np.float32)
    begun[: plan.JOINTS] = dances(1)[0, 0]
    here = np.repeat(begun[None, : plan.JOINTS], plan.AHEAD, axis=0)
    vector = plans.vectors(plans.codes(dances(1, seed=5)))[0]
    # Only what plans can tell of where the body is counts: that is what the movement begins from.
    seen = plans.places((here.ravel() - plans.mean) @ plans.basis)
    way = plans.places(vector) - seen
    reaches = {0.0: plan.REACH[0], 1.0: plan.REACH[1], 7.0: plan.REACH[1]}
    for energy, reach in reaches.items():
        np.testing.assert_allclose(plans.places(plans.swung(vector, begun, energy)) - seen, reach * way, atol=1e-4)


def test_a_plan_to_stay_is_stayed_at_by_any_energy() -> None:
    plans = Plans(np.zeros(plan.AHEAD * plan.JOINTS * 2), np.eye(plan.AHEAD * plan.JOINTS * 2, plan.SIZE), np.zeros(1))
    begun = np.arange(120.0).reshape(60, 2)
    stay = np.tile(begun[: plan.JOINTS].ravel(), plan.AHEAD) @ plans.basis
    for energy in (0.0, 0.4, 1.0):
        np.testing.assert_allclose(plans.swung(stay, begun, energy), stay, rtol=1e-6)
