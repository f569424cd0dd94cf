"""The show over OSC (Open Sound Control 1.0, UDP), for what speaks no MQTT: TouchDesigner, Resolume, Max, Unreal.

One bundle a frame, sent at the moment at which the frame is on show, and so to be acted on at once:

    /xdancer/pose    frame, then x, y, confidence of the 60 joints: 180 floats, px on the 512 x 896 canvas
    /xdancer/tokens  frame, then 30 ints; not while the show dances without its choreographer
    /xdancer/beat    beat, beat in bar (0: downbeat), then BPM and confidence as floats; in the frame that strikes it

A bundle has some 1.2 kB and fits one datagram on any network.
"""

import logging
import socket
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from engine.stage.frame import ShowFrame
from xdancer.errors import UserError

log = logging.getLogger(__name__)


class OscOutSettings(BaseModel):
    """`to`: HOST:PORT of whoever listens, a broadcast address too, or `off`."""

    model_config = ConfigDict(extra="forbid")

    to: str = "off"

    @field_validator("to")
    @classmethod
    def _to_is_an_address(cls, value: str) -> str:
        if value != "off":
            host, colon, port = value.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(f"{value!r} is neither off nor HOST:PORT")
        return value


class OscOut:
    """An outlet. `sent` counts bundles, `dropped` those that the system would not take."""

    def __init__(self, settings: OscOutSettings) -> None:
        """Raises UserError where the host is not known."""
        self.sent = self.dropped = 0
        self._beat = -1
        self._failed = ""
        host, _, port = settings.to.rpartition(":")
        try:
            found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        except OSError as error:
            raise UserError(f"osc_out.to: {settings.to}: no such host ({error.strerror})") from None
        family, kind, protocol, _, address = found[0]
        self._address: Any = address
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setblocking(False)

    def made(self, frame: ShowFrame) -> None:
        """Nothing: OSC has no due time that all receivers heed."""

    def shown(self, frame: ShowFrame) -> None:
        """Sends the frame."""
        struck = frame.beat.struck is not None and frame.beat.beat != self._beat
        if struck:
            self._beat = frame.beat.beat
        try:
            self._socket.sendto(bundle(frame, struck), self._address)
            self.sent += 1
            self._failed = ""
        except OSError as error:  # nobody listens, no network, no room: all of them may pass
            self.dropped += 1
            if str(error) != self._failed:
                self._failed = str(error)
                log.warning("osc_out: %s:%d: %s; the show goes on", *self._address[:2], error)

    def close(self) -> None:
        self._socket.close()


def bundle(frame: ShowFrame, struck: bool) -> bytes:
    """The frame as an OSC bundle; `struck`: its beat is told."""
    out = OscBundleBuilder(IMMEDIATELY)
    joints = np.nan_to_num(np.asarray(frame.pose, dtype=np.float64)).ravel().tolist()
    out.add_content(_message("pose", [frame.index], joints))
    if frame.tokens is not None:
        out.add_content(_message("tokens", [frame.index, *frame.tokens.ravel().tolist()]))
    if struck:
        beat = frame.beat
        out.add_content(_message("beat", [beat.beat, beat.beat_in_bar], [beat.tempo, beat.confidence]))
    return bytes(out.build().dgram)


def _message(name: str, ints: list[int], floats: list[float] | None = None) -> Any:
    message = OscMessageBuilder(f"/xdancer/{name}")
    for number in ints:
        message.add_arg(number, OscMessageBuilder.ARG_TYPE_INT)
    for value in floats or []:
        message.add_arg(float(value), OscMessageBuilder.ARG_TYPE_FLOAT)
    return message.build()
