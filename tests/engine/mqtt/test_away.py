"""A broker that is away for a minute, in virtual time: what waits is bounded, and the stream goes on by itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import run_virtually

from engine.mqtt import outlet
from engine.mqtt.link import LinkError


class Broker:
    """Takes what is published while it is there, with the loop's time."""

    def __init__(self) -> None:
        self.up, self.went = True, asyncio.Event()
        self.attempts = 0
        self.got: list[tuple[float, str, bytes]] = []

    @asynccontextmanager
    async def connect(self, *of: Any) -> AsyncIterator["Broker"]:
        self.attempts += 1
        if not self.up:
            raise LinkError("mqtt://broker: refused")
        yield self

    async def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        if not self.up:
            raise LinkError("mqtt://broker: connection lost")
        self.got.append((asyncio.get_running_loop().time(), topic.rsplit("/", 1)[1], payload))

    async def messages(self, topic: str) -> AsyncIterator[bytes]:
        await self.went.wait()
        raise LinkError("mqtt://broker: connection lost")
        yield b""

    def go(self) -> None:
        self.up = False
        self.went.set()

    def come_back(self) -> None:
        self.up = True
        self.went.clear()


def test_a_minute_without_a_broker(
    tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> tuple[Broker, Any, int]:
        broker = Broker()
        monkeypatch.setattr(outlet, "connect", broker.connect)
        out = tools.outlet("mqtt://broker")
        await out.start()
        most = 0
        for index in range(30 * 100):
            if index == 300:
                broker.go()
            if index == 300 + 1800:
                broker.come_back()
            out.made(tools.frame(index))
            most = max(most, out.state()["queue"])
            await asyncio.sleep(1 / 30)
        await out.stop()
        return broker, out, most

    broker, out, most = run_virtually(play())
    assert most == out.settings.queue == 256
    assert 4 < broker.attempts < 12  # ever more slowly
    frames = [json.loads(payload)["frame"] for _, topic, payload in broker.got if topic == "tokens"]
    assert frames == sorted(set(frames)) and frames[:299] == list(range(299))
    back = next(time for time, topic, _ in broker.got if time > 12 and topic == "status")
    assert 70 <= back <= 70 + outlet.RETRY_MOST
    after = [frame for frame in frames if frame > 300]
    assert after == list(range(after[0], 3000)) and back - after[0] / 30 < 256 / 30  # nothing older than the queue
    assert [topic for time, topic, _ in broker.got if time == back][:3] == ["status", "meta", "params"]
    assert out.sent + out.dropped == 2 * 3000  # tokens and pose of each frame: sent or counted
    assert len(caplog.records) <= 2
