"""The outlet against a real mosquitto, real mosquitto_sub, and the embedded broker."""

import asyncio
import json
import logging
import multiprocessing
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiomqtt
import jsonschema
import pytest
import websockets
import yaml
from brokers import Mosquitto

from engine.mqtt import MqttOutlet, MqttSettings, broker, link, messages
from engine.params import Params
from xdancer.errors import UserError
from xdancer.music.frame import BeatState

DOCS = Path(__file__).parents[3] / "docs"
PARAMS = {**Params().model_dump(), "apply": "frame"}
TREE = "xdancer/v1/main"


async def test_mosquitto_sub_receives_each_frame_once_and_in_order(mosquitto, subscribe, tools) -> None:
    listener = subscribe(mosquitto.port, f"{TREE}/tokens", "-t", f"{TREE}/status")
    out = tools.outlet(mosquitto.url)
    await out.start()
    await tools.until(lambda: out.connected)
    assert await listener.read(1) == [(f"{TREE}/status", "online")]  # it has subscribed to both
    frames = [tools.frame(index) for index in range(300)]
    reading = asyncio.create_task(listener.read(300, 60.0))
    for frame in frames:
        out.made(frame)
        out.shown(frame)
        if frame.index % 30 == 29:
            await tools.until(lambda: not out._queue)
    bodies = [json.loads(payload) for _, payload in await reading]
    await out.stop()
    assert [body["frame"] for body in bodies] == list(range(300))
    assert [body["seq"] for body in bodies] == list(range(300))
    assert [body["tokens"] for body in bodies] == [frame.tokens.ravel().tolist() for frame in frames]
    assert out.dropped == 0
    assert await listener.read(1) == [(f"{TREE}/status", "offline")]


async def test_what_is_retained_awaits_a_late_subscriber(mosquitto, subscribe, tools) -> None:
    out = tools.outlet(mosquitto.url)
    await out.start()
    await tools.until(lambda: out.connected)
    out.made(tools.frame(30))
    out.params_changed({"energy": 0.9, "seed": 7})
    await tools.until(lambda: out.sent >= 3)
    got = dict(await subscribe(mosquitto.port, f"{TREE}/#").read(3))
    await out.stop()
    assert set(got) == {f"{TREE}/meta", f"{TREE}/params", f"{TREE}/status"}  # no stream among them
    assert json.loads(got[f"{TREE}/params"])["energy"] == 0.9
    assert json.loads(got[f"{TREE}/meta"])["tokenizer"] == {"name": "live-1", "sha256": "a" * 64}


async def test_a_free_running_frame_has_a_pose_and_no_tokens(mosquitto, subscribe, tools) -> None:
    listener = subscribe(mosquitto.port, f"{TREE}/+")
    out = tools.outlet(mosquitto.url)
    await out.start()
    await listener.read(3)
    out.made(tools.frame(0, free_running=True))
    out.made(tools.frame(1))
    got = await listener.read(3)
    await out.stop()
    assert [topic.rsplit("/", 1)[1] for topic, _ in got] == ["pose", "tokens", "pose"]


def _publish_until_killed(url: str, settings: dict[str, str] | None = None) -> None:
    async def publish() -> None:
        out = MqttOutlet(MqttSettings(url=url, **(settings or {})), show="main", session="s1", meta={}, params={})
        await out.start()
        await asyncio.sleep(60)

    asyncio.run(publish())


async def test_the_last_will_says_offline_when_the_show_is_killed(mosquitto, subscribe) -> None:
    status = subscribe(mosquitto.port, f"{TREE}/status")
    show = multiprocessing.get_context("spawn").Process(target=_publish_until_killed, args=(mosquitto.url,))
    show.start()
    assert (await status.read(1, 30))[0][1] == "online"
    show.kill()
    show.join()
    assert (await status.read(1))[0][1] == "offline"


