"""WHIP out (RFC 9725): publishes the show, as it is encoded for viewers, to an SFU that serves crowds."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiortc import RTCBundlePolicy, RTCSessionDescription
from yarl import URL

from engine.config import IceServer, WhipOutSettings
from engine.web.broadcast import Broadcast
from engine.web.sessions import SDP, SET_UP, connection, muxed
from engine.web.whep import send

log = logging.getLogger(__name__)

RETRY_FIRST, RETRY_MOST = 0.5, 30.0  # seconds between attempts, doubled from one to the next
REQUEST_MOST = 10.0  # seconds for a request
CODECS = (("video", "h264"), ("audio", "opus"))  # what every SFU passes on


class NotPublished(Exception):
    """It did not come about, or came to an end; says why."""


class WhipOut:
    """Publishes from `start` to `stop`, and again, ever later, when it fails. The show never waits for it."""

    def __init__(self, settings: WhipOutSettings, broadcast: Broadcast, ice_servers: Sequence[IceServer] = ()) -> None:
        self.connected = False
        self.reconnects = 0
        self._settings, self._broadcast, self._ice_servers = settings, broadcast, ice_servers
        self._wait = RETRY_FIRST
        self._task: asyncio.Task[None] | None = None

    def state(self) -> dict[str, Any]:
        return {"connected": self.connected, "reconnects": self.reconnects}

    def start(self) -> None:
        """Begin to publish, if that is asked for; returns at once."""
        if self._settings.url:
            self._task = asyncio.create_task(self._run(URL(self._settings.url)), name="whip out")

    async def stop(self) -> None:
        """Leave the SFU."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self, url: URL) -> None:
        said = ""
        while True:
            try:
                await self._publish(url)
            except Exception as error:  # aiortc raises many kinds for answers that it cannot use
                # An address may hold a key: only the host is ever logged.
                reason = str(error) if isinstance(error, NotPublished) else type(error).__name__
                if reason != said or self.connected:
                    log.warning("whip out: %s: %s; the show goes on, trying again", url.host, reason)
                said = reason
            finally:
                self.connected = False
            await asyncio.sleep(self._wait)
            self._wait = min(2 * self._wait, RETRY_MOST)
            self.reconnects += 1

    async def _publish(self, url: URL) -> None:
        """One session, until it breaks. Raises NotPublished, or what the network raises."""
        token = self._settings.token
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        timeout = aiohttp.ClientTimeout(total=REQUEST_MOST)
        peer = connection(self._ice_servers, RTCBundlePolicy.MAX_BUNDLE)
        async with contextlib.AsyncExitStack() as ends:
            http = await ends.enter_async_context(aiohttp.ClientSession(headers=headers, timeout=timeout))
            ends.push_async_callback(peer.close)
            tracks = [(send(self._broadcast, peer, *kind, adapt=False), kind[1]) for kind in CODECS]
            for track, _ in tracks:
                ends.callback(self._broadcast.leave, track)
            changed = asyncio.Event()
            peer.on("connectionstatechange", changed.set)
            await peer.setLocalDescription(await peer.createOffer())
            answer = await self._offer(http, url, muxed(peer.localDescription.sdp), ends)
            await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            async with asyncio.timeout(SET_UP):
                while peer.connectionState in ("new", "connecting"):
                    changed.clear()
                    await changed.wait()
            if peer.connectionState != "connected":
                raise NotPublished("no connection came about")
            log.info("whip out: publishing to %s", url.host)
            self.connected, self._wait = True, RETRY_FIRST
            for track, codec in tracks:
                self._broadcast.join(track, codec)
            while peer.connectionState == "connected":
                changed.clear()
                await changed.wait()
            raise NotPublished("the connection was lost")

    @staticmethod
    async def _offer(http: aiohttp.ClientSession, url: URL, offer: str, ends: contextlib.AsyncExitStack) -> str:
        """POST the offer; the session it makes is deleted when `ends` unwinds."""
        async with http.post(url, data=offer, headers={"Content-Type": SDP}) as response:
            if response.status != 201:
                raise NotPublished(f"{response.status} {response.reason}")
            if location := response.headers.get("Location"):
                ends.push_async_callback(_delete, http, response.url.join(URL(location)))
            return await response.text()


async def _delete(http: aiohttp.ClientSession, session: URL) -> None:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with http.delete(session, timeout=aiohttp.ClientTimeout(total=2.0)):
            pass
