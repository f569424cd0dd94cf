"""What the control page asks of the server: presets, the reference picture, and events that nobody holds up."""

import asyncio
import io
import itertools
import json
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mido
import pytest
from aiohttp import ClientSession
from PIL import Image
from pretend import PretendShow

from engine.config import load
from engine.control.desk import Desk
from engine.web import events
from engine.web.server import Web


@dataclass
class Running:
    show: PretendShow
    web: Web
    client: ClientSession

    async def state(self) -> dict[str, Any]:
        return dict(await (await self.client.get("/api/state")).json())


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    config = load(None, ["port=0", "presets.Drop={energy: 1, apply: bar}", f"presets_file={tmp_path / 'p.yaml'}"])
    show = PretendShow(config=config)
    web = Web(config, show, performer=show.performer)
    await web.start()
    async with ClientSession(web.address) as client:
        yield Running(show, web, client)
    await web.stop()


async def error(answer: Any, status: int) -> str:
    assert answer.status == status, await answer.text()
    return str((await answer.json())["error"])


async def test_presets_by_name_and_key(running: Running) -> None:
    for name in ("Drop", "1"):
        recalled = await running.client.post(f"/api/presets/{name}")
        assert (await recalled.json())["energy"] == 1.0 and (await recalled.json())["apply"] == "bar"
    now = await running.client.post("/api/presets/Drop", json={"apply": "beat"})
    assert (await now.json())["apply"] == "beat"
    assert "no 'Nobody'" in await error(await running.client.post("/api/presets/Nobody"), 422)
    assert "energy" in await error(await running.client.post("/api/presets/1", json={"energy": 7}), 422)
    by_params = await running.client.patch("/api/params", json={"preset": "Drop", "seed": 3})
    assert (await by_params.json())["seed"] == 3


async def test_presets_are_kept(running: Running, tmp_path: Path) -> None:
    await running.client.patch("/api/params", json={"energy": 0.4, "mirror": True})
    assert (await running.client.put("/api/presets/Mine 2")).status == 200
    listing = await (await running.client.get("/api/presets")).json()
    assert [preset["name"] for preset in listing["presets"]] == ["Drop", "Mine 2"] and listing["savable"]
    assert "mirror: true" in (tmp_path / "p.yaml").read_text()
    for name in ("..%2f..%2fetc", "%00", "a%2fb", "x" * 50):
        assert (await running.client.put(f"/api/presets/{name}")).status in (404, 422)
    assert os.listdir(tmp_path) == ["p.yaml"]


def picture(size: int = 64) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, size), (9, 80, 60)).save(out, "JPEG")
    return out.getvalue()


async def test_a_picture_is_uploaded_and_named(running: Running) -> None:
    running.show.performer._unavailable.update(renderer={}, reference=None)  # as with the diffusion renderer
    kept = await running.client.post("/api/reference", data=picture())
    assert kept.status == 201
    name = (await kept.json())["reference"]
    assert (await (await running.client.patch("/api/params", json={"reference": name})).json())["reference"] == name
    for other in ("0" * 16, "/etc/passwd", "../../x", "http://127.0.0.1:1/x.png", "file:///etc/passwd"):
        assert "reference" in await error(await running.client.patch("/api/params", json={"reference": other}), 422)


async def test_what_is_no_picture_is_refused(running: Running) -> None:
    assert "not a JPEG" in await error(await running.client.post("/api/reference", data=b"GIF89a"), 422)
    assert "not a JPEG" in await error(await running.client.post("/api/reference"), 422)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(2**18)

    assert (await running.client.post("/api/reference", data=endless())).status == 413
    assert (await running.client.post("/api/reference", data=picture())).status == 201


async def event(answer: Any, name: str) -> Any:
    """The next of that name."""
    kind = ""
    async for line in answer.content:
        field, _, value = line.decode().strip().partition(": ")
        if field == "event":
            kind = value
        elif field == "data" and kind == name:
            return json.loads(value)
    raise AssertionError("the stream ended")


async def test_events_tell_what_changes(running: Running) -> None:
    async with running.client.get("/api/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert (await event(answer, "presets"))["presets"][0]["name"] == "Drop"
        assert (await event(answer, "state"))["params"]["hold"] is False
        await running.client.patch("/api/params", json={"hold": True})
        while not (await event(answer, "state"))["active"]["hold"]:
            pass
        await running.client.put("/api/presets/Held")
        assert (await event(answer, "presets"))["presets"][1]["name"] == "Held"
        assert (await running.state())["control"]["pages"] == 1
    async with asyncio.timeout(20):
        while (await running.state())["control"]["pages"]:
            pass


async def test_who_does_not_read_is_dropped(running: Running) -> None:
    told = running.web.control
    assert told
    told.events._patience = 0.2
    count = itertools.count()
    told.events._topics = {"state": lambda: {"n": next(count), "much": "x" * 400_000}}
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(lazy, ("127.0.0.1", running.web.port))
        await loop.sock_sendall(lazy, b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(30), running.client.get("/api/events") as answer:
            while not told.events.dropped:
                await event(answer, "state")  # the others are not held up
            await event(answer, "state")
    assert told.events.clients <= 1


async def test_there_is_an_end_to_pages(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST", 2)
    async with running.client.get("/api/events") as one, running.client.get("/api/events") as two:
        await event(one, "state")
        await event(two, "state")
        refused = await running.client.get("/api/events")
        assert refused.status == 503 and refused.headers["Retry-After"]


async def test_open_pages_do_not_hold_up_the_end(running: Running) -> None:
    async with running.client.get("/api/events") as answer:
        await event(answer, "state")
        async with asyncio.timeout(1.5):  # the server would wait 2 s for a request that goes on
            await running.web.stop()


async def test_midi_is_learnt_from_the_page(tmp_path: Path) -> None:
    config = load(None, ["port=0", "presets.Drop={energy: 1}", "midi.map={control 1 7: energy}"])
    show = PretendShow(config=config)
    desk = Desk(config, show.performer)
    web = Web(config, show, performer=show.performer, midi=desk.midi_params)
    await web.start()
    async with ClientSession(web.address) as client, client.get("/api/events") as answer:
        assert (await event(answer, "midi"))["map"] == {"control 1 7": "energy"}
        assert (await client.post("/api/midi/learn", json={"target": "preset Drop"})).status == 200
        assert (await event(answer, "midi"))["learning"] == "preset Drop"
        desk.midi_params._turned("note", 36, 100, mido.Message("note_on", channel=9, note=36, velocity=100))
        assert (await event(answer, "midi"))["map"]["note 10 36"] == "preset Drop"
        assert (await client.delete("/api/midi/map/note 10 36")).status == 200
        assert "nothing" in await error(await client.delete("/api/midi/map/note 10 36"), 422)
        assert "to learn" in await error(await client.post("/api/midi/learn", json={"target": "../x"}), 422)
        assert (await client.post("/api/midi/learn", json={"target": "hold"})).status == 200
        assert (await (await client.delete("/api/midi/learn")).json())["learning"] is None
    await web.stop()
    await desk.stop()
