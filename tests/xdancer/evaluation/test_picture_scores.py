"""How like pictures are to true ones, by hand."""

import math

import numpy as np
import pytest

from xdancer.evaluation.picture_scores import around_hands, averaged, score, similarity
from xdancer.pose.layout import LEFT_HAND, RIGHT_HAND


def film(frames: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(40, 200, (frames, 24, 16, 3), dtype=np.uint8)


def test_figures_count_the_person_only() -> None:
    true, person = film(), np.zeros((3, 24, 16))
    person[:, 5:20, 4:12] = 1
    made = true.copy()
    made[:, :, 13:] = 0  # wrong, but nobody is there
    assert score(true, made, person)["psnr"] > 100
    made = true + np.uint8(10)
    made[person == 0] = 0
    assert score(true, made, person)["psnr"] == pytest.approx(20 * np.log10(25.5))


def test_a_halo_counts_around_the_person_alone() -> None:
    true, person = np.full((2, 24, 24, 3), 100, np.uint8), np.zeros((2, 24, 24))
    person[:, 8:16, 8:16] = 1
    made = true + np.uint8(20)
    made[person > 0] = 100
    scores = score(true, made, person)
    assert scores["psnr"] > 100
    off = 20**2 * (16 * 16 - 8 * 8) / (16 * 16)  # four px to every side
    assert scores["around"] == pytest.approx(10 * np.log10(255**2 / off))
    made[:, 4:20, 4:20] = 100
    assert score(true, made, person)["around"] > 100


def test_sharpness_counts_edges_wherever_they_are() -> None:
    across = np.arange(16)
    steep, moved, soft = (np.clip((across - at) * slope, 0, 100) for at, slope in ((5, 100), (7, 100), (5, 25)))
    true, off, blurred = (
        np.broadcast_to(v[None, None, :, None], (2, 8, 16, 3)).astype(np.uint8) for v in (steep, moved, soft)
    )
    person = np.ones((2, 8, 16))
    assert score(true, off, person)["sharpness"] == pytest.approx(1)
    assert score(true, blurred, person)["sharpness"] == pytest.approx(4 * 25**2 / 100**2)
    person[:, :, :12] = 0  # so that edges count from column 8 on
    assert score(off, true, person)["sharpness"] == 0


def test_flicker_is_a_multiple_of_the_truths_own() -> None:
    true = np.zeros((4, 8, 8, 3), dtype=np.uint8)
    true[1::2] = 10
    person = np.ones((4, 8, 8))
    made = true * 3
    assert score(true, made, person)["flicker"] == pytest.approx(3)
    assert score(true, np.zeros_like(true), person)["flicker"] == 0


def test_seams_are_what_is_wrong_where_windows_join() -> None:
    true = np.full((8, 8, 8, 3), 50, np.uint8)
    made = true + np.cumsum([0, 1, 1, 1, 3, 1, 1, 1])[:, None, None, None].astype(np.uint8)
    person = np.ones((8, 8, 8))
    person[:, 4:] = 0
    made[4:, 4:] = 0  # nobody is there
    assert score(true, made, person, range(0, 8, 4))["seams"] == pytest.approx(3)
    assert score(made, made, person, range(0, 8, 4))["seams"] == 0
    assert "seams" not in score(true, made, person)


def test_similarity_is_that_of_the_paper() -> None:
    a = film(1)[0]
    np.testing.assert_allclose(similarity(a, a), 1)
    flat, other = np.full((9, 9, 3), 100, np.uint8), np.full((9, 9, 3), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    want = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)  # flat pictures differ in their means alone
    np.testing.assert_allclose(similarity(flat, other), want)
    assert similarity(a, 255 - a).mean() < 0


def test_hands_are_the_boxes_around_their_joints() -> None:
    poses = np.zeros((2, 60, 3), np.float32)
    poses[0, LEFT_HAND] = (100, 200, 1)
    poses[0, LEFT_HAND.start + 3, :2] = (160, 240)
    poses[1, RIGHT_HAND] = (-500, -500, 1)  # outside
    poses[:, LEFT_HAND.stop - 1, 2] = (1, 0)
    boxes = around_hands(poses, 448, 256)
    rows, columns = (np.flatnonzero(boxes[0].any(axis=axis)) for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (94, 125, 44, 85)  # 12 px of the canvas beside them
    assert boxes[0].sum() == len(rows) * len(columns) and not boxes[1].any()


def test_what_is_wrong_around_hands_counts_by_itself() -> None:
    true, person, hands = film(), np.ones((3, 24, 16)), np.zeros((3, 24, 16))
    hands[:, :6, :6] = 1
    made = true.copy()
    made[:, :6, :3] += 10  # half of it
    first = score(true, made, person, hands=hands)
    assert first["hands"] == pytest.approx(10 * math.log10(255**2 / 50)) and first["psnr"] > first["hands"]
    without = score(true, made, person)
    assert math.isnan(without["hands"])
    both = averaged([first, without, score(true, true + np.uint8(10), person, hands=hands)])
    assert both["hands"] == pytest.approx((first["hands"] + 20 * math.log10(25.5)) / 2)
