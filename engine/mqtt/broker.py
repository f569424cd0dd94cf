"""A small broker of our own, on loopback: so that MQTT works without installing anything (amqtt, MQTT 3.1.1)."""

import logging
import socket

from amqtt.broker import Broker

from engine.mqtt.settings import Address

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
PLUGINS = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}


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
        self._broker = Broker({"listeners": listeners, "plugins": PLUGINS})
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
