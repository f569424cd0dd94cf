"""Milliseconds from a frame made to its tokens in a subscriber's hands, over loopback, with TCP_NODELAY or without.

The show's own outlet publishes tokens and pose at 30 frames/s through the embedded broker to a subscriber that asks
for TCP_NODELAY too. Without is the peer: what aiomqtt does unasked.
"""

import argparse
import asyncio
import json
import time
from typing import Any

import numpy as np

SECONDS = 10
FPS = 30
WARM_UP = 10  # frames


def run(args: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {"seconds": SECONDS, "frames_per_second": FPS}
    for name, nodelay in (("nodelay", True), ("default", False)):
        result[name] = asyncio.run(_measure(nodelay))
    return result


def report(result: dict[str, Any]) -> str:
    lines = [f"{'made to received':<18} {'p50 ms':>8} {'p99 ms':>8} {'frames':>7} {'lost':>5}"]
    for name, title in (("nodelay", "TCP_NODELAY"), ("default", "without")):
        row = result[name]
        lines.append(f"{title:<18} {row['p50_ms']:>8.2f} {row['p99_ms']:>8.2f} {row['frames']:>7} {row['lost']:>5}")
    return "\n".join(lines)


async def _measure(nodelay: bool) -> dict[str, float | int]:
    from engine.mqtt import MqttOutlet, MqttSettings, messages
    from engine.mqtt.link import LinkError, connect
    from engine.mqtt.settings import parse_url

    outlet = MqttOutlet(
        MqttSettings(url="embedded", port=0, ws_port=0),
        show="bench",
        session="bench",
        meta=messages.meta(1, "none", "0" * 64, None),
        params={},
        nodelay=nodelay,
    )
    await outlet.start()
    assert outlet.address is not None
    made: dict[int, float] = {}
    taken: dict[int, float] = {}

    async def receive() -> None:
        address = parse_url(MqttSettings(url=outlet.address))
        async with connect(address, "bench-subscriber", nodelay=nodelay) as link:
            async for payload in link.messages(f"{messages.ROOT}/bench/tokens"):
                taken[json.loads(payload)["frame"]] = time.perf_counter()

    receiver = asyncio.create_task(receive())
    await asyncio.sleep(1.0)
    try:
        start = time.perf_counter()
        for index in range(SECONDS * FPS + WARM_UP):
            made[index] = time.perf_counter()
            outlet.made(_frame(index))
            await asyncio.sleep(max(0.0, start + (index + 1) / FPS - time.perf_counter()))
        await asyncio.sleep(0.5)
    finally:
        receiver.cancel()
        await asyncio.gather(receiver, return_exceptions=True)
        await outlet.stop()
    if receiver.done() and not receiver.cancelled() and isinstance(receiver.exception(), LinkError):
        raise receiver.exception()  # type: ignore[misc]
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
