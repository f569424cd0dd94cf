"""Which picture a frame goes on with, and when."""

import numpy as np
import pytest

from engine.painter.shared import Painting
from engine.params import Params
from engine.stage.easel import HOLD, Easel
from engine.studio.frame import StudioFrame
from xdancer.music.frame import BeatState

SKELETON = np.zeros((4, 4, 3), np.uint8)


def frame(index: int, **params: object) -> StudioFrame:
    row = np.zeros((5, 6), np.int16)
    wanted = Params(**{"renderer": "diffusion", **params})  # type: ignore[arg-type]
    pose = np.zeros((60, 3), np.float32)
    return StudioFrame(index, row, row, pose, BeatState(), -20.0, SKELETON, params=wanted)


def put(easel: Easel, *indices: int, **params: object) -> None:
    for index in indices:
        easel.put(frame(index, **params), np.full((5, 6), index))


def painted(easel: Easel, *indices: int, late: float = -1.0) -> None:
    for index in indices:
        easel.painted(Painting(index, np.full((4, 4, 3), min(10 * index, 255), np.uint8)), late)


def taken(easel: Easel, due: int = -1) -> list[tuple[int, int]]:
    """Frames and the grey of their pictures, where those up to `due` have to go."""
    out = easel.take(lambda index: index <= due)
    assert all((tokens == frame.index).all() for frame, tokens in out)
    return [(frame.index, int(frame.picture[0, 0, 0])) for frame, _ in out]


def test_frames_wait_for_their_person_and_go_in_order() -> None:
    easel = Easel()
    put(easel, 0, 1, 2)
    painted(easel, 1)
    assert taken(easel) == [] and easel.first() == 0
    painted(easel, 0)
    assert taken(easel) == [(0, 0), (1, 10)] and len(easel) == 1


def test_between_two_pictures_it_is_blended() -> None:
    easel = Easel()
    put(easel, 1, 2, 3, 4, 5)
    painted(easel, 1)
    assert taken(easel) == [(1, 10)]
    painted(easel, 5)
    assert taken(easel) == [(2, 20), (3, 30), (4, 40), (5, 50)]


def test_the_last_picture_is_held_and_then_the_skeleton_stands_in_until_the_person_returns() -> None:
    easel = Easel()
    painted(easel, 1)
    put(easel, *range(1, HOLD + 5))
    assert taken(easel) == [(1, 10)]
    assert taken(easel, due=HOLD + 4) == [(k, 10) for k in range(2, HOLD + 2)] + [
        (k, 0) for k in range(HOLD + 2, HOLD + 5)
    ]
    assert easel.stood_in == 3 and HOLD < 15  # within half a second
    put(easel, 20)
    painted(easel, 20)
    assert taken(easel) == [(20, 200)]


@pytest.mark.parametrize("params", [{"renderer": "skeleton"}, {"blackout": True}, {"flash": True}])
def test_frames_that_want_no_person_do_not_wait(params: dict[str, object]) -> None:
    easel = Easel()
    painted(easel, 2)
    put(easel, 2, **params)
    assert taken(easel) == [(2, 0)] and easel.stood_in == 0


def test_pictures_that_came_too_late_are_told() -> None:
    easel = Easel()
    put(easel, 0, 1, 2)
    taken(easel, due=1)
    painted(easel, 1, late=0.2)
    painted(easel, 2, late=0.1)  # its frame is still here
    assert list(easel.late) == [0.2, 0.0]
    painted(easel, 25 + 2 * HOLD)
    assert len(easel._paintings) == 1  # nothing is kept that nobody waits for
