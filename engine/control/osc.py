"""OSC in (Open Sound Control 1.0 over UDP): /xdancer/energy 0.8 and the like, from TouchOSC, a light desk, Max."""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pythonosc.osc_packet import OscPacket

from engine.control.knobs import Knobs, Seldom
from engine.control.settings import OscSettings
from engine.control.tempo import STEPS, step
from engine.params import MOMENTS, Moment
from xdancer.errors import UserError

log = logging.getLogger(__name__)
ROOT = "/xdancer/"
EARLY_MOST = 1.0  # seconds by which a bundle's time may differ from now; further off it is somebody's wrong clock
Handler = Callable[[Sequence[Any]], None]


class OscServer(asyncio.DatagramProtocol):
    """One UDP port. `on` says who handles which address; a bundle's messages are handled in order, at once. `at` is the
    time that the message under way is meant for, on the event loop's clock: a bundle's own, else when it came."""

    def __init__(self, settings: OscSettings) -> None:
        self.at = 0.0
        self.refused = Seldom()
        self.port = settings.port
        self._settings = settings
        self._handlers: dict[str, Handler] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def on(self, address: str, handler: Handler) -> None:
        """`handler` gets the arguments of every message to `address`; a UserError of its is logged."""
        self._handlers[address] = handler

    async def start(self) -> None:
        """Listen. Raises UserError where the port is taken."""
        if self._settings.port is None:
            return
        loop, where = asyncio.get_running_loop(), (self._settings.host, self._settings.port)
        try:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=where)
        except OSError as error:
            raise UserError(f"osc.port: cannot listen on {where[0]} port {where[1]} ({error.strerror})") from error
        self.port = self._transport.get_extra_info("sockname")[1]

    def stop(self) -> None:
        if self._transport:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if not self._heard(str(addr[0])):
            self.refused.warn(f"osc: {addr[0]} is not in osc.allow")
            return
        try:
            messages = OscPacket(data).messages
        except Exception:  # python-osc trips in many ways over what is no packet
            self.refused.warn(f"osc: not a packet, from {addr[0]}")
            return
        now, wall = asyncio.get_running_loop().time(), time.time()
        for due, message in messages:
            self.at = now + (due - wall if abs(due - wall) <= EARLY_MOST else 0.0)
            self._handle(message.address, message.params)

    def _handle(self, address: str, arguments: Sequence[Any]) -> None:
        handler = self._handlers.get(address)
        if handler is None:
            self.refused.warn(f"osc: {address[:60]!r} is not known; there are {', '.join(sorted(self._handlers))}")
            return
        try:
            handler(arguments)
        except UserError as error:
            self.refused.warn(f"osc: {address}: {error}")

    def _heard(self, sender: str) -> bool:
        address = ipaddress.ip_address(sender.partition("%")[0])
        return address.is_loopback or any(address in network for network in self._settings.allow)


class OscParams:
    """The parameters as OSC addresses: one value each, then perhaps when it takes hold (`frame`, `beat`, `bar`).

    No value gives energy, style, reference and tempo_from back to the music and the configuration. `/xdancer/apply bar`
    is for all that come without a moment. What steps or taps the tempo is a button: nothing or 1, and 0 for release.
    """

    def __init__(self, server: OscServer, knobs: Knobs, tap: Callable[[float], None]) -> None:
        self._knobs = knobs
        self._moment: Moment = "frame"
        for name in ("energy", "temperature", "tempo", "tempo_scale", "tempo_from", "nudge_ms", "nudge_beats"):
            self._add(server, name, _number)
        for name in ("mirror", "hold", "blackout", "flash"):
            self._add(server, name, _switch)
        for name in ("style", "reference", "renderer", "clock"):
            self._add(server, name, _text)
        for name in ("seed", "trim_ms"):
            self._add(server, name, _whole)
        self._add(server, "preset", lambda value: value if isinstance(value, str) else str(_whole(value)))
        for name in STEPS:
            self._button(server, name, partial(self._step, name))
        self._button(server, "tap", lambda: tap(server.at))
        server.on(f"{ROOT}apply", self._apply)

    def _add(self, server: OscServer, name: str, read: Callable[[Any], Any]) -> None:
        def handle(arguments: Sequence[Any]) -> None:
            values = [value for value in arguments if value not in MOMENTS]
            moments = [value for value in arguments if value in MOMENTS]
            if len(values) > 1 or len(moments) > 1:
                raise UserError("expected one value, and perhaps frame, beat or bar")
            value = values[0] if values and values[0] != "" else None
            if value is None and name not in ("energy", "style", "reference", "tempo_from"):
                raise UserError("expected a value")
            self._knobs.turn(name, None if value is None else read(value), moments[0] if moments else self._moment)

        server.on(ROOT + name, handle)

    def _step(self, name: str) -> None:
        self._knobs.turn(*step(name, self._knobs.params()))

    def _button(self, server: OscServer, name: str, press: Callable[[], None]) -> None:
        def handle(arguments: Sequence[Any]) -> None:
            if not arguments or _switch(arguments[0]):
                press()

        server.on(ROOT + name, handle)

    def _apply(self, arguments: Sequence[Any]) -> None:
        if len(arguments) != 1 or arguments[0] not in MOMENTS:
            raise UserError("expected frame, beat or bar")
        self._moment = arguments[0]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"expected a number, found {type(value).__name__}")
    return round(float(value), 6)  # most send single precision, in which 0.6 is 0.60000002


def _whole(value: Any) -> int:
    number = _number(value)
    if number != number or abs(number) > 2**53:
        raise UserError("expected a whole number")
    return int(number)


def _switch(value: Any) -> bool:
    """A button sends 1 and 0, some send true and false."""
    return value if isinstance(value, bool) else _number(value) >= 0.5


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"expected a word, found {type(value).__name__}")
    return value
