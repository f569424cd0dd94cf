"""Where frames of the dance wait for the picture of the person; the skeleton stands in where it does not come."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from engine.painter.shared import Painting
from engine.params import wants_person
from engine.studio.frame import StudioFrame

HOLD = 12  # frames that the last picture of the person may stand still, until the skeleton stands in
APART = 4  # frames between two pictures of the person, at most, that others are blended from
Waiting = tuple[StudioFrame, np.ndarray]  # and its tokens


class Easel:
    """Frames in, the same frames in the same order out, with pictures of the person where they are to have them.

    stood_in: frames whose person did not come in time and that nobody could be held for. late: seconds by which the
    newest pictures missed their frames, 0 where they did not.
    """

    def __init__(self) -> None:
        self.stood_in = 0
        self.late: deque[float] = deque(maxlen=30)
        self._waiting: deque[Waiting] = deque()
        self._paintings: dict[int, np.ndarray] = {}
        self._out = -1

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, frame: StudioFrame, tokens: np.ndarray) -> None:
        self._waiting.append((frame, tokens))

    def painted(self, painting: Painting, late: float) -> None:
        """The picture of a frame has come, so many seconds after the frame had to go on."""
        self.late.append(max(late, 0.0) if painting.index <= self._out else 0.0)
        self._paintings[painting.index] = painting.picture
        for index in [index for index in self._paintings if index < painting.index - 2 * HOLD]:
            del self._paintings[index]

    def take(self, due: Callable[[int], bool]) -> list[Waiting]:
        """The frames that can go on: theirs is there, or they want none, or they are `due`."""
        out: list[Waiting] = []
        while self._waiting:
            frame, tokens = self._waiting[0]
            picture = frame.picture
            if wants_person(frame.params):
                person = self._person(frame.index)
                if person is None:
                    if not due(frame.index):
                        break
                    person = self._held(frame.index)
                    self.stood_in += person is None
                picture = picture if person is None else person
            self._waiting.popleft()
            self._out = frame.index
            out.append((replace(frame, picture=picture), tokens))
        return out

    def first(self) -> int | None:
        """The frame that waits for the longest."""
        return self._waiting[0][0].index if self._waiting else None

    def _person(self, index: int) -> np.ndarray | None:
        """The picture of this frame: painted, or blended from the two around it."""
        if index in self._paintings:
            return self._paintings[index]
        before = max((k for k in self._paintings if k < index), default=None)
        after = min((k for k in self._paintings if k > index), default=None)
        if before is None or after is None or after - before > APART:
            return None
        share = (index - before) / (after - before)
        return cv2.addWeighted(self._paintings[before], 1 - share, self._paintings[after], share, 0.0)

    def _held(self, index: int) -> np.ndarray | None:
        """The last picture before this frame, unless it has stood still for too long."""
        last = max((k for k in self._paintings if index - HOLD <= k < index), default=None)
        return None if last is None else self._paintings[last]
