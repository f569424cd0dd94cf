"""The show's way out over MQTT. A broker that is down, slow or refuses us never holds the show up."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from engine.mqtt import messages
from engine.mqtt.broker import EmbeddedBroker
from engine.mqtt.link import Link, LinkError, connect
from engine.mqtt.settings import Address, MqttSettings, parse_url
from engine.params import parse_change
from engine.stage.frame import ShowFrame
from xdancer.errors import UserError
from xdancer.pose.layout import FPS

log = logging.getLogger(__name__)
RETRY_FIRST, RETRY_MOST = 0.5, 15.0  # seconds between attempts to connect, doubled from one to the other
STOP_MOST = 1.5  # seconds to say goodbye in


class Message(NamedTuple):
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class MqttOutlet:
    """Publishes every frame that the studio made, before its picture is due.

    `meta` is `messages.meta(...)`, `params` the parameters at the start; `set_params` is called with what arrives on
    `params/set` (it raises UserError to refuse); `nodelay` False is for measuring only. Streams wait in a queue that
    drops its oldest message when full: `dropped` counts those, `sent` the ones handed to the network.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        show: str,
        session: str,
        meta: Mapping[str, Any],
        params: Mapping[str, Any],
        set_params: Callable[[dict[str, Any]], object] | None = None,
        nodelay: bool = True,
    ) -> None:
        if not show or set(show) & set("+#/\0"):
            raise UserError(f"show: {show!r} cannot be part of an MQTT topic; leave out + # and /")
        self.settings, self.show, self.session = settings, show, session
        self.sent = self.dropped = self.reconnects = 0
        self.connected = False
        self._address: Address | None = None
        if settings.url not in ("embedded", "off"):
            self._address = parse_url(settings)
        self._set_params, self._nodelay = set_params, nodelay
        self._envelope = messages.Envelope(show, session)
        self._beats = messages.BeatTeller()
        self._queue: deque[Message] = deque()
        self._wake = asyncio.Event()
        self._now = 0.0
        self._retained: dict[str, Message] = {}
        self._keep("meta", meta)
        self._keep("params", params)
        self._broker: EmbeddedBroker | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def address(self) -> str | None:
        """Where others can listen, e.g. `mqtt://127.0.0.1:1883`; None when off."""
        return str(self._address) if self._address else None

    @property
    def ws_address(self) -> str | None:
        """The embedded broker's WebSocket address, for browsers."""
        return f"ws://{self._broker.address.host}:{self._broker.ws_port}" if self._broker else None

    def state(self) -> dict[str, Any]:
        """How it is doing, for the show's state."""
        return {
            "connected": self.connected,
            "messages": {"sent": self.sent, "dropped": self.dropped},
            "queue": len(self._queue),
            "reconnects": self.reconnects,
        }

    async def start(self) -> None:
        """Begins to connect; returns at once. Starts the embedded broker where that is asked for."""
        if self.settings.url == "off":
            return
        if self.settings.url == "embedded":
            self._broker = EmbeddedBroker(self.settings.port, self.settings.ws_port, self.settings.origins)
            try:
                await self._broker.start()
            except Exception as error:  # whatever amqtt may raise: a show without MQTT is better than none
                log.error("mqtt: the embedded broker cannot start (%s); the show goes on without MQTT", error)
                self._broker = None
                return
            self._address = self._broker.address
        self._task = asyncio.create_task(self._run(), name="mqtt")

    async def stop(self) -> None:
        """Says `offline` and leaves."""
        self._stopping.set()
        if self._task:
            done, _ = await asyncio.wait([self._task], timeout=STOP_MOST)
            if not done:  # still waiting for a broker that does not answer
                self._task.cancel()
                await asyncio.wait([self._task], timeout=STOP_MOST)
            self._task = None
        if self._broker:
            await self._broker.stop()
            self._broker = None

    def made(self, frame: ShowFrame) -> None:
        """Publishes the frame's tokens and pose, and a beat where one is near."""
        if self._task is None:
            return
        self._now = frame.index / FPS
        if frame.tokens is not None:
            self._stream("tokens", self._now, messages.tokens(frame))
        self._stream("pose", self._now, messages.pose(frame))
        beat = self._beats.push(frame)
        if beat:
            self._stream("beat", *beat)

    def shown(self, frame: ShowFrame) -> None:
        """Nothing: all has been said when the frame was made."""

    def params_changed(self, params: Mapping[str, Any]) -> None:
        """Publishes the parameters anew."""
        self._keep("params", params)
        self._push(self._retained["params"])

    def _topic(self, name: str) -> str:
        return f"{messages.ROOT}/{self.show}/{name}"

    def _keep(self, name: str, body: Mapping[str, Any]) -> None:
        payload = self._envelope.write(name, self._now, body)
        self._retained[name] = Message(self._topic(name), payload, qos=1, retain=True)

    def _stream(self, name: str, t: float, body: Mapping[str, Any]) -> None:
        self._push(Message(self._topic(name), self._envelope.write(name, t, body)))

    def _push(self, message: Message) -> None:
        if len(self._queue) >= self.settings.queue:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(message)
        self._wake.set()

    async def _run(self) -> None:
        """Connects, serves, and on any failure says so once and tries again, ever more slowly."""
        assert self._address is not None
        wait, said = RETRY_FIRST, ""
        while not self._stopping.is_set():
            try:
                will = (self._topic("status"), b"offline")
                async with connect(self._address, f"xdancer-{self.show}-{self.session}", will, self._nodelay) as link:
                    log.info("mqtt: publishing %s/%s/# to %s", messages.ROOT, self.show, self._address)
                    wait, said, self.connected = RETRY_FIRST, "", True
                    await self._serve(link)
            except LinkError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("mqtt: %s; the show goes on, trying again", said)
            finally:
                self.connected = False
            if self._stopping.is_set():
                return
            self.reconnects += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)
            wait = min(2 * wait, RETRY_MOST)

    async def _serve(self, link: Link) -> None:
        """Says what is retained, then pumps the queue and listens, until the link breaks (LinkError) or we stop."""
        status = self._topic("status")
        await link.publish(status, b"online", qos=1, retain=True)
        for message in list(self._retained.values()):
            await link.publish(*message)
        tasks = [asyncio.create_task(work) for work in (self._pump(link), self._listen(link), self._stopping.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
        # A broker sends the will only for a client that vanishes, not for one that says goodbye.
        await link.publish(status, b"offline", qos=1, retain=True)

    async def _pump(self, link: Link) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                message = self._queue.popleft()
                try:
                    if self._broker and not message.retain:
                        await self._broker.tell(message.topic, message.payload)
                    else:
                        await link.publish(*message)
                except LinkError:
                    self.dropped += 1
                    raise
                self.sent += 1

    async def _listen(self, link: Link) -> None:
        topic = self._topic("params/set")
        async for payload in link.messages(topic):
            try:
                changes = parse_change(payload)
                if self._set_params:
                    self._set_params(changes)
            except UserError as error:
                log.warning("mqtt: %s: %s", topic, error)
