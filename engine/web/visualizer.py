"""The visualizer at /visualizer/: clients/visualizer as it was built, and where it finds the show."""

from collections.abc import Callable
from importlib import resources
from typing import Any

from aiohttp import web

# It may follow any broker that it is told of, and runs onnxruntime's WebAssembly.
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' http: https: ws: wss:; "
    "img-src 'self' data:; frame-ancestors *"
)
FILES = {
    "index.html": "text/html",
    "licenses.txt": "text/plain",
    "visualizer.css": "text/css",
    "visualizer.js": "text/javascript",
    "ort-wasm-simd-threaded.mjs": "text/javascript",
    "ort-wasm-simd-threaded.wasm": "application/wasm",  # made by `make visualizer`; the page does without
}


class Visualizer:
    """`where` gives what the page needs to find the show: `broker` (its WebSocket, or None) and `show`."""

    def __init__(self, where: Callable[[], dict[str, Any]]) -> None:
        self._where = where
        self._folder = resources.files("clients").joinpath("visualizer", "dist")

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/visualizer", self._enter),
            web.get("/visualizer/{file:[a-z.-]*}", self._file),
        ]

    async def _enter(self, request: web.Request) -> web.Response:
        raise web.HTTPPermanentRedirect(request.url.relative().with_path("/visualizer/").with_query(request.query))

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["file"] or "index.html"
        if name == "show.json":
            return web.json_response(self._where(), headers={"Cache-Control": "no-store"})
        path = self._folder.joinpath(name)
        if name not in FILES or not path.is_file():
            return web.Response(status=404, text="no such file; `make visualizer` builds what is missing")
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return web.Response(body=path.read_bytes(), content_type=FILES[name], headers=headers)
