"""Recording from a browser: `/api/record`. Names and folders are the engine's; a client only says on or off."""

import asyncio
import json

from aiohttp import web

from engine.recorder import Recorder
from xdancer.errors import UserError


def record_routes(recorder: Recorder) -> list[web.RouteDef]:
    """GET tells how the recording is doing; POST `{"on": true}` or `{"on": false}` starts or stops it."""

    async def tell(request: web.Request) -> web.Response:
        return web.json_response(recorder.state())

    async def switch(request: web.Request) -> web.Response:
        if request.content_type != "application/json":  # which no foreign page can send without being asked first
            return web.json_response({"error": "expected application/json"}, status=415)
        try:
            wish = json.loads(await request.text())
        except (ValueError, RecursionError):
            wish = None
        if not isinstance(wish, dict) or set(wish) != {"on"} or not isinstance(wish["on"], bool):
            return web.json_response({"error": 'expected {"on": true} or {"on": false}'}, status=400)
        try:
            await asyncio.to_thread(recorder.start if wish["on"] else recorder.stop)
        except UserError as error:
            return web.json_response({"error": str(error)}, status=409)
        return web.json_response(recorder.state())

    return [web.get("/api/record", tell), web.post("/api/record", switch)]
