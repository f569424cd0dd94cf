"""What is danced while no studio dances: the last beat, over and over, drawn by the stage itself."""

from collections import deque

import numpy as np

from engine.studio.frame import StudioFrame
from xdancer.music.frame import FPS
from xdancer.pose.layout import N_JOINTS

SEAM = 4  # frames over which the end of the beat turns into its beginning
LONGEST = 2 * FPS  # frames of a beat at 30 BPM


class FreeRun:
    """Remembers the dance; `frame(n)` is the free run's frame n, without tokens or picture."""

    def __init__(self) -> None:
        self._past: deque[StudioFrame] = deque(maxlen=LONGEST + SEAM)

    def remember(self, frame: StudioFrame) -> None:
        """A frame that was danced."""
        self._past.append(frame)

    def frame(self, index: int) -> tuple[np.ndarray, StudioFrame | None]:
        """Pose float32 (60, 3) of frame `index`, after the last one remembered, and that last one; before any dance
        nobody is there."""
        if not self._past:
            return np.zeros((N_JOINTS, 3), np.float32), None
        last = self._past[-1]
        loop = self._loop(last.beat.tempo)
        return loop[(index - last.index - 1) % len(loop)], last

    def _loop(self, tempo: float) -> np.ndarray:
        poses = np.stack([frame.pose for frame in self._past])
        period = round(60 * FPS / tempo) if tempo > 0 else FPS // 2
        period = max(1, min(period, len(poses) - SEAM))
        loop = poses[-period:].copy()
        before = poses[-period - SEAM : -period]
        for k in range(min(SEAM, len(before), period)):
            share = (k + 1) / (SEAM + 1)
            loop[period - SEAM + k] = _between(loop[period - SEAM + k], before[k], share)
        return loop


def _between(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """(60, 3): a turning into b; a joint seen in only one of them is where it is seen."""
    mixed = (1 - share) * a + share * b
    mixed[a[:, 2] == 0] = b[a[:, 2] == 0]
    mixed[b[:, 2] == 0] = a[b[:, 2] == 0]
    return mixed.astype(np.float32)
