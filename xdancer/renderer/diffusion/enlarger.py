"""Pictures for a wall: in twice the size that they are painted in.

What is too small for a painted picture is the finest band of the reference's Laplacian pyramid (Burt and Adelson, The
Laplacian Pyramid as a Compact Image Code, 1983). The person takes their share of it along, the room keeps its own, and
the edge between them is drawn in the larger size.
"""

import cv2
import numpy as np

DETAIL = 0.8  # of the reference's own
STEEP = 1.6  # an edge that is enlarged is wider; so much steeper it is as firm as before
LEAST = 0.02  # share of the person from which a pixel is more than room
THIN = 0.1  # a share of whose colours, beside the room's, nothing can be told
MARGIN = 2  # px around them that enlarging looks at


class Enlarger:
    """Of one reference: what it takes to enlarge pictures (h, w) of the person in it."""

    def __init__(self, picture: np.ndarray, plain: np.ndarray, room: np.ndarray, free: np.ndarray) -> None:
        """The reference uint8 (2 h, 2 w, 3); the same in the size that is painted, (h, w, 3), with the person and
        without; and where that is `free` (h, w) of them."""
        self._detail = picture.astype(np.int16) - _enlarged(plain, cv2.INTER_CUBIC)
        seen = _enlarged(free.astype(np.float32), cv2.INTER_LINEAR)[..., None]
        self._filled = room.astype(np.float32)
        filled = _enlarged(self._filled, cv2.INTER_CUBIC)
        self._room = np.round(filled + seen * (picture.astype(np.float32) - filled)).astype(np.uint8)

    def enlarged(self, made: np.ndarray, person: np.ndarray, there: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """Uint8 (2 h, 2 w, 3) of a picture that was `made`, uint8 (h, w, 3), of which a share `person` (h, w) is not
        the room. there: (h, w, 2), where the reference shows each pixel, -1 to 1 across and down; shown: (h, w), how
        surely it does."""
        out = self._room.copy()
        rows, columns = (_span(person.max(axis=axis)) for axis in (1, 0))
        part = (slice(rows.start * 2, rows.stop * 2), slice(columns.start * 2, columns.stop * 2))
        if not rows.stop:
            return out
        made, filled, person, there, shown = (v[rows, columns] for v in (made, self._filled, person, there, shown))
        alone = np.clip(filled + (made - filled) / np.maximum(person, THIN)[..., None], 0, 255)
        height, width = out.shape[:2]
        across, down = cv2.split(_enlarged(there, cv2.INTER_LINEAR))
        across, down = (across + 1) * (width / 2) - 0.5, (down + 1) * (height / 2) - 0.5
        detail = cv2.remap(self._detail, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        share = DETAIL * _enlarged(shown, cv2.INTER_LINEAR)[..., None]
        edge = np.clip(STEEP * (_enlarged(person, cv2.INTER_LINEAR) - 0.5) + 0.5, 0, 1)[..., None]
        room = out[part]
        large = room + edge * (_enlarged(alone, cv2.INTER_CUBIC) + share * detail - room)
        out[part] = np.round(np.clip(large, 0, 255)).astype(np.uint8)
        return out


def _enlarged(values: np.ndarray, how: int) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(values), None, fx=2, fy=2, interpolation=how)


def _span(share: np.ndarray) -> slice:
    """From the first to the last share of a person, and a little more; empty, from 0 to 0, where nobody is."""
    at = np.flatnonzero(share > LEAST)
    if not len(at):
        return slice(0, 0)
    return slice(max(int(at[0]) - MARGIN, 0), min(int(at[-1]) + MARGIN + 1, len(share)))
