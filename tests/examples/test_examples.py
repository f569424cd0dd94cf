"""The examples, run as their first lines say, beside a show that publishes."""

import asyncio
import contextlib
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from brokers import outlet, show_frame, until
from dancer import TOKENIZER, dance
from playwright.async_api import async_playwright

from engine.bench.beside import CHROMIUM
from engine.mqtt import MqttOutlet, messages
from xdancer.pose.layout import INDEX, JOINTS

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 60.0


@contextlib.asynccontextmanager
async def show() -> AsyncIterator[MqttOutlet]:
    meta = messages.meta(TOKENIZER.receptive_field, TOKENIZER.name, TOKENIZER.sha256, None)
    out = outlet("embedded", port=0, ws_port=0, meta=meta)
    await out.start()
    await until(lambda: out.connected)
    dancing = asyncio.create_task(dance(out))
    yield out
    dancing.cancel()
    await out.stop()


def parse_artdmx(packet: bytes) -> tuple[int, int, np.ndarray]:
    """Sequence, port address and channels, by the Art-Net 4 table of ArtDmx."""
    assert packet[:8] == b"Art-Net\0" and packet[8:10] == b"\x00\x50" and packet[10:12] == b"\x00\x0e"
    length = packet[16] << 8 | packet[17]
    assert 2 <= length <= 512 and length % 2 == 0 and len(packet) == 18 + length
    return packet[12], packet[14] | packet[15] << 8, np.frombuffer(packet[18:], np.uint8)


async def test_a_wall_of_leds_gets_the_dancer_by_artnet() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
        node.bind(("127.0.0.1", 0))
        node.setblocking(False)
        address = f"127.0.0.1:{node.getsockname()[1]}"
        async with show() as out:
            command = [EXAMPLES / "led_wall.py", "--broker", out.address, "--size", "20x35", "--to", address]
            there = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "clients" / "python")}
            wall = await asyncio.create_subprocess_exec(sys.executable, *command, env=there)
            try:
                channels: dict[int, np.ndarray] = {}
                async with asyncio.timeout(PATIENCE):
                    while len(channels) < 5:
                        packet = await asyncio.get_running_loop().sock_recv(node, 2000)
                        sequence, universe, values = parse_artdmx(packet)
                        assert 1 <= sequence <= 255
                        channels[universe] = values
            finally:
                wall.kill()
                await wall.wait()
    assert sorted(channels) == [0, 1, 2, 3, 4]
    picture = np.concatenate([channels[n] for n in range(5)])[: 3 * 20 * 35].reshape(35, 20, 3)
    light = picture.max(axis=2)
    assert light[:4].max() == 0 and light[:, :3].max() == 0 and light[13, 8:12].min() > 60  # the chest, on a dark wall
    right, left = picture[24, :10].max(axis=0), picture[24, 10:].max(axis=0)
    assert right[0] > right[2] and left[2] > left[0]  # warm and cool


def test_the_wall_in_a_terminal_shows_two_pixels_a_character() -> None:
    wall = runpy.run_path(str(EXAMPLES / "led_wall.py"))
    text = wall["printed"](np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3))
    assert text.count("▀") == 3 and "38;2;0;1;2;48;2;9;10;11m" in text


async def test_touchdesigners_operators_get_joints_and_beats() -> None:
    rows: list[list[Any]] = []
    table = SimpleNamespace(clear=rows.clear, appendRow=rows.append)
    chop = SimpleNamespace(par=SimpleNamespace(value0=0, value1=None, value2=None))
    later: list[tuple[Any, ...]] = []
    callbacks = runpy.run_path(
        str(EXAMPLES / "touchdesigner" / "mqtt_callbacks.py"),
        {
            "op": {"joints": table, "beat": chop}.__getitem__,
            "project": SimpleNamespace(cookRate=60),
            "run": lambda script, *args, delayFrames: later.append((args, delayFrames)),
        },
    )
    topics: list[str] = []
    callbacks["onConnect"](SimpleNamespace(subscribe=topics.append))
    assert topics == [f"xdancer/v1/main/{kind}" for kind in ("meta", "pose", "beat")]
    frame = show_frame(3)
    envelope = messages.Envelope("main", "s")
    beat = {"due": 0.0, "beat_in_bar": 2, "bpm": 126.0}
    for topic, body in (
        ("meta", messages.meta(12, "x", "0" * 64, None)),
        ("pose", messages.pose(frame)),
        ("beat", beat),
    ):
        payload = envelope.write(topic, 0.1, body)
        callbacks["onMessage"](None, f"xdancer/v1/main/{topic}", payload, 0, False, False)
    assert rows[0] == ["joint", "x", "y", "c"] and [row[0] for row in rows[1:]] == list(JOINTS)
    x, y, c = frame.pose[INDEX["nose"]]
    np.testing.assert_allclose(rows[1 + INDEX["nose"]][1:], [x / 512, (896 - y) / 512, c], atol=0.06)
    (((strike, body), delay),) = later
    assert delay == 0
    strike(body)
    assert (chop.par.value0, chop.par.value1, chop.par.value2) == (1, 2, 126.0)


async def test_the_p5_sketch_draws_ribbons() -> None:
    folder = EXAMPLES / "p5"
    if not (folder / "node_modules").is_dir():
        await asyncio.to_thread(
            subprocess.run, ["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True
        )
    app = web.Application()
    app.router.add_static("/", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        async with show() as out, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
            page = await browser.new_page(viewport={"width": 400, "height": 500})
            wrong: list[str] = []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            await page.goto(f"http://127.0.0.1:{port}/index.html?broker={out.ws_address}")
            lit = (
                "[...document.querySelector('canvas').getContext('2d').getImageData(0, 0, width, height).data]"
                ".filter((value, i) => i % 4 < 3 && value > 200).length"
            )
            ready = f"Boolean(pose) && ribbons[4].length > 3 && beats.length > 0 && {lit} > 200"
            async with asyncio.timeout(PATIENCE):  # ribbons grow: the first of them are a few pixels
                while not await page.evaluate(ready):
                    await page.wait_for_timeout(100)
            assert wrong == []
            assert json.loads(await page.evaluate("JSON.stringify(pose.length)")) == 60
            await browser.close()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_each_says_how_to_run_it_in_its_first_lines(path: Path) -> None:
    first = path.read_text().splitlines()[:6]
    assert first[0].startswith(('"""', "# ")) and any(word in " ".join(first) for word in ("python ", "xdancer", "1. "))
    readme = (EXAMPLES / "README.md").read_text()
    assert str(path.relative_to(EXAMPLES)) in readme
