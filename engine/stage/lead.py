"""How far the dance runs ahead of the music, so that people who hear the room see it in time.

The lead is what it takes from a frame of sound to its picture, plus encoding and delivery, which viewers report.
"""

from collections import deque
from math import ceil
from statistics import median

from xdancer.music.frame import FPS

MOST_LEAD = 60  # frames: what the choreographer was trained with
DELIVERY = 0.15  # seconds from leaving to being on show, until a viewer has said better
MOST_DELIVERY = 2.0  # seconds; reports beyond are not believed
REPORTS = 31  # the last so many count
MARGIN = 0.03  # seconds between a frame's coming and its leaving
WINDOW = 10 * FPS  # frames over which the pipeline's delay is judged: the lead is lowered after so long
RARE = 0.02  # share of frames that may come too late


class Lead:
    """`frames` is the lead. It is raised as soon as frames come too late, and lowered by what ten seconds did not need.

    fixed: a lead that is kept whatever is measured; None: measured. 0 where the show does not anticipate.
    """

    def __init__(self, anticipate: bool, fixed: int | None = None) -> None:
        self._measured = anticipate and fixed is None
        self._reports: deque[float] = deque(maxlen=REPORTS)
        self._behind: deque[float] = deque(maxlen=WINDOW)
        self.delivery = DELIVERY if anticipate else 0.0  # seconds from leaving to being on show
        self.frames = (fixed or 0) if not self._measured else ceil(FPS * (0.1 + DELIVERY + MARGIN))

    def reported(self, seconds: float) -> None:
        """A viewer has seen a frame so many seconds after it left."""
        if self.delivery and 0 < seconds <= MOST_DELIVERY:
            self._reports.append(seconds)
            self.delivery = median(self._reports)

    def raise_by(self, seconds: float) -> bool:
        """Frames come so much too late; True where the lead has changed."""
        before = self.frames
        if self._measured:
            self.frames = min(self.frames + ceil(FPS * seconds), MOST_LEAD)
            self._behind.clear()
        return self.frames != before

    def came(self, seconds: float, trim: float) -> bool:
        """A frame came `seconds` after its music was heard; it is on show `trim` seconds after its own sound.

        True where the lead has changed.
        """
        if not self._measured:
            return False
        self._behind.append(seconds)
        slow = sorted(self._behind)[-1 - int(RARE * len(self._behind))]
        wanted = min(max(ceil(FPS * (slow + MARGIN + self.delivery - trim)), 0), MOST_LEAD)
        if wanted > self.frames or (wanted < self.frames and len(self._behind) == WINDOW):
            self.frames = wanted
            self._behind.clear()
            return True
        return False
