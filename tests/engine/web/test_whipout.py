"""WHIP out to a real WHIP endpoint in a process of its own, which dies and comes back."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, web
from aioice import ice
from peers import serving, until
from pretend import PretendShow

from engine.bench.beside import free_port
from engine.config import WhipOutSettings
from engine.web import whipout
from engine.web.broadcast import Broadcast, Shape
from engine.web.whipout import WhipOut

PATIENCE = 60.0


@contextlib.contextmanager
def sfu(port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("sfu.py")), str(port)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def seen(client: ClientSession, port: int, **at_least: int) -> dict[str, Any]:
    """What the SFU has had, once it has had that much."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(ClientError):
                state = json.loads(await (await client.get(f"http://127.0.0.1:{port}/state")).text())
                if all(state[name] >= count for name, count in at_least.items()):
                    return dict(state)
            await asyncio.sleep(0.1)


async def test_the_show_is_published_and_comes_back_when_the_sfu_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice, "CONSENT_INTERVAL", 0.3)  # instead of 5 s, which the loss of a peer takes six of
    port = free_port()
    url = f"http://127.0.0.1:{port}/first/whip"  # redirects, as a load balancer does
    async with serving(PretendShow(), f"whip_out.url={url}", whip_out__token="key") as running:
        out = running.web.whip_out
        with sfu(port):
            state = await seen(running.client, port, pictures=20, sounds=20)
            assert state["size"] == [128, 224] and state["codecs"] == ["video/H264", "audio/opus"]
            assert out.connected and state["mux_only"] and state["refused"] == 0
            before = out.reconnects
        await until(lambda: not out.connected)
        with sfu(port):
            await seen(running.client, port, pictures=20)
            assert out.connected and out.reconnects > before
            await out.stop()
            assert (await seen(running.client, port, deleted=1))["deleted"] == 1
        tracks = [track for channel in running.web.broadcast._channels.values() for track in channel.tracks]
        assert not tracks


async def test_a_refusal_is_said_once_without_secrets(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whipout, "RETRY_FIRST", 0.01)
    asked: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        """No twice, and from then on an answer that is none."""
        asked.append(request.headers["Authorization"])
        return web.Response(status=201, text="v=0") if len(asked) > 2 else web.Response(status=403, reason="Forbidden")

    app = web.Application()
    app.router.add_post("/{any:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = WhipOutSettings(url=f"http://127.0.0.1:{runner.addresses[0][1]}/live?key=hidden", token="secret")
    out = WhipOut(settings, Broadcast(Shape(64, 64)))
    out.start()
    await until(lambda: len(asked) >= 5)
    await out.stop()
    await runner.cleanup()
    said = [record.getMessage() for record in caplog.records if record.name == whipout.__name__]
    assert said[0] == "whip out: 127.0.0.1: 403 Forbidden; the show goes on, trying again"
    assert len(said) == 2 and not any(word in line for line in said for word in ("hidden", "secret"))
    assert set(asked) == {"Bearer secret"}


async def test_nothing_is_published_unasked() -> None:
    async with serving(PretendShow()) as running:
        assert running.web.whip_out._task is None
        assert (await (await running.client.get(running.at("/api/state"))).json())["whip_out"] == {
            "connected": False,
            "reconnects": 0,
        }
