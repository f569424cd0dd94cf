"""A small broker of our own, on loopback: so that MQTT works without installing anything (amqtt, MQTT 3.1.1)."""

import asyncio
import logging
import re
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

import websockets
from amqtt.adapters import WriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import ListenerType

from engine.mqtt.settings import Address

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
PATIENCE = 10.0  # seconds for a client to take what it is sent
OWN_PAGES = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
PLUGINS = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}


class _Impatient(WriterAdapter):
    """A way to a client that hangs up on one who does not read. amqtt would keep every message for it, for ever."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._transport = (getattr(writer, "_writer", None) or writer._protocol).transport

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._writer.drain()
        except TimeoutError:
            log.warning("mqtt: a client has read nothing for %.0f s; hanging up on it", PATIENCE)
            self._transport.abort()
            raise ConnectionResetError from None

    def get_peer_info(self) -> tuple[str, int] | None:
        peer: tuple[str, int] | None = self._writer.get_peer_info()
        return peer

    def get_ssl_info(self) -> Any:
        return self._writer.get_ssl_info()

    async def close(self) -> None:
        await self._writer.close()


class _Broker(Broker):
    """amqtt's, with clients that must read, and browsers that must be asked for: else any page that somebody on this
    machine looks at could play on the show."""

    def __init__(self, config: dict[str, Any], origins: Sequence[str]) -> None:
        super().__init__(config)
        self._origins: list[Any] = [None, OWN_PAGES, *origins]  # None: no browser

    async def _create_server_instance(
        self, listener_name: str, listener_type: Any, address: str | None, port: int, ssl_context: Any
    ) -> Any:
        if listener_type != ListenerType.WS:
            return await super()._create_server_instance(listener_name, listener_type, address, port, ssl_context)
        connected = partial(self.ws_connected, listener_name=listener_name)
        spoken = [websockets.Subprotocol("mqtt")]
        return await websockets.serve(connected, address, port, subprotocols=spoken, origins=self._origins)

    async def _client_connected(self, listener_name: str, reader: Any, writer: Any) -> None:
        await super()._client_connected(listener_name, reader, _Impatient(writer))


class EmbeddedBroker:
    """Listens for MQTT on `port` and for MQTT over WebSocket on `ws_port`; on a free port where one is taken.

    Of web pages it takes those of this machine, and those of `origins` (`http://HOST:PORT`; "null": opened as a file).
    """

    def __init__(self, port: int, ws_port: int, origins: Sequence[str] = ()) -> None:
        self._origins = origins
        self.port, self.ws_port = _free(port, "port"), _free(ws_port, "ws_port")
        self._broker: Broker | None = None

    @property
    def address(self) -> Address:
        return Address("mqtt", HOST, self.port)

    async def start(self) -> None:
        for noisy in ("amqtt", "transitions"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)
        listeners = {
            "default": {"type": "tcp", "bind": f"{HOST}:{self.port}"},
            "websocket": {"type": "ws", "bind": f"{HOST}:{self.ws_port}"},
        }
        self._broker = _Broker({"listeners": listeners, "plugins": PLUGINS}, self._origins)
        await self._broker.start()

    async def tell(self, topic: str, payload: bytes) -> None:
        """A message for all who listen now. The show shares this process: no connection stands between them."""
        if self._broker is not None:
            await self._broker.internal_message_broadcast(topic, payload)

    async def stop(self) -> None:
        if self._broker is not None:
            await self._broker.shutdown()
            self._broker = None


def _free(port: int, key: str) -> int:
    """`port`, or a free one where it is 0 or taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            with socket.socket() as other:
                other.bind((HOST, 0))
                free = int(other.getsockname()[1])
            log.warning("mqtt.%s: %d is in use, perhaps by another broker (then set mqtt.url to it); listening on %d",
                        key, port, free)  # fmt: skip
            return free
        return int(probe.getsockname()[1])
