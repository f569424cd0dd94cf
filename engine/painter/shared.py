"""Memory that stage and painter share: pictures on their way to the stage."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.studio.shared import context

SLOTS = 16  # pictures made and not yet taken; a painter that finds none free waits


@dataclass(frozen=True)
class Painting:
    """A picture of frame `index`, uint8 (height, width, 3) of the show."""

    index: int
    picture: np.ndarray


@dataclass
class PictureRing:
    """SLOTS pictures of the show's size; none is ever overwritten before it was taken. One writer, one reader."""

    width: int
    height: int

    def __post_init__(self) -> None:
        self._memory: Any = context.RawArray("b", SLOTS * self._slot.itemsize)
        self._free = context.Semaphore(SLOTS)
        self._count = context.RawValue("q", 0)
        self._taken = 0

    def put(self, painting: Painting, timeout: float) -> bool:
        """Write a picture into a free slot; False where none got free within `timeout` seconds."""
        if not self._free.acquire(timeout=timeout):
            return False
        slot = self._slots()[self._count.value % SLOTS]
        slot["index"], slot["picture"] = painting.index, painting.picture
        self._count.value += 1
        return True

    def take(self) -> Iterator[Painting]:
        """What has been painted since, oldest first; for the stage."""
        slots = self._slots()
        while self._taken < self._count.value:
            slot = slots[self._taken % SLOTS]
            painting = Painting(int(slot["index"]), slot["picture"].copy())
            self._taken += 1
            self._free.release()
            yield painting

    @property
    def _slot(self) -> np.dtype:
        return np.dtype([("index", "<i8"), ("picture", "u1", (self.height, self.width, 3))])

    def _slots(self) -> np.ndarray:
        return np.frombuffer(self._memory, self._slot)
