"""Memory that stage and painter share: pictures on their way to the stage."""

from dataclasses import dataclass

import numpy as np

from engine.studio.shared import SlotRing


@dataclass(frozen=True)
class Painting:
    """A picture of frame `index`, uint8 (height, width, 3) of the show."""

    index: int
    picture: np.ndarray


class PictureRing(SlotRing[Painting]):
    """Pictures of the show's size on their way from the painter to the stage."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(np.dtype([("index", "<i8"), ("picture", "u1", (height, width, 3))]))

    def _write(self, slot: np.void, painting: Painting) -> None:
        slot["index"], slot["picture"] = painting.index, painting.picture

    def _read(self, slot: np.void) -> Painting:
        return Painting(int(slot["index"]), slot["picture"].copy())
