"""The visualizer's page: who may have it, and what it is told."""

import pytest
from aiohttp import ClientSession
from pretend import PretendShow

from engine.cli.live import _this_machine
from engine.config import load
from engine.web.server import Web


async def test_the_page_its_parts_and_where_the_show_is() -> None:
    web = Web(load(None, ["port=0", "show=gala"]), PretendShow())
    await web.start()
    web.broker = "ws://127.0.0.1:9001"
    try:
        async with ClientSession(web.address) as client:
            page = await client.get("/visualizer", params={"bg": "transparent"})
            assert page.status == 200 and str(page.url).endswith("/visualizer/?bg=transparent")
            assert "wasm-unsafe-eval" in page.headers["Content-Security-Policy"]
            for part in ("visualizer.js", "visualizer.css", "licenses.txt"):
                assert (await client.get(f"/visualizer/{part}")).status == 200
            where = await (await client.get("/visualizer/show.json")).json()
            assert where == {"show": "gala", "broker": "ws://127.0.0.1:9001"}
            for path in ("package.json", "main.js", "..%2fpackage.json", "%2e%2e/build.mjs"):
                assert (await client.get(f"/visualizer/{path}")).status == 404
    finally:
        await web.stop()


async def test_with_a_token_the_page_asks_for_it_and_its_parts_then_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDANCER_TOKEN", "sesame")
    web = Web(load(None, ["port=0"]), PretendShow())
    await web.start()
    try:
        async with ClientSession(web.address) as client:
            for path in (
                "/visualizer",
                "/visualizer/",
                "/visualizer/visualizer.js?token=sesame",
                "/visualizer/show.json",
            ):
                assert (await client.get(path)).status == 401
            page = await client.get("/visualizer/?token=sesame")
            assert page.status == 200 and page.cookies["xdancer_token"]["httponly"]
            named = {"Cookie": f"xdancer_token={page.cookies['xdancer_token'].value}"}
            assert (await client.get("/visualizer/visualizer.js", headers=named)).status == 200
    finally:
        await web.stop()


def test_others_are_told_an_address_that_leads_here() -> None:
    config = load(None, ["mqtt.url=mqtt://127.0.0.1:1883"])
    assert _this_machine(config) == "127.0.0.1"
    everywhere = Web(config.model_copy(update={"host": "0.0.0.0"}), PretendShow())
    assert everywhere.address_from("10.1.2.3") == "http://10.1.2.3:8080/"
    assert everywhere.address == "http://127.0.0.1:8080/"
    assert Web(config, PretendShow()).address_from("10.1.2.3") == "http://127.0.0.1:8080/"
