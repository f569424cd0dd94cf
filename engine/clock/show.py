"""The stage's clock: which exact clock the dance follows, and the ones that are listened to."""

from engine.clock import link
from engine.clock.fixed import FixedClock
from engine.clock.source import ClockSource
from engine.clock.tap import TapClock
from engine.config import Config
from engine.params import ClockName
from xdancer.errors import UserError
from xdancer.music.frame import BeatState

OTHERS = ("link", "midi", "osc")  # clocks from outside, in the order in which `auto` prefers them


def unavailable(config: Config) -> dict[str, str]:
    """Why some clocks cannot be followed in this show, by name."""
    why = {}
    if not link.installed():
        why["link"] = link.MISSING
    if config.midi.port == "off":
        why["midi"] = "midi.port is off"
    if config.osc.port is None:
        why["osc"] = "osc.port is not set"
    return why


class ShowClock:
    """Owns tap, fixed tempo and Link; MIDI and OSC clock, which share their ports with the controls, are added.

    `beat` says what the dance follows at the end of a frame; None: the beat that is heard.
    """

    def __init__(self, config: Config) -> None:
        """Raises UserError where a clock that the configuration names cannot be had."""
        settings = config.clock
        why = unavailable(config)
        for key, name in (("clock.source", settings.source), ("clock.link", "link" if settings.link else "")):
            if name in why:
                raise UserError(f"{key}: {why[name]}")
        self.tap, self.fixed = TapClock(), FixedClock(settings.tempo)
        self._sources: dict[str, ClockSource] = {}
        self._link: link.LinkClock | None = None
        self._running = False
        self._wanted: ClockName = "auto"
        for source in (self.tap, self.fixed):
            self.add(source)
        if settings.link:
            self._listen_for_link()
        self.follow(settings.source, settings.tempo)

    def add(self, source: ClockSource) -> None:
        """Another clock to follow, by its name."""
        self._sources[source.name] = source

    def follow(self, wanted: ClockName, tempo: float) -> None:
        """Follow that clock from now on; `tempo` is the fixed one's. What was tapped is forgotten with it."""
        self.fixed.set(tempo)
        if wanted == self._wanted:
            return
        if wanted == "link" and self._link is None:
            self._listen_for_link()
        if self._wanted == "tap":
            self.tap.forget()
        self._wanted = wanted

    def start(self) -> None:
        """Begin to listen, on the running event loop; never waits."""
        self._running = True
        if self._link:
            self._link.start()

    def stop(self) -> None:
        """End all of it."""
        self._running = False
        if self._link:
            self._link.stop()

    def beat(self, index: int, at: float) -> BeatState | None:
        """At the end of frame `index`, which is the time `at` on the event loop's clock."""
        fixed = self.fixed.beat(index, at)  # counts on, whether it is followed or not
        if self._wanted == "fixed":
            return fixed
        for name in OTHERS if self._wanted == "auto" else (self._wanted,):
            source = self._sources.get(name)
            state = source.beat(index, at) if source else None
            if state:
                return state
        return None

    def state(self) -> dict[str, str]:
        """How each clock is, in words."""
        return {name: source.status for name, source in self._sources.items()}

    def _listen_for_link(self) -> None:
        self._link = link.LinkClock()
        self.add(self._link)
        if self._running:
            self._link.start()
