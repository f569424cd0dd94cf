"""The presenter: when each frame is on show, and what is on show when there is none."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from engine.config import Config
from engine.stage.frame import Outlet, ShowFrame
from engine.stage.lead import Lead
from engine.stage.metrics import Window
from engine.stage.wall import unix_time
from engine.studio.frame import StudioFrame
from engine.studio.shared import SoundRing
from xdancer.music.frame import FPS, HOP, BeatState
from xdancer.pose.layout import N_JOINTS

log = logging.getLogger(__name__)
WINDOW = 3 * FPS  # frames over which lateness is judged
TOO_LATE = 0.1  # share of late frames at which the delay grows by one frame
KEPT = 64  # frames made and not yet shown; more than any delay needs
STEP = 0.05  # seconds: a wall clock that is off by more has been set, or the machine slept


class Presenter:
    """Hands frames to the outlets: `made` as they come from the studio, `shown` when they are due, exactly one a frame.

    Frame n is due `delay` seconds after its sound was heard, and leaves for the viewers then, or, in a show that
    anticipates, the time of its delivery before. Where none is there by then the last picture is repeated; a picture
    that comes after that is dropped. Times are the event loop's.
    """

    def __init__(self, config: Config, sound: SoundRing, outlets: list[Outlet]) -> None:
        self.outlets = outlets
        self.anticipates = config.presentation == "anticipate"
        self.lead = Lead(self.anticipates, config.lead)
        self.delay = (config.trim_ms if self.anticipates else config.delay_ms) / 1000
        self.made = self.shown = self.repeated = self.dropped = self.late = 0
        # From hearing the music to having the frame; how late a frame leaves; from hearing its own sound to that.
        self.latency = {"pipeline": Window(), "presenter": Window(), "show": Window()}
        self.behind = 0.0  # seconds from hearing the newest frame to its picture: the pipeline's delay
        self.newest = -1  # the newest frame that the outlets have had as made
        self._most = max(self.delay, config.delay_most_ms / 1000)
        self._sound = sound
        self._epoch = _epoch()
        self._heard: tuple[int, float] = (-1, 0.0)
        self._times: dict[int, float] = {}
        self._ready: dict[int, ShowFrame] = {}
        self._late: deque[bool] = deque(maxlen=WINDOW)
        self._tick = asyncio.Event()
        self._last: ShowFrame | None = None
        self._blank = np.zeros((config.height, config.width, 3), np.uint8)

    @property
    def waiting(self) -> int:
        """Frames made and not yet shown."""
        return len(self._ready)

    def heard(self, index: int, at: float) -> None:
        """Frame `index` of the sound is there, complete since `at`."""
        moved = _epoch() - self._epoch
        if abs(moved) > STEP and abs(moved := _epoch() - self._epoch) > STEP:  # twice: we may lose the processor inside
            log.warning("clock: the wall clock moved by %.2f s; the show follows it", moved)
            self._epoch += moved
        self._heard = (index, at)
        if index >= self.shown:
            self._times[index] = at
        self._tick.set()

    def arrived(self, frame: StudioFrame, tokens: np.ndarray | None) -> float | None:
        """A frame has been made; `tokens` None: by a free run. One that outlets have had already is ignored.

        Returns the seconds since the music it was made from was heard, None where it is ignored.
        """
        if frame.index <= self.newest:
            return None
        self.newest = frame.index
        self.made += 1
        now = asyncio.get_running_loop().time()
        heard = self._time(frame.index - frame.lead)
        behind = now - heard
        if tokens is not None:
            self.behind += 0.1 * (behind - self.behind)
            self.latency["pipeline"].push(behind)
        picture = frame.picture if frame.picture is not None else self._picture()
        due = self._due(frame.index)
        show = ShowFrame(
            index=frame.index,
            due=due + self._epoch,
            picture=picture,
            sound=self._sound_of(frame.index),
            pose=frame.pose,
            tokens=tokens,
            beat=frame.beat,
            level=frame.level,
            early=self.lead.delivery,
            heard=heard + self._epoch,
        )
        if frame.index < self.shown:
            self.dropped += 1
            self.late += 1
        else:
            self._ready[frame.index] = show
            while len(self._ready) > KEPT:
                del self._ready[min(self._ready)]
                self.dropped += 1
        self._tell(lambda outlet: outlet.made(show))
        return behind

    def leaves(self, index: int) -> float:
        """When frame `index` leaves for the viewers, on the event loop's clock."""
        return self._due(index) - self.lead.delivery

    def wait_longer(self, seconds: float, why: str) -> None:
        """Show everything so much later from now on, as far as the configuration allows."""
        delay = min(self.delay + seconds, self._most)
        if delay > self.delay:
            self.delay = delay
            log.warning("presenter: %s; the delay is now %.0f ms", why, 1000 * self.delay)

    async def run(self) -> None:
        """Show one frame after the other, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            while self.shown > self._heard[0] + self.lead.frames or self._heard[0] < 0:
                self._tick.clear()
                await self._tick.wait()
            wait = self.leaves(self.shown) - loop.time()
            await asyncio.sleep(max(0.0, wait))
            self._show(self.shown)

    def _show(self, index: int) -> None:
        frame = self._ready.pop(index, None)
        self._judge(late=frame is None)
        due = self._due(index) + self._epoch
        if frame is None:
            self.repeated += 1
            frame = self._repeat(index, due)
        else:
            frame = replace(frame, due=due, sound=self._sound_of(index))
        now = asyncio.get_running_loop().time()
        self.latency["presenter"].push(now - self.leaves(index))
        self.latency["show"].push(now - self._time(index))
        self._times.pop(index, None)
        self.shown = index + 1
        self._last = frame
        self._tell(lambda outlet: outlet.shown(frame))

    def _repeat(self, index: int, due: float) -> ShowFrame:
        sound = self._sound_of(index)
        if self._last is not None:
            return replace(self._last, index=index, due=due, sound=sound, tokens=None)
        pose = np.zeros((N_JOINTS, 3), np.float32)
        return ShowFrame(index, due, self._blank, sound, pose, None, BeatState())

    def _judge(self, late: bool) -> None:
        """Where too many frames come too late, show everything later from now on."""
        self._late.append(late)
        if self.anticipates:
            return
        if len(self._late) == WINDOW and sum(self._late) > TOO_LATE * WINDOW and self.behind > self.delay - 1 / FPS:
            if self.delay + 1 / FPS <= self._most:
                self.wait_longer(1 / FPS, "pictures come late")
            self._late.clear()

    def _time(self, index: int) -> float:
        """When frame `index` was or will be heard."""
        last, at = self._heard
        return self._times.get(index, at + (index - last) / FPS)

    def _due(self, index: int) -> float:
        return self._time(index) + self.delay

    def _sound_of(self, index: int) -> np.ndarray:
        if self._sound.oldest <= index < self._sound.written:
            return self._sound.read(index, index + 1)
        return np.zeros((HOP, 2), np.float32)

    def _picture(self) -> np.ndarray:
        return self._blank if self._last is None else self._last.picture

    def _tell(self, call: Callable[[Outlet], None]) -> None:
        for outlet in self.outlets:
            try:
                call(outlet)
            except Exception:
                log.exception("%s failed; the show goes on", type(outlet).__name__)


def _epoch() -> float:
    """Unix time at which the event loop's clock was 0."""
    return unix_time() - asyncio.get_running_loop().time()
