"""HTTP: the viewer, WHEP, WHIP, state, parameters, the tokenizer's decoder, metrics."""

import asyncio
import logging
from collections.abc import Mapping
from importlib import resources
from typing import Any, Protocol

import numpy as np
from aiohttp import web

from engine.audio.source import Source
from engine.config import Config
from engine.control.midi import MidiParams
from engine.control.performer import Performer
from engine.openpose import people
from engine.recorder import Recorder
from engine.stage.frame import ShowFrame
from engine.web import guard
from engine.web.broadcast import Broadcast, Shape
from engine.web.control import ControlApi, json_object, refusal, refusals
from engine.web.metrics import exposition
from engine.web.posechannel import PoseChannels
from engine.web.record import record_routes
from engine.web.visualizer import Visualizer
from engine.web.whep import Whep
from engine.web.whip import Whip
from engine.web.whipout import WhipOut
from xdancer import weights
from xdancer.errors import UserError

log = logging.getLogger(__name__)

MOST_BODY = 64 * 1024
LINGER = 2.0  # seconds in which a body that nobody wanted may still come, so that its sender reads why
ASSETS = {
    "webrtc.js": ("shared", "text/javascript"),
    "viewer.js": ("viewer", "text/javascript"),
    "trim.js": ("viewer", "text/javascript"),
    "viewer.css": ("viewer", "text/css"),
    "mic.js": ("mic", "text/javascript"),
    "mic.css": ("mic", "text/css"),
}
PAGES = {"/": "viewer", "/mic": "mic"}
DECODER_FILES = {"decoder.onnx": "application/octet-stream", "config.json": "application/json"}
POLICY = "default-src 'self'; connect-src 'self'; media-src 'self' blob:; img-src 'self' data:; frame-ancestors *"


class ShowPort(Protocol):
    """What the server needs of the show."""

    session: str  # names this run

    @property
    def source(self) -> Source:
        """Where its sound comes from."""

    def state(self) -> dict[str, Any]:
        """What is going on, JSON-able."""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as they are."""

    def set_params(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change some and return all; raises UserError to refuse."""

    def delivered(self, seconds: float) -> None:
        """A viewer has seen a frame so many seconds after it left."""


class Web:
    """The show's way out to browsers: an outlet (`made`, `shown`) and a server (`start`, `stop`).

    With a `performer` there is a control page, which can learn `midi`.
    """

    def __init__(
        self,
        config: Config,
        show: ShowPort,
        recorder: Recorder | None = None,
        performer: Performer | None = None,
        midi: MidiParams | None = None,
    ) -> None:
        self._config, self._show, self._recorder = config, show, recorder
        self._tokenizer = weights.find("tokenizer", config.weights.tokenizer)
        self._tokenizer_sha256 = weights.sha256(self._tokenizer)
        self._guard = guard.Guard(config.token)
        self.broker: str | None = None  # where browsers can follow the show over MQTT
        self.visualizer = Visualizer(lambda: {"show": config.show, "broker": self.broker})
        self._pose: np.ndarray | None = None  # what is on show
        self.broadcast = Broadcast(Shape(config.width, config.height, config.bitrate))
        self.poses = PoseChannels(config.show, show.session)
        self.whep = Whep(self.broadcast, self.poses, config.ice_servers)
        self.whip = Whip(show.source, config.ice_servers, anyone=config.token is not None)
        self.whip_out = WhipOut(config.whip_out, self.broadcast, config.ice_servers)
        self.control = ControlApi(performer, self._whole_state, midi) if performer else None
        self._runner: web.AppRunner | None = None
        self.port = config.port

    # -- outlet

    def made(self, frame: ShowFrame) -> None:
        self.poses.made(frame)
        self.broadcast.made(frame)

    def shown(self, frame: ShowFrame) -> None:
        self.broadcast.shown(frame)
        self._pose = frame.pose

    # -- server

    @property
    def address(self) -> str:
        """Where the viewer is, seen from this machine."""
        return self.address_from("127.0.0.1")

    def address_from(self, machine: str) -> str:
        """Where the viewer is, seen from where this machine has the address `machine`."""
        host = self._config.host
        shown = machine if host in ("0.0.0.0", "::") else host
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/"

    async def start(self) -> None:
        """Listen. Raises UserError where the port is taken or the host is not this machine's."""
        self._runner = web.AppRunner(
            self.app(), access_log=None, logger=guard.log, shutdown_timeout=2.0, lingering_time=LINGER
        )
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
        self.whip_out.start()

    async def stop(self) -> None:
        if self.control:
            self.control.close()
        await asyncio.gather(self.whep.close(), self.whip.close(), self.whip_out.stop())
        self.broadcast.close()
        if self._runner:
            await self._runner.cleanup()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BODY)
        self._guard.install(app)
        app.add_routes(
            [
                web.get("/", self._page),
                *(web.get(f"/{name}", self._asset) for name in ASSETS),
                web.get("/mic", self._page),
                web.get("/api/state", self._state),
                web.get("/api/params", self._params),
                web.patch("/api/params", self._change),
                web.post("/api/delivery", self._delivery),
                web.get("/api/openpose", self._openpose),
                web.get("/tokenizer/{sha256}/{file}", self._decoder),
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._health),
                *(self.control.routes() if self.control else ()),
                *self.visualizer.routes(),
                *(record_routes(self._recorder) if self._recorder else ()),
                *self.whep.routes(),
                *self.whip.routes(),
            ]
        )
        return app

    async def _page(self, request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return web.Response(text=_client(PAGES[request.path], "index.html"), content_type="text/html", headers=headers)

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix("/")
        folder, kind = ASSETS[name]
        return web.Response(text=_client(folder, name), content_type=kind, headers={"Cache-Control": "no-cache"})

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(self._whole_state())

    def _whole_state(self) -> dict[str, Any]:
        web = {
            "viewers": len(self.whep),
            "pose_channels": len(self.poses),
            "pose_dropped": self.poses.dropped,
            "whip_out": self.whip_out.state(),
        }
        if self.control:
            web["control"] = {"pages": self.control.events.clients, "dropped": self.control.events.dropped}
        state = self._show.state()
        latency = state.get("latency", {}) | self.broadcast.latency()
        return state | self.broadcast.stats() | web | {"latency": latency}

    async def _params(self, request: web.Request) -> web.Response:
        return web.json_response(self._show.params)

    async def _change(self, request: web.Request) -> web.Response:
        change = await json_object(request)
        with refusals():
            return web.json_response(self._show.set_params(change))

    async def _delivery(self, request: web.Request) -> web.Response:
        report = await json_object(request)
        try:
            self._show.delivered(float(report["ms"]) / 1000)
        except (ValueError, TypeError, KeyError, OverflowError):
            raise refusal(400, 'expected {"ms": number}') from None
        return web.Response(status=204)

    async def _openpose(self, request: web.Request) -> web.Response:
        """The pose that is on show, as OpenPose has it."""
        headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
        return web.json_response(people(self._pose), headers=headers)

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
        """The state in the Prometheus text format."""
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(text=exposition(self._whole_state()), headers=headers)

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")


def _client(folder: str, name: str) -> str:
    return resources.files("clients").joinpath(folder, name).read_text(encoding="utf-8")
