"""Where the broker is, and the connection to it."""

import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import aiomqtt

from xdancer_client.errors import DanceError

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
REFUSED = (4, 5, 134, 135)  # CONNACK: bad name or password, not authorised (MQTT 3.1.1, 3.2.2.3; MQTT 5, 3.2.2.2)
Version = Literal["3.1.1", "5"]


@dataclass(frozen=True)
class Broker:
    """`str()` leaves name and password out."""

    scheme: str
    host: str
    port: int
    path: str
    username: str | None
    password: str | None = field(repr=False)
    ca: Path | None
    version: Version

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def client(self) -> aiomqtt.Client:
        """A connection to open with `async with`. Raises DanceError where the CA file is none."""
        web = self.scheme in ("ws", "wss")
        return aiomqtt.Client(
            self.host,
            self.port,
            username=self.username,
            password=self.password,
            protocol=aiomqtt.ProtocolVersion.V5 if self.version == "5" else aiomqtt.ProtocolVersion.V311,
            transport="websockets" if web else "tcp",
            websocket_path=self.path if web else None,
            tls_context=self._tls() if self.scheme in ("mqtts", "wss") else None,
            keepalive=10,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            max_queued_incoming_messages=1024,  # ten seconds of a show: only a stopped loop ever fills it
        )

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise DanceError(f"{self.ca}: not a file of CA certificates ({error})") from None


def broker(url: str, **options: Any) -> Broker:
    """The broker at `url`. Raises DanceError where that is no address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise DanceError(f"broker: {error}; expected mqtt://HOST[:PORT]") from None
    if parts.scheme not in PORTS or not parts.hostname:
        # It may hold a password: what was given is not repeated.
        raise DanceError("broker: not an address; expected mqtt://, mqtts://, ws:// or wss://HOST[:PORT]")
    if parts.username:
        options["username"] = unquote(parts.username)
    if parts.password:
        options["password"] = unquote(parts.password)
    path = parts.path if len(parts.path) > 1 else "/mqtt"
    return Broker(parts.scheme, parts.hostname, port or PORTS[parts.scheme], path, **options)


def refused(error: aiomqtt.MqttError) -> bool:
    """Whether the broker knows us not: trying again would not help."""
    code = getattr(error, "rc", None)
    return getattr(code, "value", code) in REFUSED


def forget(client: aiomqtt.Client) -> None:
    """aiomqtt 2.5 leaves an exception in a future that nobody reads; asyncio would print it with a traceback."""
    future = getattr(client, "_disconnected", None)
    if future is not None and future.done() and not future.cancelled():
        future.exception()