async def test_a_broker_that_dies_and_comes_back_is_found_again(mosquitto, subscribe, tools, caplog) -> None:
    caplog.set_level(logging.INFO)
    out = tools.outlet(mosquitto.url, queue=8)
    await out.start()
    await tools.until(lambda: out.connected)
    mosquitto.stop()
    await tools.until(lambda: not out.connected)
    for index in range(100):
        out.made(tools.frame(index))
    assert len(out._queue) == 8
    assert out.dropped >= 190  # 200 messages, the newest 8 wait
    await asyncio.sleep(1.0)
    mosquitto.start()
    await tools.until(lambda: out.connected, 20.0)
    listener = subscribe(mosquitto.port, f"{TREE}/#")
    assert dict(await listener.read(3))[f"{TREE}/status"] == "online"
    out.made(tools.frame(100))
    frames = []
    while not frames or frames[-1] != 100:  # those that waited may still be on their way when the listener comes
        topic, payload = (await listener.read(1))[0]
        if topic == f"{TREE}/tokens":
            frames.append(json.loads(payload)["frame"])
    assert frames == list(range(frames[0], 101)) and frames[0] >= 96
    await out.stop()
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert all("\n" not in line and mosquitto.url in line for line in warnings)
    assert 1 <= len(warnings) <= 3  # not one for each attempt


@pytest.mark.parametrize("password", [None, "a wrong one"])
async def test_a_wrong_password_is_one_clear_line(locked_mosquitto, tools, caplog, password: str | None) -> None:
    out = tools.outlet(locked_mosquitto.url, username="dj", password=password)
    await out.start()
    await tools.until(lambda: out.reconnects >= 2)
    out.made(tools.frame(0))
    await out.stop()
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert "wrong name or password" in lines[0] and "'dj'" in lines[0] and "a wrong one" not in lines[0]


async def test_the_right_password_is_let_in(locked_mosquitto, tools) -> None:
    url = f"mqtt://dj:{tools.PASSWORD.replace(' ', '%20')}@127.0.0.1:{locked_mosquitto.port}"
    out = tools.outlet(url)
    await out.start()
    await tools.until(lambda: out.connected)
    assert tools.PASSWORD not in (out.address or "") and "sesame" not in repr(out._address)
    await out.stop()


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_tls_password_and_last_will_in_either_version(tmp_path: Path, tools, subscribe, version: str) -> None:
    broker = Mosquitto(tmp_path, tools.PASSWORD, tls=True)
    broker.start()
    flag = "mqttv5" if version == "5" else "mqttv311"
    options = ("-V", flag, "--cafile", str(broker.ca), "-u", "dj", "-P", tools.PASSWORD)
    try:
        status = subscribe(broker.port, f"{TREE}/status", *options)
        listener = subscribe(broker.port, f"{TREE}/tokens", *options)
        settings = {"username": "dj", "password": tools.PASSWORD, "ca": str(broker.ca), "version": version}
        show = multiprocessing.get_context("spawn").Process(target=_publish_until_killed, args=(broker.url, settings))
        show.start()
        assert (await status.read(1, 30))[0][1] == "online"
        show.kill()
        show.join()
        assert (await status.read(1))[0][1] == "offline"
        out = tools.outlet(broker.url, **settings)
        await out.start()
        await tools.until(lambda: out.connected)
        out.made(tools.frame(7))
        assert json.loads((await listener.read(1))[0][1])["frame"] == 7
        await out.stop()
    finally:
        broker.stop()


async def test_a_broker_whose_certificate_is_not_known_is_one_clear_line(tmp_path: Path, tools, caplog) -> None:
    broker = Mosquitto(tmp_path, tls=True)
    broker.start()
    out = tools.outlet(broker.url)
    await out.start()
    await tools.until(lambda: out.reconnects >= 2)
    await out.stop()
    broker.stop()
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1 and "certificate verify failed" in lines[0] and broker.url in lines[0]


def test_a_ca_file_that_is_none_is_named(tmp_path: Path, tools) -> None:
    with pytest.raises(UserError, match="mqtt.ca"):
        tools.outlet("mqtts://broker", ca=str(tmp_path / "none.pem"))


