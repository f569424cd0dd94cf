"""`Dance`: a running show, as a stream of frames."""

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np

from xdancer_client.broker import Version, broker, forget, refused
from xdancer_client.decoder import Decoder, cache_folder, fetch
from xdancer_client.errors import DanceError
from xdancer_client.frame import Beat, Frame

log = logging.getLogger(__name__)
ROOT = "xdancer/v1"
ENVELOPE = ("schema", "show", "session", "seq", "t")
RETRY_FIRST, RETRY_MOST = 0.5, 10.0  # seconds between attempts to connect, doubled from one to the other
RELOAD = 5.0  # seconds until a decoder that could not be had is asked for again


class Dance:
    """`async for frame in Dance(url, show)` gives each frame of the show once, in order, as soon as it is known.

    `url` is mqtt://, mqtts://, ws:// or wss://[NAME:PASSWORD@]HOST[:PORT], `ca` a file of certificates to trust for
    it, `version` the MQTT version. `decoder` is a decoder.onnx; without one the show's is fetched and kept in `cache`.
    `poses` False follows the tokens alone. Frames that the loop is too slow for wait in a queue of `queue`, which drops
    the oldest. `token` is the bearer token of a show beyond loopback, which its server asks for before it gives the
    decoder.

    Raises DanceError where a setting is wrong, and while iterating when the broker refuses name or password; a broker
    or a show that is away is waited for.
    """

    def __init__(
        self,
        url: str = "mqtt://127.0.0.1:1883",
        show: str = "main",
        *,
        decoder: Path | str | None = None,
        username: str | None = None,
        password: str | None = None,
        ca: Path | None = None,
        version: Version = "3.1.1",
        poses: bool = True,
        queue: int = 64,
        cache: Path | None = None,
        token: str | None = None,
    ) -> None:
        if not show or set(show) & set("+#/\0"):
            raise DanceError(f"show: {show!r} cannot be part of an MQTT topic")
        self.show, self.poses = show, poses
        self.meta: dict[str, Any] = {}
        self.params: dict[str, Any] = {}
        self.status: str | None = None  # online, offline; None until the show has been heard of
        self.connected = False
        self.lost = 0  # messages of any topic that the counters say were sent and that never came
        self.dropped = 0  # frames that were ready, and for which the loop was too slow
        self.reconnects = 0
        self._broker = broker(url, username=username, password=password, ca=ca, version=version)
        self._cache, self._token = cache or cache_folder(), token
        self._fixed = Decoder(decoder) if decoder is not None else None
        self._decoder = self._fixed
        self._tokenizer = ""
        self._loading: asyncio.Task[None] | None = None
        self._frames: deque[Frame] = deque(maxlen=queue)
        self._arrived = asyncio.Event()
        self._session = ""
        self._begin("")

    async def __aiter__(self) -> AsyncIterator[Frame]:
        follow = asyncio.create_task(self._follow(), name="dance")
        follow.add_done_callback(lambda _: self._arrived.set())  # it only ends by an error
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._frames:
                    yield self._frames.popleft()
                if follow.done():
                    follow.result()
        finally:
            tasks = [task for task in (follow, self._loading) if task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def on_time(self) -> AsyncIterator[Frame]:
        """Each frame when it is due, by this machine's clock, which is to agree with the show's; late ones at once."""
        async with contextlib.aclosing(aiter(self)) as frames:  # type: ignore[type-var]
            async for frame in frames:
                await asyncio.sleep(max(0.0, frame.due - time.time()))
                yield frame

    # -- the connection

    async def _follow(self) -> None:
        wait, said = RETRY_FIRST, ""
        while True:
            client = self._broker.client()
            try:
                async with client:
                    for topic in ("meta", "params", "status", "beat", "tokens", *(["pose"] if self.poses else [])):
                        await client.subscribe(f"{ROOT}/{self.show}/{topic}")
                    wait, said, self.connected = RETRY_FIRST, "", True
                    async for message in client.messages:
                        self._take(str(message.topic).rsplit("/", 1)[1], message.payload)
            except (aiomqtt.MqttError, OSError, ValueError) as error:
                if isinstance(error, aiomqtt.MqttError) and refused(error):
                    raise DanceError(f"{self._broker} refuses us: wrong name or password") from None
                if str(error) != said:
                    said = str(error)
                    log.warning("%s: %s; trying again", self._broker, said)
            finally:
                self.connected = False
                forget(client)
            self.reconnects += 1
            await asyncio.sleep(wait)
            wait = min(2 * wait, RETRY_MOST)

    # -- what comes in

    def _take(self, topic: str, payload: Any) -> None:
        if topic == "status":
            self.status = payload.decode(errors="replace")
            return
        try:
            body = json.loads(payload)
            if body["session"] != self._session:
                self._begin(body["session"])
            self._count(topic, body["seq"])
            getattr(self, f"_{topic}")(body)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            log.warning("%s: not a message of a show (%s: %s)", topic, type(error).__name__, error)

    def _begin(self, session: str) -> None:
        """A new run of the show: everything counts anew."""
        if self._session:
            self.meta, self.params = {}, {}
        self._session = session
        self._seq: dict[str, int] = {}
        self._newest = self._newest_row = -1
        self._waiting: tuple[int, np.ndarray] | None = None  # a row whose pose is awaited from the wire
        self._beats: deque[Beat] = deque(maxlen=16)
        if self._decoder:
            self._decoder.reset()

    def _count(self, topic: str, seq: int) -> None:
        if topic in self._seq:  # where one joins is no gap
            self.lost += max(0, seq - self._seq[topic] - 1)
        self._seq[topic] = seq

    def _meta(self, body: dict[str, Any]) -> None:
        self.meta = body
        sha256 = str(body["tokenizer"]["sha256"])
        if self._fixed is None and sha256 != self._tokenizer:
            self._tokenizer, self._decoder = sha256, None
            if self._loading:
                self._loading.cancel()
            self._loading = asyncio.create_task(self._load(body["decoder_url"], sha256), name="decoder")

    def _params(self, body: dict[str, Any]) -> None:
        self.params = {name: value for name, value in body.items() if name not in ENVELOPE}

    def _beat(self, body: dict[str, Any]) -> None:
        self._beats.append(Beat.read(body))

    def _tokens(self, body: dict[str, Any]) -> None:
        index = int(body["frame"])
        row = np.array(body["tokens"], np.int16).reshape(5, 6)
        if index <= self._newest_row:
            return
        gap, self._newest_row = index != self._newest_row + 1, index
        if self._decoder is None:
            self._waiting = (index, row)
            return
        if gap:
            self._decoder.gap()
        pose = self._decoder.push(row, first=index == 0)
        if self.poses and not self._decoder.exact:
            self._waiting = (index, row)
            return
        self._give(body, pose, row, self._decoder.exact)

    def _pose(self, body: dict[str, Any]) -> None:
        """Of use where the tokens cannot be decoded exactly yet, or where the show has none."""
        if body["frame"] <= self._newest:
            return
        row = self._waiting[1] if self._waiting and self._waiting[0] == body["frame"] else None
        self._give(body, np.array(body["pose"], np.float32).reshape(60, 3), row, True)

    def _give(self, body: Mapping[str, Any], pose: np.ndarray, row: np.ndarray | None, exact: bool) -> None:
        index = int(body["frame"])
        if index <= self._newest:
            return
        missed = index - self._newest - 1 if self._newest >= 0 else 0
        self._newest = index
        beat = self._beats.popleft() if self._beats and self._beats[0].frame <= index else None
        self.dropped += len(self._frames) == self._frames.maxlen
        self._frames.append(Frame(index, body["due"], body["t"], pose, row, beat, exact, missed))
        self._arrived.set()

    async def _load(self, url: str | None, sha256: str) -> None:
        said = ""
        while True:
            try:
                self._decoder = await asyncio.to_thread(
                    lambda: Decoder(fetch(url or "", sha256, self._cache, self._token))
                )
                return
            except DanceError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("%s; %s", said, "poses come from the wire" if self.poses else "no frames without it")
            await asyncio.sleep(RELOAD)
