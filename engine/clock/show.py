"""The stage's clock: which exact clock the dance follows, and the ones that are listened to."""

import asyncio
import logging
from typing import Any

from engine.clock.fixed import FixedClock
from engine.clock.settings import ClockSettings
from engine.clock.source import ClockSource
from engine.clock.tap import TapClock
from engine.params import ClockName
from xdancer.errors import UserError
from xdancer.music.frame import BeatState

log = logging.getLogger(__name__)
PREFERRED = ("tap", "link", "midi", "osc")  # by `auto`: a hand first, then whoever is there
RETRY_FIRST, RETRY_MOST = 2.0, 60.0  # seconds until a clock that could not start is tried again, doubled each time


class ShowClock:
    """Owns the exact clocks. `beat` says what the dance follows at the end of a frame; None: the beat that is heard.

    Those from outside are started when they are first asked for, and again and again where they cannot start yet.
    """

    def __init__(self, settings: ClockSettings) -> None:
        """Raises UserError where a clock that is to be listened to lacks its package."""
        self.tap, self.fixed = TapClock(), FixedClock(settings.tempo)
        self._settings = settings
        self._sources: dict[str, ClockSource] = {"tap": self.tap, "fixed": self.fixed}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running = False
        self._wanted: ClockName = "auto"
        for name in settings.listen:
            self._listen(name)
        self.follow(settings.source)

    def follow(self, wanted: ClockName) -> None:
        """Follow that clock from now on; what was tapped before is forgotten. Raises UserError where its package is
        missing."""
        if wanted not in ("auto", "audio"):
            self._listen(wanted)
        self._wanted = wanted
        self.tap.forget()

    def start(self) -> None:
        """Begin to listen, on the running event loop; never waits."""
        self._running = True
        for name in self._sources:
            self._begin(name)

    def stop(self) -> None:
        """End all of it."""
        self._running = False
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        for source in self._sources.values():
            source.stop()

    def beat(self, index: int, at: float) -> BeatState | None:
        """At the end of frame `index`, which is the time `at` on the event loop's clock."""
        fixed = self.fixed.beat(index, at)  # counts on, whether it is followed or not
        if self._wanted == "fixed":
            return fixed
        for name in PREFERRED if self._wanted == "auto" else (self._wanted,):
            source = self._sources.get(name)
            state = source.beat(index, at) if source else None
            if state:
                return state
        return None

    def state(self) -> dict[str, Any]:
        """What is wanted, and how each clock is."""
        return {"wanted": self._wanted, "sources": {name: source.status for name, source in self._sources.items()}}

    def _listen(self, name: str) -> None:
        if name not in self._sources:
            self._sources[name] = _open(name, self._settings)
            if self._running:
                self._begin(name)

    def _begin(self, name: str) -> None:
        self._tasks[name] = asyncio.create_task(self._keep(self._sources[name]), name=f"clock {name}")

    async def _keep(self, source: ClockSource) -> None:
        said, wait = "", RETRY_FIRST
        while True:
            try:
                await source.start()
                return
            except UserError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("%s; the show goes on, trying again", said)
            await asyncio.sleep(wait)
            wait = min(2.0 * wait, RETRY_MOST)


def _open(name: str, settings: ClockSettings) -> ClockSource:
    if name == "link":
        from engine.clock.link import LinkClock

        return LinkClock()
    if name == "midi":
        from engine.clock.midi import MidiClock

        return MidiClock(settings.midi_port)
    from engine.clock.osc import OscClock

    return OscClock(settings.osc_host, settings.osc_port)
