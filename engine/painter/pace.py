"""How finely the person is drawn: chosen from the time that it takes, so that pictures come as fast as the dance."""

from collections import deque
from dataclasses import dataclass
from statistics import median

from xdancer.music.frame import FPS
from xdancer.renderer.diffusion.schedules import LEVELS, ONCE, WINDOW

BUSY = 0.8  # share of its time that a painter may work
CALM = 0.6  # and that a finer setting would have to leave it under, before it is tried
CHUNKS = 7  # chunks of pictures that are judged together: one slow one says nothing
PATIENCE = 5.0  # seconds between two changes: a change costs the pictures that are under way


@dataclass(frozen=True)
class Setting:
    """`levels` passes for a picture of every `stride`-th frame."""

    levels: int
    stride: int

    @property
    def chunk(self) -> int:
        """Pictures that are finished together: as the windows were trained, and fewer where nothing follows from it."""
        return ONCE if self.levels == 1 else WINDOW // LEVELS

    @property
    def waits(self) -> int:
        """Frames of the dance that a picture waits for, beside its own."""
        return self.chunk * self.levels * self.stride - 1


# From fine to coarse. Every frame drawn in one pass moves better than every second one drawn in two.
SETTINGS = (Setting(4, 1), Setting(2, 1), Setting(1, 1), Setting(1, 2), Setting(1, 3), Setting(1, 4))


class Pace:
    """Chooses among SETTINGS. frames: that a picture may wait for. passes: that better a picture."""

    def __init__(self, frames: int = 3, passes: int = LEVELS) -> None:
        self.frames = frames
        self.setting = Setting(1, 1)
        self._allowed = [s for s in SETTINGS if s.levels == 1 or (s.waits <= frames and s.levels <= passes)]
        self._changed = 0.0
        self._took: deque[float] = deque(maxlen=CHUNKS)

    def took(self, seconds: float, now: float) -> Setting:
        """A drawn frame took so many `seconds` at the present setting; the setting to go on with."""
        self._took.append(seconds)
        if now - self._changed < PATIENCE or len(self._took) < CHUNKS:
            return self.setting
        place = self._allowed.index(self.setting)
        if self._share(self.setting) > BUSY and place + 1 < len(self._allowed):
            self._take(self._allowed[place + 1], now)
        elif place and self._share(self._allowed[place - 1]) < CALM:
            self._take(self._allowed[place - 1], now)
        return self.setting

    def _share(self, setting: Setting) -> float:
        """Of its time that a painter would work: passes cost alike, and nothing else does."""
        return median(self._took) * setting.levels / self.setting.levels * FPS / setting.stride

    def _take(self, setting: Setting, now: float) -> None:
        self.setting, self._changed = setting, now
        self._took.clear()
