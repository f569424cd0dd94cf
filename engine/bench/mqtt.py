"""Milliseconds from a frame made to its messages in a subscriber's hands, over loopback, with TCP_NODELAY or without.

The show's own outlet publishes tokens and pose at 30 frames/s to a subscriber that asks for TCP_NODELAY too; through
the embedded broker, and through mosquitto where that is installed, told the same by `set_tcp_nodelay`. Without is the
peer: what aiomqtt and mosquitto do unasked; it is the pose, sent right behind the tokens, that Nagle's algorithm would
hold back. Beside each, in the same seconds: the same bytes over a bare TCP connection within the process.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.bench.beside import free_port

SECONDS = 10
FPS = 30
WARM_UP = 10  # frames
TOPICS = ("tokens", "pose")
BROKERS = ("embedded", "mosquitto")


def run(args: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {"seconds": SECONDS, "frames_per_second": FPS, **{broker: {} for broker in BROKERS}}
    for name, nodelay in (("nodelay", True), ("default", False)):
        result["embedded"][name] = asyncio.run(_measure("embedded", nodelay))
        with _mosquitto(nodelay) as url:
            if url:
                result["mosquitto"][name] = asyncio.run(_measure(url, nodelay))
    return result


def report(result: dict[str, Any]) -> str:
    lines = [f"{'made to received':<34} {'p50 ms':>8} {'p99 ms':>8} {'frames':>7} {'lost':>5}"]
    for broker in BROKERS:
        for name, title in (("nodelay", "TCP_NODELAY"), ("default", "without")):
            for kind, row in result.get(broker, {}).get(name, {}).items():
                what = f"{broker}, {title}, {kind}"
                figures = f"{row['p50_ms']:>8.2f} {row['p99_ms']:>8.2f} {row['frames']:>7} {row['lost']:>5}"
                lines.append(f"{what:<34} {figures}")
    return "\n".join(lines)


@contextlib.contextmanager
def _mosquitto(nodelay: bool) -> Iterator[str | None]:
    """A mosquitto of our own on loopback, as its URL; None where it is not installed. By itself it leaves Nagle's
    algorithm on: a message then waits for the receipt of the one before, which a subscriber may hold back for 40 ms."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        yield None
        return
    port = free_port()
    settings = f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay {str(nodelay).lower()}\n"
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(settings)
        file.flush()
        broker = subprocess.Popen([program, "-c", file.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1.0)  # until it listens
            yield f"mqtt://127.0.0.1:{port}"
        finally:
            broker.terminate()
            broker.wait()


async def _measure(url: str, nodelay: bool) -> dict[str, dict[str, float | int]]:
    from engine.mqtt import MqttOutlet, MqttSettings, messages
    from engine.mqtt.link import connect
    from engine.mqtt.settings import parse_url

    outlet = MqttOutlet(
        MqttSettings(url=url, port=0, ws_port=0),
        show="bench",
        session="bench",
        meta=messages.meta(1, "none", "0" * 64, None),
        params={},
        nodelay=nodelay,
    )
    await outlet.start()
    assert outlet.address is not None
    address = parse_url(MqttSettings(url=outlet.address))
    made: dict[int, float] = {}
    taken: dict[str, dict[int, float]] = {kind: {} for kind in (*TOPICS, "bare TCP")}

    async def receive(topic: str) -> None:
        async with connect(address, f"bench-{topic}", nodelay=nodelay) as link:
            async for payload in link.messages(f"{messages.ROOT}/bench/{topic}"):
                taken[topic][json.loads(payload)["frame"]] = time.perf_counter()

    async def bare(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            taken["bare TCP"][int(line[:6])] = time.perf_counter()
        writer.close()

    server = await asyncio.start_server(bare, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    receivers = [asyncio.create_task(receive(topic)) for topic in TOPICS]
    await asyncio.sleep(1.0)
    try:
        start = time.perf_counter()
        for index in range(SECONDS * FPS + WARM_UP):
            frame = _frame(index)
            made[index] = time.perf_counter()
            outlet.made(frame)
            writer.write(f"{index:06d}{' ' * 2000}\n".encode())
            await asyncio.sleep(max(0.0, start + (index + 1) / FPS - time.perf_counter()))
        await asyncio.sleep(0.5)
    finally:
        writer.close()
        server.close()
        for receiver in receivers:
            receiver.cancel()
        ends = await asyncio.gather(*receivers, return_exceptions=True)
        await outlet.stop()
    for end in ends:
        if isinstance(end, Exception):
            raise end
    return {kind: _figures(made, times) for kind, times in taken.items()}


def _figures(made: dict[int, float], taken: dict[int, float]) -> dict[str, float | int]:
    frames = [index for index in made if index >= WARM_UP]
    late = [1e3 * (taken[index] - made[index]) for index in frames if index in taken]
    return {
        "p50_ms": float(np.percentile(late, 50)),
        "p99_ms": float(np.percentile(late, 99)),
        "frames": len(frames),
        "lost": len(frames) - len(late),
    }


def _frame(index: int) -> Any:
    from engine.stage.frame import ShowFrame
    from xdancer.music.frame import BeatState

    rng = np.random.default_rng(index)
    return ShowFrame(
        index=index,
        due=time.time() + 0.25,
        picture=np.zeros((1, 1, 3), np.uint8),
        sound=np.zeros((1600, 2), np.float32),
        pose=rng.uniform(0.0, 1.0, (60, 3)).astype(np.float32) * np.array([500, 800, 1], np.float32),
        tokens=rng.integers(0, 512, (5, 6)).astype(np.int16),
        beat=BeatState(),
    )
