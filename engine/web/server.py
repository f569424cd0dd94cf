"""HTTP: the viewer, WHEP, state, parameters, the tokenizer's decoder, metrics."""

import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Any, Protocol

from aiohttp import web

from engine.config import Config
from engine.stage.frame import ShowFrame
from engine.web.broadcast import Broadcast
from engine.web.whep import CORS, Whep
from xdancer import weights
from xdancer.errors import UserError

log = logging.getLogger(__name__)

MOST_BODY = 64 * 1024
COOKIE = "xdancer_token"
LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
ASSETS = {"viewer.js": "text/javascript", "viewer.css": "text/css"}
DECODER_FILES = {"decoder.onnx": "application/octet-stream", "config.json": "application/json"}
POLICY = "default-src 'self'; connect-src 'self'; media-src 'self' blob:; img-src 'self' data:; frame-ancestors *"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ShowPort(Protocol):
    """What the server needs of the show."""

    def state(self) -> dict[str, Any]:
        """What is going on, JSON-able."""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as they are."""

    def set_params(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change some and return all; raises UserError to refuse."""

    def tap(self) -> dict[str, Any]:
        """The beat is now; returns what the clocks make of it."""


class Web:
    """The show's way out to browsers: an outlet (`made`, `shown`) and a server (`start`, `stop`)."""

    def __init__(self, config: Config, show: ShowPort) -> None:
        self._config, self._show = config, show
        self._tokenizer = weights.find("tokenizer", config.weights.tokenizer)
        self._tokenizer_sha256 = weights.sha256(self._tokenizer)
        self._token = config.token.get_secret_value() if config.token else None
        self.broadcast = Broadcast(config.width, config.height)
        self.whep = Whep(self.broadcast)
        self._runner: web.AppRunner | None = None
        self.port = config.port

    # -- outlet

    def made(self, frame: ShowFrame) -> None:
        self.broadcast.made(frame)

    def shown(self, frame: ShowFrame) -> None:
        self.broadcast.shown(frame)

    # -- server

    @property
    def address(self) -> str:
        """Where the viewer is, seen from this machine."""
        host = self._config.host
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/"

    async def start(self) -> None:
        """Listen. Raises UserError where the port is taken or the host is not this machine's."""
        self._runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._config.host, self._config.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise UserError(
                f"cannot listen on {self._config.host} port {self._config.port} ({error.strerror or error}); "
                "choose another with --port"
            ) from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self.whep.close()
        self.broadcast.close()
        if self._runner:
            await self._runner.cleanup()

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=MOST_BODY)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/{asset:viewer\\.(?:js|css)}", self._asset),
                web.get("/api/state", self._state),
                web.get("/api/params", self._params),
                web.patch("/api/params", self._change),
                web.post("/api/tap", self._tap),
                web.get("/tokenizer/{sha256}/{file}", self._decoder),
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._health),
                *self.whep.routes(),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who may come in: with a token, whoever has it; without, only pages that this machine itself opened."""
        if self._token is None:
            # A foreign page could otherwise reach a loopback server through a name that resolves to it.
            if request.url.host not in LOCAL_NAMES:
                return web.Response(status=403, text="only as localhost")
        elif request.method != "OPTIONS" and not self._has_token(request):
            headers = CORS | {"WWW-Authenticate": "Bearer"}
            return web.Response(status=401, text="a bearer token is required", headers=headers)
        return await handler(request)

    def _has_token(self, request: web.Request) -> bool:
        assert self._token is not None
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = request.cookies.get(COOKIE) or (request.query.get("token", "") if request.path == "/" else "")
        return hmac.compare_digest(given.encode(), self._token.encode())

    async def _page(self, request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        response = web.Response(text=_viewer("index.html"), content_type="text/html", headers=headers)
        if self._token is not None and "token" in request.query:
            # The page's own requests carry it from here on; scripts never see it.
            response.set_cookie(COOKIE, self._token, httponly=True, samesite="Strict")
        return response

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["asset"]
        return web.Response(text=_viewer(name), content_type=ASSETS[name], headers={"Cache-Control": "no-cache"})

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(self._whole_state())

    def _whole_state(self) -> dict[str, Any]:
        return self._show.state() | self.broadcast.stats()

    async def _params(self, request: web.Request) -> web.Response:
        return web.json_response(self._show.params)

    async def _change(self, request: web.Request) -> web.Response:
        try:
            change = json.loads(await request.text())
            if not isinstance(change, dict):
                raise ValueError("expected an object")
        except ValueError as error:
            return web.json_response({"error": f"not a JSON object: {error}"}, status=400)
        try:
            return web.json_response(self._show.set_params(change))
        except UserError as error:
            return web.json_response({"error": str(error)}, status=422)

    async def _tap(self, request: web.Request) -> web.Response:
        return web.json_response(self._show.tap())

    async def _decoder(self, request: web.Request) -> web.StreamResponse:
        file = request.match_info["file"]
        if file not in DECODER_FILES or request.match_info["sha256"] != self._tokenizer_sha256:
            return web.Response(status=404, text="no such tokenizer")
        path = self._tokenizer / file
        if not path.is_file():
            return web.Response(status=404, text=f"this tokenizer comes without {file}")
        headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=path.read_bytes(), content_type=DECODER_FILES[file], headers=headers)

    async def _metrics(self, request: web.Request) -> web.Response:
        """Every number of the state, in the Prometheus text format."""
        lines = [f"xdancer_{name} {value}" for name, value in sorted(_numbers(self._whole_state()))]
        return web.Response(text="\n".join(lines) + "\n", headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")


def _viewer(name: str) -> str:
    return resources.files("clients").joinpath("viewer", name).read_text(encoding="utf-8")


def _numbers(values: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """The numbers of nested dictionaries, their keys joined by underscores."""
    out: list[tuple[str, float]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            out += _numbers(value, f"{prefix}{key}_")
        elif isinstance(value, bool | int | float):
            out.append((f"{prefix}{key}", float(value)))
    return out
