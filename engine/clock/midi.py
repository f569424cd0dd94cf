"""MIDI clock in: 24 ticks a quarter note, and where the song is (MIDI 1.0, system real time and common messages)."""

import asyncio
import contextlib
import logging
from typing import Any

from engine.clock.source import Pulses, exact
from xdancer.errors import UserError
from xdancer.music.frame import BeatState

log = logging.getLogger(__name__)
TICKS = 24  # a beat
SIXTEENTH = 6  # ticks of a song position's step
KEPT = 2 * TICKS  # ticks the tempo is taken from
ENOUGH = 6  # ticks before the tempo is believed
GONE_AFTER = 1.0  # seconds without a tick
OWN_PORT = "xdancer"


class MidiClock:
    """Follows ticks from a `start` or `continue` on, for ticks alone do not tell which of them is the beat."""

    name = "midi"

    def __init__(self, port: str | None = None) -> None:
        """`port`: part of an input's name; None for a port of our own. Raises UserError without python-rtmidi."""
        try:
            import rtmidi  # noqa: F401
        except ImportError:
            raise UserError("clock: MIDI needs python-rtmidi: pip install 'xdancer[midi]'") from None
        self._wanted, self._label = port, ""
        self._port: Any = None
        self._pulses = Pulses(KEPT)
        self._ticks = 0  # since we listen
        self._start: int | None = None  # the tick that is beat 0; None: not running
        self._song = 0  # where `continue` goes on, in ticks

    @property
    def status(self) -> str:
        if self._port is None:
            return "no port"
        if not len(self._pulses):
            return f"{self._label}: no clock"
        return f"{self._label}: running" if self._start is not None else f"{self._label}: ticks, waiting for start"

    async def start(self) -> None:
        """Open the port. Raises UserError where it is not there."""
        loop = asyncio.get_running_loop()

        def called(message: Any) -> None:  # on a thread of the MIDI system
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self.receive, message, loop.time())

        self._port, self._label = await asyncio.to_thread(_open, self._wanted, called)
        log.info("clock: listening to MIDI clock on %s", self._label)

    def stop(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None

    def receive(self, message: Any, at: float) -> None:
        """Take a mido message that came at `at`."""
        if len(self._pulses) and at - self._pulses.last[0] > GONE_AFTER:
            self._pulses.clear()
            self._start = None  # what was missed nobody knows
        if message.type == "clock":
            self._pulses.add(at, self._ticks / TICKS)
            self._ticks += 1
        elif message.type == "start":
            self._start = self._ticks  # the next tick is the first beat
        elif message.type == "continue":
            self._start = self._ticks - self._song
        elif message.type == "songpos":
            self._song = SIXTEENTH * message.pos
        elif message.type == "stop" and self._start is not None:
            self._song, self._start = self._ticks - self._start, None

    def beat(self, index: int, at: float) -> BeatState | None:
        if self._start is None or len(self._pulses) < ENOUGH or at - self._pulses.last[0] > GONE_AFTER:
            return None
        now = self._pulses.at(at)
        return exact(now[0] - self._start / TICKS, now[1], self.name) if now else None


def _open(wanted: str | None, callback: Any) -> tuple[Any, str]:
    import mido

    backend = mido.Backend()  # MIDO_BACKEND chooses another than the system's own, e.g. JACK
    try:
        if wanted is None:
            return backend.open_input(OWN_PORT, virtual=True, callback=callback), OWN_PORT
        names = backend.get_input_names()
        name = next((name for name in names if wanted.lower() in name.lower()), None)
        if name is not None:
            return backend.open_input(name, callback=callback), name
    except Exception as error:  # whatever the MIDI system may raise
        raise UserError(f"clock: MIDI cannot be had here ({str(error).splitlines()[0]})") from None
    there = ", ".join(names) or "none"
    raise UserError(f"clock.midi_port: no MIDI input has {wanted!r} in its name; there are: {there}")
