"""A small broker of our own, on loopback: so that MQTT works without installing anything (amqtt, MQTT 3.1.1)."""

import asyncio
import logging
import socket
from typing import Any

from amqtt.adapters import WriterAdapter
from amqtt.broker import Broker

from engine.mqtt.settings import Address

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
PATIENCE = 10.0  # seconds for a client to take what it is sent
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
    async def _client_connected(self, listener_name: str, reader: Any, writer: Any) -> None:
        await super()._client_connected(listener_name, reader, _Impatient(writer))


class EmbeddedBroker:
    """Listens for MQTT on `port` and for MQTT over WebSocket on `ws_port`; on a free port where one is taken."""

    def __init__(self, port: int, ws_port: int) -> None:
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
        self._broker = _Broker({"listeners": listeners, "plugins": PLUGINS})
        await self._broker.start()

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
