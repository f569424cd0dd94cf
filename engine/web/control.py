"""The control page and what it uses: events, presets, the reference picture."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

from aiohttp import web

from engine.control.midi import MidiParams
from engine.control.performer import Performer
from engine.control.references import MOST_BYTES
from engine.params import parse_change
from engine.web.events import Events
from xdancer.errors import UserError

ASSETS = {"control.js": "text/javascript", "control.css": "text/css"}
UPLOAD = 60.0  # seconds that an upload may take
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


class ControlApi:
    """`state` is the whole of /api/state. Parameters themselves are at /api/params."""

    def __init__(self, performer: Performer, state: Callable[[], dict[str, Any]], midi: MidiParams | None) -> None:
        self._performer, self._midi = performer, midi
        topics: dict[str, Callable[[], Any]] = {"presets": self._presets, "state": state}
        if midi:
            topics["midi"] = midi.state
        self.events = Events(topics)
        if midi:
            midi.changed = self.events.changed
        self._uploads = asyncio.Semaphore(2)
        performer.listeners.append(self.events.changed)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control", self._page),
            web.get("/{asset:control\\.(?:js|css)}", self._asset),
            web.get("/api/events", self.events.stream),
            web.get("/api/presets", self._list),
            web.post("/api/presets/{name}", self._recall),
            web.put("/api/presets/{name}", self._save),
            web.post("/api/reference", self._reference),
            *self._midi_routes(),
        ]

    def _midi_routes(self) -> list[web.RouteDef]:
        if not self._midi:
            return []
        return [
            web.get("/api/midi", self._midi_state),
            web.post("/api/midi/learn", self._learn),
            web.delete("/api/midi/learn", self._stop_learning),
            web.delete("/api/midi/map/{control}", self._forget),
        ]

    def close(self) -> None:
        self.events.close()

    async def _page(self, request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return web.Response(text=_file("index.html"), content_type="text/html", headers=headers)

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["asset"]
        return web.Response(text=_file(name), content_type=ASSETS[name], headers={"Cache-Control": "no-cache"})

    def _presets(self) -> dict[str, Any]:
        presets = self._performer.presets
        return {"presets": presets.listing(), "savable": presets.savable}

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response(self._presets())

    async def _recall(self, request: web.Request) -> web.Response:
        """By name or key; a body may say `apply`."""
        change = await json_object(request) if request.can_read_body else {}
        with refusals():
            return web.json_response(self._performer.set(change | {"preset": request.match_info["name"]}))

    async def _save(self, request: web.Request) -> web.Response:
        """The parameters as they are wanted, under a name."""
        presets = self._performer.presets
        if not presets.savable:
            raise refusal(409, "the configuration names no presets_file to save to")
        with refusals():
            await asyncio.to_thread(presets.save, request.match_info["name"], self._performer.params)
        self.events.changed()
        return web.json_response(self._presets())

    async def _midi_state(self, request: web.Request) -> web.Response:
        assert self._midi
        return web.json_response(self._midi.state())

    async def _learn(self, request: web.Request) -> web.Response:
        """`{"target": "energy"}`: the next control that moves does it."""
        assert self._midi
        wish = await json_object(request)
        with refusals():
            self._midi.learn(str(wish.get("target")))
        return await self._midi_state(request)

    async def _stop_learning(self, request: web.Request) -> web.Response:
        assert self._midi
        self._midi.stop_learning()
        return await self._midi_state(request)

    async def _forget(self, request: web.Request) -> web.Response:
        assert self._midi
        with refusals():
            self._midi.forget(request.match_info["control"])
        return await self._midi_state(request)

    async def _reference(self, request: web.Request) -> web.Response:
        """A picture as the body; answers with its name, for the parameter `reference`."""
        async with self._uploads:  # pictures are large when unpacked
            data = await _body(request, MOST_BYTES)
            with refusals():
                name = await asyncio.to_thread(self._performer.references.add, data)
        return web.json_response({"reference": name}, status=201)


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object. Raises 400 where it is none, 413 where it is too long."""
    with refusals(400):
        return parse_change(await request.read())


@contextlib.contextmanager
def refusals(status: int = 422) -> Iterator[None]:
    """What the show refuses, as an answer."""
    try:
        yield
    except UserError as error:
        raise refusal(status, str(error)) from None


def refusal(status: int, why: str) -> web.HTTPException:
    """To be raised: a status with `{"error": why}`."""
    kinds = {400: web.HTTPBadRequest, 404: web.HTTPNotFound, 408: web.HTTPRequestTimeout, 409: web.HTTPConflict}
    kinds |= {422: web.HTTPUnprocessableEntity}
    return kinds[status](text=json.dumps({"error": why}), content_type="application/json")


async def _body(request: web.Request, most: int) -> bytes:
    """At most `most` bytes, in at most UPLOAD seconds, so that who sends slowly does not keep others waiting."""
    data = bytearray()
    try:
        async with asyncio.timeout(UPLOAD):
            async for part in request.content.iter_any():
                data += part
                if len(data) > most:
                    raise web.HTTPRequestEntityTooLarge(most, len(data))
    except TimeoutError:
        raise refusal(408, "too slow") from None
    return bytes(data)


def _file(name: str) -> str:
    return resources.files("clients").joinpath("control", name).read_text(encoding="utf-8")
