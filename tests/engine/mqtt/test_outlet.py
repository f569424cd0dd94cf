"""The outlet against a real mosquitto, real mosquitto_sub, and the embedded broker."""

import asyncio
import json
import logging
import multiprocessing
import subprocess
from types import SimpleNamespace
from typing import Any

import aiomqtt
import pytest

from engine.mqtt import MqttOutlet, MqttSettings, messages
from xdancer.errors import UserError

TREE = "xdancer/v1/main"


async def test_mosquitto_sub_receives_each_frame_once_and_in_order(mosquitto, subscribe, tools) -> None:
    listener = subscribe(mosquitto.port, f"{TREE}/tokens")
    status = subscribe(mosquitto.port, f"{TREE}/status")
    out = tools.outlet(mosquitto.url)
    await out.start()
    await tools.until(lambda: out.connected)
    assert await status.read(1) == [(f"{TREE}/status", "online")]
    await asyncio.sleep(0.3)  # until mosquitto_sub has subscribed
    frames = [tools.frame(index) for index in range(300)]
    for frame in frames:
        out.made(frame)
        out.shown(frame)
        await asyncio.sleep(0)
        if frame.index % 30 == 29:
            await asyncio.sleep(0.02)
    bodies = [json.loads(payload) for _, payload in await listener.read(300)]
    await out.stop()
    assert [body["frame"] for body in bodies] == list(range(300))
    assert [body["seq"] for body in bodies] == list(range(300))
    assert [body["tokens"] for body in bodies] == [frame.tokens.ravel().tolist() for frame in frames]
    assert out.dropped == 0
    assert await status.read(1) == [(f"{TREE}/status", "offline")]


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


def _publish_until_killed(url: str) -> None:
    async def publish() -> None:
        out = MqttOutlet(MqttSettings(url=url), show="main", session="s1", meta={}, params={})
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
    topic, payload = (await listener.read(1))[0]
    assert topic == f"{TREE}/tokens" and json.loads(payload)["frame"] == 100
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
