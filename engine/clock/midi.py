"""MIDI clock in: 24 ticks a quarter note, and where the song is (MIDI 1.0, system real time and common messages)."""

from typing import Any

from engine.clock.source import Pulses, exact
from engine.control.midi import MidiPort
from xdancer.music.frame import BeatState

TICKS = 24  # a beat
SIXTEENTH = 6  # ticks of a song position's step
KEPT = 2 * TICKS  # ticks the tempo is taken from
ENOUGH = 6  # ticks before the tempo is believed
GONE_AFTER = 1.0  # seconds without a tick


class MidiClock:
    """Follows ticks from a `start` or `continue` on, for ticks alone do not tell which of them is the beat."""

    name = "midi"

    def __init__(self, port: MidiPort) -> None:
        self._port = port
        self._pulses = Pulses(KEPT)
        self._ticks = 0  # since we listen
        self._start: int | None = None  # the tick that is beat 0; None: not running
        self._song = 0  # where `continue` goes on, in ticks
        for kind in ("clock", "start", "continue", "songpos", "stop"):
            port.on(kind, self.receive)

    @property
    def status(self) -> str:
        if not len(self._pulses):
            return f"{self._port.status}: no clock" if self._port.status.startswith("listening") else self._port.status
        return "running" if self._start is not None else "ticks, waiting for start"

    def receive(self, message: Any) -> None:
        """Take a mido message that came at its `time`."""
        at = message.time
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