async def test_messages_are_sent_at_once(mosquitto, tools, monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[Any] = []
    monkeypatch.setattr(link, "aiomqtt", SimpleNamespace(**vars(aiomqtt)), raising=True)
    monkeypatch.setattr(link.aiomqtt, "Client", lambda *a, **k: clients.append(aiomqtt.Client(*a, **k)) or clients[-1])
    out = tools.outlet(mosquitto.url)
    await out.start()
    await tools.until(lambda: out.connected)
    assert clients[0]._client.socket().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await out.stop()


async def test_every_message_a_broker_has_of_us_fits_its_schema(mosquitto, subscribe, tools) -> None:
    """As docs/asyncapi.yaml names them: for each channel the payload's schema, its retain flag and its QoS."""
    document = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
    command = ["-F", "%t %r %q %p"]
    listener = subscribe(mosquitto.port, f"{TREE}/#", *command, "-q", "1")
    heard: list[dict[str, Any]] = []
    out = tools.outlet(mosquitto.url, set_params=heard.append, params=PARAMS)
    await out.start()
    got = await listener.read(3)
    change = json.dumps({"energy": 0.25, "apply": "beat"})
    publish = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(mosquitto.port), "-t", f"{TREE}/params/set", "-m", change]
    while not heard:  # the outlet may not have subscribed yet
        await asyncio.to_thread(subprocess.run, publish, check=True)
        got += await listener.read(1)
    out.params_changed({**PARAMS, **heard[0]})
    out.made(tools.frame(15, BeatState(tempo=120.0, beat=1, beat_in_bar=1, confidence=0.5, struck=0.51)))
    got += await listener.read(4)
    got += await subscribe(mosquitto.port, f"{TREE}/#", *command, "-q", "1").read(3)
    await out.stop()
    seen = set()
    for topic, line in got:
        flag, qos, payload = line.split(" ", 2)
        (channel,) = [k for k, v in document["channels"].items() if v["address"].format(show="main") == topic]
        (message,) = document["channels"][channel]["messages"]
        schema = document["components"]["messages"][message]["payload"]
        if "$ref" in schema:
            schema = json.loads((DOCS / schema["$ref"]).read_text())
            payload = json.loads(payload)
        jsonschema.validate(payload, schema, jsonschema.Draft202012Validator)
        if channel != "paramsSet":
            (operation,) = [o for o in document["operations"].values() if o["channel"]["$ref"].endswith(f"/{channel}")]
            assert int(qos) == operation["bindings"]["mqtt"]["qos"]
            if flag == "1":
                assert operation["bindings"]["mqtt"]["retain"]
        seen.add((channel, flag))
    assert {channel for channel, _ in seen} == set(document["channels"])
    assert {channel for channel, flag in seen if flag == "1"} == {"meta", "params", "status"}


async def test_no_broker_at_all_holds_nothing_up(tools, caplog) -> None:
    out = tools.outlet(f"mqtt://127.0.0.1:{tools.free_port()}")
    await out.start()
    for index in range(20):
        out.made(tools.frame(index))
    await tools.until(lambda: out.reconnects >= 2)
    await out.stop()
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1 and "the show goes on" in lines[0]


async def test_params_set_reaches_the_show_and_nonsense_does_not(mosquitto, tools, caplog) -> None:
    got: list[dict[str, Any]] = []

    def take(changes: dict[str, Any]) -> None:
        if "energy" not in changes:
            raise UserError("no parameter 'colour'")
        got.append(changes)

    out = tools.outlet(mosquitto.url, set_params=take)
    await out.start()
    await tools.until(lambda: out.connected)
    await asyncio.sleep(0.3)
    for payload in ("not json", "[" * 60_000, "[1, 2]", '{"colour": 1}', "\xff", '{"energy": 0.25, "apply": "bar"}'):
        command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(mosquitto.port), "-t", f"{TREE}/params/set"]
        await asyncio.to_thread(subprocess.run, [*command, "-m", payload], check=True)
    await tools.until(lambda: bool(got))
    assert out.connected and got == [{"energy": 0.25, "apply": "bar"}]
    await out.stop()
    assert len([record for record in caplog.records if "params/set" in record.getMessage()]) == 5


