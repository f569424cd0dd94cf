"""The one place that knows aiomqtt: a connection to a broker, and what went wrong with it, in words.

aiomqtt 2.5 (once asyncio-mqtt) speaks MQTT 3.1.1 and 5; its version 3 speaks 5 only, which the embedded
broker does not.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import aiomqtt

from engine.mqtt.settings import Address

KEEPALIVE = 10  # seconds: within 1.5 times this a broker notices that we are gone, and sends the last will
# Without it Nagle's algorithm and delayed acknowledgements hold small messages back for some 40 ms.
NODELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
REFUSED = (4, 5, 134, 135)  # CONNACK: bad name or password, not authorised (MQTT 3.1.1, 3.2.2.3; MQTT 5, 3.2.2.2)


class LinkError(Exception):
    """The broker cannot be reached, refuses us or has gone; the text says which."""


class Link:
    """An open connection."""

    def __init__(self, client: aiomqtt.Client, address: Address) -> None:
        self._client, self._address = client, address

    async def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        """Hands the message to the network. Raises LinkError."""
        with _in_words(self._address):
            await self._client.publish(topic, payload, qos=qos, retain=retain)

    async def messages(self, topic: str) -> AsyncIterator[bytes]:
        """Subscribes, and gives the payload of each message. Raises LinkError when the connection ends."""
        with _in_words(self._address):
            await self._client.subscribe(topic, qos=1)
            async for message in self._client.messages:
                yield message.payload if isinstance(message.payload, bytes) else str(message.payload).encode()


@asynccontextmanager
async def connect(
    address: Address, identifier: str, will: tuple[str, bytes] | None = None, nodelay: bool = True
) -> AsyncIterator[Link]:
    """Connects. `will` (topic, payload) is retained and sent by the broker should we vanish. Raises LinkError."""
    client = aiomqtt.Client(
        address.host,
        address.port,
        identifier=identifier,
        username=address.username,
        password=address.password,
        will=aiomqtt.Will(will[0], will[1], qos=1, retain=True) if will else None,
        transport="websockets" if address.scheme in ("ws", "wss") else "tcp",
        websocket_path=address.path if address.scheme in ("ws", "wss") else None,
        protocol=aiomqtt.ProtocolVersion.V5 if address.version == "5" else aiomqtt.ProtocolVersion.V311,
        tls_context=_tls(address) if address.scheme in ("mqtts", "wss") else None,
        keepalive=KEEPALIVE,
        socket_options=NODELAY if nodelay else None,
        max_queued_incoming_messages=64,
    )
    with _in_words(address):
        try:
            await client.__aenter__()
        except aiomqtt.MqttCodeError as error:
            _forget(client)
            if getattr(error.rc, "value", error.rc) in REFUSED:
                who = f"user {address.username!r}" if address.username else "a client without a name"
                raise LinkError(f"{address} refuses {who}: wrong name or password") from None
            raise
    try:
        yield Link(client, address)
    finally:
        # Whatever goes wrong in leaving must not hide why we leave, a cancellation least of all.
        with suppress(aiomqtt.MqttError, OSError):
            await client.__aexit__(None, None, None)
        _forget(client)


def _tls(address: Address) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=address.ca)
    except (OSError, ssl.SSLError) as error:
        raise LinkError(f"mqtt.ca: {address.ca}: not a file of CA certificates ({error})") from None


def _forget(client: aiomqtt.Client) -> None:
    """aiomqtt 2.5 leaves an exception in a future that nobody reads; asyncio would print it with a traceback."""
    future = getattr(client, "_disconnected", None)
    if future is not None and future.done() and not future.cancelled():
        future.exception()


@contextmanager
def _in_words(address: Address) -> Iterator[None]:
    """Turns what the network and aiomqtt raise into LinkError."""
    try:
        yield
    except (aiomqtt.MqttError, OSError, ValueError) as error:
        raise LinkError(f"{address}: {error}") from None
