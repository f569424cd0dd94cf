"""Pictures in twice their size: what is small in the reference has to come out where the person and the room are."""

import cv2
import numpy as np

from xdancer.renderer.diffusion.enlarger import Enlarger

HEIGHT, WIDTH = 56, 32
BOARD = (slice(12, 44), slice(8, 24))  # where the person stands in the reference, as it is painted
EDGE = 3  # px of the large picture that an edge may take


def large(part: tuple[slice, slice]) -> tuple[slice, slice]:
    return slice(2 * part[0].start, 2 * part[0].stop), slice(2 * part[1].start, 2 * part[1].stop)


def reference() -> np.ndarray:
    """(2 H, 2 W, 3): a person in stripes one px wide before a room that is checked px by px."""
    rows, columns = np.indices((2 * HEIGHT, 2 * WIDTH))
    out = np.where((rows + columns) % 2, 60, 100)
    out[large(BOARD)] = np.where(columns % 2, 180, 220)[large(BOARD)]
    return np.repeat(out[..., None], 3, axis=2).astype(np.uint8)


def plain() -> np.ndarray:
    return cv2.resize(reference(), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def room() -> np.ndarray:
    out = plain()
    out[~free()] = 80  # without the person, filled from around
    return out


def free() -> np.ndarray:
    out = np.ones((HEIGHT, WIDTH), bool)
    out[8:48, 4:28] = False
    return out


def grid(across: int = 0, down: int = 0) -> np.ndarray:
    """(H, W, 2), where each pixel of somebody who has moved by so many px was in the reference."""
    x, y = (np.arange(WIDTH) - across + 0.5) / WIDTH * 2 - 1, (np.arange(HEIGHT) - down + 0.5) / HEIGHT * 2 - 1
    return np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)


def enlarged(across: int = 0, down: int = 0, shown: float = 1.0) -> np.ndarray:
    """The person, painted in grey 200, moved so far."""
    person = np.zeros((HEIGHT, WIDTH), np.float32)
    person[BOARD[0].start + down : BOARD[0].stop + down, BOARD[1].start + across : BOARD[1].stop + across] = 1
    made = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    enlarger = Enlarger(reference(), plain(), room(), free())
    return enlarger.enlarged(made, person, grid(across, down), np.full((HEIGHT, WIDTH), shown, np.float32))


def stripes(picture: np.ndarray) -> np.ndarray:
    """How much lighter or darker each pixel is than its neighbour at the right."""
    return np.diff(picture[..., 0].astype(int), axis=1)


def test_the_room_keeps_all_that_is_small_in_it_and_is_filled_behind_the_person() -> None:
    made, true = enlarged(), reference()
    assert np.array_equal(made[:12], true[:12]) and np.array_equal(made[:, :4], true[:, :4])
    moved = enlarged(across=-6, down=8)
    behind = moved[2 * 13 : 2 * 18, 2 * 20 : 2 * 23]  # where they stood and nobody is now
    assert np.abs(behind.astype(int) - 80).max() < 3


def test_the_person_takes_what_is_small_along() -> None:
    for across, down in ((0, 0), (5, 3), (-4, -7)):
        rows, columns = large(BOARD)
        made = enlarged(across, down)
        there = made[
            rows.start + 2 * down : rows.stop + 2 * down, columns.start + 2 * across : columns.stop + 2 * across
        ]
        inner = there[EDGE:-EDGE, EDGE:-EDGE]
        true = reference()[large(BOARD)][EDGE:-EDGE, EDGE:-EDGE]
        assert (np.sign(stripes(inner)) == np.sign(stripes(true))).all()
        assert np.abs(stripes(inner)).mean() > 0.7 * np.abs(stripes(true)).mean()
        assert abs(inner.mean() - 200) < 2  # the colours are the painted ones


def test_what_the_reference_does_not_show_has_no_detail() -> None:
    rows, columns = large(BOARD)
    made = enlarged(shown=0.0)[rows, columns][EDGE:-EDGE, EDGE:-EDGE]
    assert (made == 200).all()


def test_edges_are_drawn_in_the_larger_size() -> None:
    row = enlarged(shown=0.0)[HEIGHT, :, 0].astype(int)
    left = row[2 * BOARD[1].start - 4 : 2 * BOARD[1].start + 4]
    between = ((left > 110) & (left < 190)).sum()
    assert left[0] <= 100 and left[-1] == 200 and between <= 2


def test_where_nobody_is_there_is_only_room() -> None:
    enlarger = Enlarger(reference(), plain(), room(), free())
    nobody = np.zeros((HEIGHT, WIDTH), np.float32)
    made = enlarger.enlarged(plain(), nobody, grid(), nobody)
    assert made.shape == (2 * HEIGHT, 2 * WIDTH, 3) and made.dtype == np.uint8
    assert np.array_equal(made[:12], reference()[:12])
    made[:] = 0
    assert enlarger.enlarged(plain(), nobody, grid(), nobody).any()  # each picture is its own
