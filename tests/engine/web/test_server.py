"""The server: who may come in, what it tells, and what it does not give away."""

import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from pretend import PretendShow

from engine.config import load
from engine.web.server import Web
from xdancer.errors import UserError


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    web = Web(load(None, ["port=0"]), PretendShow())
    await web.start()
    async with ClientSession(web.address) as session:
        yield session
    await web.stop()


async def test_the_page_and_its_parts(client: ClientSession) -> None:
    page = await client.get("/")
    assert page.status == 200 and "text/html" in page.headers["Content-Type"]
    assert "viewer.js" in await page.text()
    for part in ("viewer.js", "viewer.css"):
        assert (await client.get(f"/{part}")).status == 200
    assert (await client.get("/healthz")).status == 200


async def test_state_and_metrics_tell_the_same(client: ClientSession) -> None:
    state = await (await client.get("/api/state")).json()
    assert state["frames"]["made"] == 7 and state["viewers"] == 0
    metrics = await (await client.get("/metrics")).text()
    assert "xdancer_frames_made 7.0\n" in metrics
    assert "xdancer_viewers 0.0\n" in metrics
    assert "name" not in metrics


async def test_parameters_change_or_say_why_not(client: ClientSession) -> None:
    assert (await client.patch("/api/params", json={"temperature": 0.5})).status == 200
    assert (await (await client.get("/api/params")).json())["temperature"] == 0.5
    refused = await client.patch("/api/params", json={"colour": 1})
    assert refused.status == 422 and "colour" in (await refused.json())["error"]
    assert (await (await client.post("/api/tap")).json())["sources"]["tap"] == "tap 1"
    assert (await client.get("/api/tap")).status == 405
    assert (await client.patch("/api/params", data="{")).status == 400
    assert (await client.patch("/api/params", data="[1]")).status == 400
    assert (await client.patch("/api/params", data="x" * 100_000)).status in (400, 413)


@pytest.mark.parametrize(
    "path",
    [
        "/tokenizer/0/config.json",
        "/tokenizer/../../pyproject.toml",
        "/tokenizer/%2e%2e/%2e%2e%2fpyproject.toml",
        "/viewer.py",
        "/..%2fserver.py",
    ],
)
async def test_no_path_reaches_the_file_system(client: ClientSession, path: str) -> None:
    assert (await client.get(path)).status == 404


async def test_the_decoder_is_served_under_its_checksum(client: ClientSession) -> None:
    from xdancer import weights

    sha256 = weights.sha256(weights.find("tokenizer", "live"))
    answer = await client.get(f"/tokenizer/{sha256}/decoder.onnx")
    assert answer.status == 200 and len(await answer.read()) > 100_000
    assert (await (await client.get(f"/tokenizer/{sha256}/config.json")).json())["receptive_field"] <= 16
    assert (await client.get(f"/tokenizer/{sha256}/model.safetensors")).status == 404


async def test_without_a_token_only_this_machine_may_ask(client: ClientSession) -> None:
    assert (await client.get("/api/state", headers={"Host": "evil.example"})).status == 403


async def test_with_a_token_nobody_comes_in_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDANCER_TOKEN", "open sesame")
    web = Web(load(None, ["port=0"]), PretendShow())
    await web.start()
    try:
        async with ClientSession(web.address) as stranger:
            for path in ("/", "/viewer.js", "/api/state", "/metrics", "/healthz", "/?token=wrong"):
                assert (await stranger.get(path)).status == 401
            assert (await stranger.post("/whep", data="")).status == 401
            assert (await stranger.get("/api/state?token=open sesame")).status == 401
            bearer = {"Authorization": "Bearer open sesame"}
            assert (await stranger.get("/api/state", headers=bearer)).status == 200
        async with ClientSession(web.address) as guest:
            page = await guest.get("/", params={"token": "open sesame"})
            assert page.status == 200
            cookie = page.cookies["xdancer_token"]
            assert cookie["httponly"] and cookie["samesite"] == "Strict"
            named = {"Cookie": 'xdancer_token="open sesame"'}
            assert (await guest.get("/viewer.js", headers=named)).status == 200
    finally:
        await web.stop()


async def test_a_port_in_use_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        web = Web(load(None, [f"port={port}"]), PretendShow())
        with pytest.raises(UserError, match=f"port {port}.*--port"):
            await web.start()
        await web.stop()
