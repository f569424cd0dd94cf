"""`xdancer live`: the show."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.common import add_json

if TYPE_CHECKING:
    from engine.audio import Source
    from engine.config import Config
    from engine.mqtt import MqttOutlet
    from engine.stage.show import Show
    from engine.web.server import Web


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("live", help="the show: music in, a dancer in the browser")
    parser.add_argument("--config", metavar="F", type=Path, help="YAML; configs/live.yaml has every key")
    parser.add_argument("--audio", metavar="demo|PATH|URL|device[:NAME]|browser", help="where the sound comes from")
    parser.add_argument("--reference", metavar="IMG", help="the photograph of who dances, for the diffusion renderer")
    parser.add_argument("--renderer", choices=("skeleton", "diffusion"))
    parser.add_argument("--host", help="beyond loopback a bearer token is required: XDANCER_TOKEN")
    parser.add_argument("--port", type=int)
    parser.add_argument("settings", metavar="key=value", nargs="*", help="any key of the configuration")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    # The models are many small products: more threads than one only get in each other's way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from engine.audio import open_source
    from engine.config import load
    from engine.studio.models import check_renderer
    from xdancer import weights

    config = load(
        args.config,
        args.settings,
        audio__source=args.audio,
        reference=args.reference,
        renderer=args.renderer,
        host=args.host,
        port=args.port,
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("aiortc", "aioice", "amqtt", "transitions", "websockets", "libav"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(_not_malformed)
    check_renderer(config)
    weights.find("choreographer", config.weights.choreographer)
    return asyncio.run(live(config, open_source(config.audio), args.json))


def _not_malformed(record: logging.LogRecord) -> bool:
    """Requests that are no HTTP are answered with 400; a traceback for each would let anybody fill the log."""
    from aiohttp.http_exceptions import HttpProcessingError

    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def live(config: "Config", source: "Source", as_json: bool = False) -> int:
    """Run the show until SIGINT or SIGTERM. Raises UserError where it cannot begin."""
    from engine.clock.midi import MidiClock
    from engine.clock.osc import OscClock
    from engine.control.desk import Desk
    from engine.osc_out import OscOut
    from engine.recorder import Recorder
    from engine.stage.heard import OnceHeard
    from engine.stage.show import Show
    from engine.web.server import Web

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as ends:
        recorder = Recorder(config.width, config.height, config.recordings, config.show)
        if config.record is not None:
            recorder.start(config.record)
        ends.push_async_callback(asyncio.to_thread, recorder.stop)
        show = Show(config, source)
        desk = Desk(config, show.performer)
        show.clock.add(MidiClock(desk.midi))
        show.clock.add(OscClock(desk.osc))
        web = Web(config, show, recorder, show.performer, desk.midi_params)
        await web.start()
        ends.push_async_callback(web.stop)
        await desk.start()
        ends.push_async_callback(desk.stop)
        running = asyncio.create_task(show.run(), name="show")  # the models load while the rest is being set up
        mqtt = mqtt_outlet(config, show, web)
        await mqtt.start()
        web.broker = mqtt.ws_address
        ends.push_async_callback(mqtt.stop)
        show.performer.listeners.append(mqtt.params_changed)
        show.outlets += [web, mqtt, OnceHeard(recorder, show.sound)]
        show.reports |= {"recorder": recorder.state, "mqtt": mqtt.state}
        if config.osc_out.to != "off":
            osc = OscOut(config.osc_out)
            ends.callback(osc.close)
            show.outlets.append(osc)
        ends.push_async_callback(_cancelled, running)  # the first to end: what follows has nothing to do any more
        _announce(web, mqtt, as_json)
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if running.done():
            running.result()  # only ever an error
    return 0


def mqtt_outlet(config: "Config", show: "Show", web: "Web") -> "MqttOutlet":
    """The outlet that publishes the show, with the meta message that tells strangers how to read it."""
    from engine.mqtt import MqttOutlet, messages
    from xdancer import weights

    folder = weights.find("tokenizer", config.weights.tokenizer)
    server = web.address_from(_this_machine(config)) if config.mqtt.url not in ("embedded", "off") else web.address
    about, sha256 = weights.config(folder), weights.sha256(folder)
    decoder = f"{server}tokenizer/{sha256}/decoder.onnx" if (folder / "decoder.onnx").is_file() else None
    return MqttOutlet(
        config.mqtt,
        show=config.show,
        session=show.session,
        meta=messages.meta(about["receptive_field"], about["name"], sha256, decoder),
        params=show.params,
        set_params=show.set_params,
    )


def _this_machine(config: "Config") -> str:
    """This machine's address as the broker's network sees it: where other followers will look for the decoder."""
    from engine.mqtt.settings import parse_url

    broker = parse_url(config.mqtt)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((broker.host, broker.port))  # sends nothing, only finds the way
        return str(probe.getsockname()[0])
    return "127.0.0.1"


def _announce(web: "Web", mqtt: "MqttOutlet", as_json: bool) -> None:
    where: dict[str, Any] = {"viewer": web.address, "mqtt": mqtt.address, "mqtt_ws": mqtt.ws_address}
    if as_json:
        print(json.dumps(where), flush=True)
        return
    print(f"The dancer: {web.address}", flush=True)
    if mqtt.address:
        print(f"MQTT:       {mqtt.address}", flush=True)
    if mqtt.ws_address:
        print(f"Visualizer: {web.address}visualizer/", flush=True)
    print("Ctrl-C ends the show.", flush=True)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