async def test_the_embedded_broker_serves_tcp_and_websocket(subscribe, tools) -> None:
    out = tools.outlet("embedded", port=tools.free_port(), ws_port=tools.free_port())
    await out.start()
    await tools.until(lambda: out.connected)
    assert out.address and out.ws_address
    port, ws_port = int(out.address.rsplit(":", 1)[1]), int(out.ws_address.rsplit(":", 1)[1])
    listener = subscribe(port, f"{TREE}/tokens")
    async with aiomqtt.Client("127.0.0.1", ws_port, transport="websockets", websocket_path="/mqtt") as browser:
        await browser.subscribe(f"{TREE}/tokens")
        await asyncio.sleep(0.5)
        frames = list(range(60))
        for index in frames:
            out.made(tools.frame(index))
            await asyncio.sleep(0.005)
        seen = []
        async for message in browser.messages:
            seen.append(json.loads(message.payload)["frame"])
            if len(seen) == len(frames):
                break
    assert seen == frames
    assert [json.loads(payload)["frame"] for _, payload in await listener.read(60)] == frames
    await out.stop()


@pytest.mark.parametrize(
    ("origin", "taken"),
    [
        (None, True),
        ("http://localhost:5173", True),
        ("https://127.0.0.1", True),
        ("http://wall.local:8080", True),
        ("http://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
    ],
)
async def test_the_embedded_broker_takes_pages_of_this_machine_and_those_it_is_told_of(tools, origin, taken) -> None:
    """Browsers say where a page comes from; without this any page on the web could play on the show."""
    own = broker.EmbeddedBroker(0, 0, ["http://wall.local:8080"])
    await own.start()
    try:
        connecting = websockets.connect(f"ws://127.0.0.1:{own.ws_port}/mqtt", origin=origin, subprotocols=["mqtt"])
        if taken:
            async with connecting as page:
                assert page.subprotocol == "mqtt"
        else:
            with pytest.raises(websockets.InvalidStatus, match="403"):
                await connecting
    finally:
        await own.stop()


async def test_the_embedded_broker_hangs_up_on_who_does_not_read(tools, monkeypatch, caplog) -> None:
    monkeypatch.setattr(broker, "PATIENCE", 0.5)
    out = tools.outlet("embedded", port=tools.free_port(), ws_port=tools.free_port(), queue=100_000)
    await out.start()
    await tools.until(lambda: out.connected)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(out.address.rsplit(":", 1)[1]), limit=1024)
    writer.write(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04lazy")  # CONNECT, clean session, no keepalive
    await reader.readexactly(4)
    writer.write(b"\x82\x06\x00\x01\x00\x01#\x00")  # SUBSCRIBE to everything
    await reader.readexactly(5)
    writer.transport.pause_reading()
    busy = len(asyncio.all_tasks())

    def hung_up() -> bool:
        return any("read nothing" in record.getMessage() for record in caplog.records)

    for index in range(10_000):  # some MB go into the system's buffers first
        out.made(tools.frame(index))
        if index % 100 == 0:
            await tools.until(lambda: out.state()["queue"] == 0, 60.0)
        if hung_up():
            break
    await tools.until(hung_up)
    await tools.until(lambda: len(asyncio.all_tasks()) < busy + 5, 60.0)
    writer.transport.abort()
    assert out.connected
    await out.stop()


async def test_the_embedded_broker_moves_aside_for_one_that_is_there(mosquitto, tools, caplog) -> None:
    out = tools.outlet("embedded", port=mosquitto.port, ws_port=0)
    await out.start()
    await tools.until(lambda: out.connected)
    assert out.address != mosquitto.url
    assert [f"{mosquitto.port} is in use" in record.getMessage() for record in caplog.records] == [True]
    await out.stop()


async def test_off_is_off(tools) -> None:
    out = tools.outlet("off")
    await out.start()
    out.made(tools.frame(0))
    assert out.address is None and not out._queue
    await out.stop()


@pytest.mark.parametrize("url", ["http://host", "mqtt://", "mqtt://host:notaport", "broker.local", ""])
def test_a_url_that_is_none_is_named(url: str, tools: SimpleNamespace) -> None:
    with pytest.raises(UserError, match="mqtt.url"):
        tools.outlet(url)


def test_a_show_whose_name_breaks_topics_is_refused() -> None:
    with pytest.raises(UserError, match="show"):
        MqttOutlet(MqttSettings(url="off"), show="a/b", session="s", meta={}, params={})
    assert messages.ROOT == "xdancer/v1"
