"""Tempo and beats over OSC (Open Sound Control 1.0, UDP).

    /xdancer/tempo BPM              the tempo
    /xdancer/beat [POSITION]        a beat is now: its number from a downbeat on, from 0; without it, the next one
    /xdancer/downbeat               a bar begins now
    /xdancer/stop                   no beat until the next one

Open Beat Control, which bridges from Pioneer's Pro DJ Link, sends /master/beat DEVICE BEAT(1-4) TEMPO,
/master/tempo BPM and /master/none; these are understood as well.
"""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from typing import Any

from engine.clock.source import BEATS_PER_BAR, FASTEST, SLOWEST, Pulses, exact
from xdancer.errors import UserError
from xdancer.music.frame import BeatState

log = logging.getLogger(__name__)
KEPT = 6  # beats the line goes through
SILENT_BEATS = 4.0  # beats that may be missing before the clock counts as gone
BUNDLE_MOST = 1.0  # seconds by which a bundle's time may differ from now
FAR = 0.25  # beats off the line from which a beat moves the line instead of bending it


class OscClock(asyncio.DatagramProtocol):
    """Listens on a UDP port. Whatever cannot be read as OSC, or makes no sense, is counted and left alone."""

    name = "osc"

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.refused = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._pulses = Pulses(KEPT)

    @property
    def status(self) -> str:
        if self._transport is None:
            return "not listening"
        return f"port {self.port}: {f'beat {self._pulses.last[1]:g}' if len(self._pulses) else 'no beat yet'}"

    async def start(self) -> None:
        """Listen. Raises UserError where the port is taken."""
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, (self.host, self.port))
        except OSError as error:
            raise UserError(
                f"clock.osc_port: cannot listen on {self.host} port {self.port} ({error.strerror or error})"
            ) from None

    def stop(self) -> None:
        if self._transport:
            self._transport.close()
            self._transport = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]
        log.info("clock: listening to OSC on %s port %d", self.host, self.port)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        from pythonosc.osc_packet import OscPacket, ParseError

        now = asyncio.get_running_loop().time()
        try:
            messages = OscPacket(data).messages
        except (ParseError, ValueError, TypeError, OverflowError, RecursionError):
            self.refused += 1
            return
        for timed in messages:
            early = timed.time - time.time()  # only a bundle has a time of its own
            early = early if abs(early) <= BUNDLE_MOST else 0.0
            self.receive(timed.message.address, list(timed.message.params), now + early)

    def receive(self, address: str, values: Sequence[Any], at: float) -> None:
        """Take a message that is meant for the time `at`."""
        numbers = [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]
        if address == "/xdancer/beat":
            self._beat(at, numbers[0] if numbers else None)
        elif address == "/xdancer/downbeat":
            self._beat(at, 0.0)
        elif address in ("/xdancer/tempo", "/master/tempo") and numbers:
            self._tempo(numbers[0])
        elif address == "/master/beat" and len(numbers) >= 3:
            self._tempo(numbers[2])
            self._beat(at, numbers[1] - 1.0)
        elif address in ("/xdancer/stop", "/master/none"):
            self._pulses.clear()
        else:
            self.refused += 1

    def beat(self, index: int, at: float) -> BeatState | None:
        now = self._pulses.at(at)
        if now is None or now[0] - self._pulses.last[1] > SILENT_BEATS:
            return None
        return exact(*now, self.name)

    def _tempo(self, tempo: float) -> None:
        if not SLOWEST <= tempo <= FASTEST:
            self.refused += 1
            return
        if self._pulses.told is not None and abs(tempo / self._pulses.told - 1.0) > 1e-3:
            self._pulses.clear(keep=1)  # the line bends at the last beat
        self._pulses.told = tempo

    def _beat(self, at: float, position: float | None = None) -> None:
        """A beat at `at`; `position` counts modulo the bar, None goes on from what is known."""
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
