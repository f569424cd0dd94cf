"""Malformed requests against the server: each is refused, none is served, none breaks it."""

from collections.abc import AsyncIterator

import pytest
from pretend import PretendShow

from engine.config import load
from engine.soak.nuisance import pester
from engine.web.server import Web


@pytest.fixture
async def port() -> AsyncIterator[int]:
    web = Web(load(None, ["port=0"]), PretendShow())
    await web.start()
    yield web.port
    await web.stop()


async def test_nothing_malformed_is_served_or_breaks_the_server(port: int, caplog: pytest.LogCaptureFixture) -> None:
    came_of = await pester("127.0.0.1", port, 260, pause=0.0)
    assert came_of["served"] == came_of["broken"] == 0
    assert came_of["refused"] > 200 and sum(came_of.values()) == 260
    assert not [record for record in caplog.records if record.name == "engine.web.server"]
