"""Tempo and beats over OSC, on the show's one port (`osc.port`).

    /xdancer/clock/tempo BPM          the tempo
    /xdancer/clock/beat [POSITION]    a beat is now: its number from a downbeat on, from 0; without it, the next one
    /xdancer/clock/downbeat           a bar begins now
    /xdancer/clock/stop               no beat until the next one

Open Beat Control, which bridges from Pioneer's Pro DJ Link, sends /master/beat DEVICE BEAT(1-4) TEMPO,
/master/tempo BPM and /master/none; these are understood as well.
"""

import math
from collections.abc import Sequence
from typing import Any

from engine.clock.source import BEATS_PER_BAR, FASTEST, SLOWEST, Pulses, exact
from engine.control.osc import OscServer
from xdancer.errors import UserError
from xdancer.music.frame import BeatState

KEPT = 6  # beats the line goes through
SILENT_BEATS = 4.0  # beats that may be missing before the clock counts as gone
FAR = 0.25  # beats off the line from which a beat moves the line instead of bending it


class OscClock:
    """The beat as somebody on the network sends it; what makes no sense is refused (UserError) and changes nothing."""

    name = "osc"

    def __init__(self, server: OscServer) -> None:
        self._server = server
        self._pulses = Pulses(KEPT)
        for address, handler in {
            "/xdancer/clock/tempo": lambda values: self._tempo(_number(values, 0)),
            "/xdancer/clock/beat": lambda values: self._beat(_number(values, 0) if values else None),
            "/xdancer/clock/downbeat": lambda values: self._beat(0.0),
            "/xdancer/clock/stop": lambda values: self._pulses.clear(),
            "/master/tempo": lambda values: self._tempo(_number(values, 0)),
            "/master/beat": self._master,
            "/master/none": lambda values: self._pulses.clear(),
        }.items():
            server.on(address, handler)

    @property
    def status(self) -> str:
        if self._server.port is None:
            return "off"
        told = f"beat {self._pulses.last[1]:g}" if len(self._pulses) else "no beat yet"
        return f"port {self._server.port}: {told}"

    def beat(self, index: int, at: float) -> BeatState | None:
        now = self._pulses.at(at)
        if now is None or now[0] - self._pulses.last[1] > SILENT_BEATS:
            return None
        return exact(*now, self.name)

    def _master(self, values: Sequence[Any]) -> None:
        self._tempo(_number(values, 2))
        self._beat(_number(values, 1) - 1.0)

    def _tempo(self, tempo: float) -> None:
        if not SLOWEST <= tempo <= FASTEST:
            raise UserError(f"expected a tempo from {SLOWEST:g} to {FASTEST:g}")
        if self._pulses.told is not None and abs(tempo / self._pulses.told - 1.0) > 1e-3:
            self._pulses.clear(keep=1)  # the line bends at the last beat
        self._pulses.told = tempo

    def _beat(self, position: float | None) -> None:
        """A beat; `position` counts modulo the bar, None goes on from what is known."""
        at = self._server.at
        line = self._pulses.at(at)
        if line and line[0] - self._pulses.last[1] > SILENT_BEATS:
            self._pulses.clear()
            line = None
        expected = line[0] if line else self._pulses.last[1] + 1.0 if len(self._pulses) else 0.0
        if position is None:
            beat = float(round(expected))
        else:
            beat = position + BEATS_PER_BAR * round((expected - position) / BEATS_PER_BAR)
        if line and abs(beat - line[0]) > FAR:
            self._pulses.shift(beat - line[0])
        self._pulses.add(at, beat)


def _number(values: Sequence[Any], place: int) -> float:
    value = values[place] if len(values) > place else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError("expected a number")
    return float(value)
