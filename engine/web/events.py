"""Server-sent events (WHATWG HTML, section 9.2): what is going on, pushed to those who look."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

log = logging.getLogger(__name__)
EVERY, SOONEST = 0.1, 0.02  # seconds between looks: without a word that something has changed, and with one
MOST = 64  # clients
PATIENCE = 5.0  # seconds that a client may take to read; then it is dropped, and its browser connects anew
SEND_BUFFER = 64 * 1024  # bytes that the system keeps for a client


class Events:
    """One event a topic, whenever what `topics[name]()` returns has changed. A slow client misses what lies between
    and gets the newest; nothing waits in a queue."""

    def __init__(self, topics: Mapping[str, Callable[[], Any]], patience: float = PATIENCE) -> None:
        self.dropped = 0
        self._topics, self._patience = topics, patience
        self._messages: dict[str, bytes] = {}
        self._clients: set[asyncio.Event] = set()
        self._looking: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def clients(self) -> int:
        return len(self._clients)

    def changed(self, *_: Any) -> None:
        """Something has: look soon, however often this is called."""
        self._changed.set()

    def _look(self) -> None:
        for name, topic in self._topics.items():
            data = json.dumps(topic(), separators=(",", ":"))
            self._messages[name] = f"event: {name}\ndata: {data}\n\n".encode()
        for client in self._clients:
            client.set()

    def close(self) -> None:
        """Let every client go."""
        self._closed = True
        if self._looking:
            self._looking.cancel()
        for client in self._clients:
            client.set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """GET: stays open until the client leaves."""
        if len(self._clients) >= MOST:
            return web.Response(status=503, text="too many control pages", headers={"Retry-After": "10"})
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            return response
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        client = asyncio.Event()
        self._clients.add(client)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_often(), name="events")
        try:
            await self._feed(client, response)
        except TimeoutError:
            self.dropped += 1
            log.info("events: a client does not read; dropped")
            transport.abort()
        except ConnectionError:
            pass  # it has left
        finally:
            self._clients.discard(client)
        return response

    async def _feed(self, client: asyncio.Event, response: web.StreamResponse) -> None:
        sent: dict[str, bytes] = {}
        await response.write(b"retry: 1000\n\n")
        self._look()
        while not self._closed:
            await client.wait()
            client.clear()
            new = {name: message for name, message in self._messages.items() if sent.get(name) != message}
            if new and not self._closed:
                async with asyncio.timeout(self._patience):
                    await response.write(b"".join(new.values()))
                sent |= new

    async def _look_often(self) -> None:
        while self._clients:
            await asyncio.sleep(SOONEST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY - SOONEST):
                    await self._changed.wait()
            self._changed.clear()
            self._look()
