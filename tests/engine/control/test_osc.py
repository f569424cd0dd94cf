"""OSC from a real sender on loopback."""

import asyncio
import logging
import random
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import ValidationError
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import SimpleUDPClient

from engine.config import Config, load
from engine.control.knobs import Knobs
from engine.control.osc import OscParams, OscServer, OscSettings
from engine.control.performer import Performer
from xdancer.errors import UserError


class Desk:
    """A performer with OSC, and somebody who sends."""

    def __init__(self, server: OscServer, performer: Performer) -> None:
        self.server, self.performer = server, performer
        self.client = SimpleUDPClient("127.0.0.1", server.port or 0)

    async def until(self, **params: Any) -> None:
        await self.eventually(lambda: all(self.performer.params[name] == value for name, value in params.items()))

    async def refused(self, count: int) -> None:
        await self.eventually(lambda: self.server.refused.count >= count)

    async def eventually(self, true: Callable[[], bool]) -> None:
        for _ in range(2000):
            if true():
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"never: {self.performer.params}, {self.server.refused.count} refused")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    config = Config(presets={"Drop": {"energy": 1.0, "hold": True}})
    performer = Performer(config, lambda changes, moment: None, lambda: ["house"])
    server = OscServer(OscSettings(port=0))
    knobs = Knobs(performer.set, lambda: performer.params)
    OscParams(server, knobs, performer.tap)
    await server.start()
    yield Desk(server, performer)
    server.stop()
    knobs.close()


async def test_every_parameter_has_an_address(desk: Desk) -> None:
    for address, value in (("energy", 0.25), ("temperature", 1), ("style", "house"), ("seed", 7.0), ("mirror", 1.0)):
        desk.client.send_message(f"/xdancer/{address}", value)
    await desk.until(energy=0.25, temperature=1.0, style="house", seed=7, mirror=True)
    desk.client.send_message("/xdancer/blackout", True)
    desk.client.send_message("/xdancer/mirror", 0)
    await desk.until(blackout=True, mirror=False)
    desk.client.send_message("/xdancer/energy", [])
    desk.client.send_message("/xdancer/style", "")
    await desk.until(energy=None, style=None)


async def test_presets_by_key_and_name(desk: Desk) -> None:
    desk.client.send_message("/xdancer/preset", 1)
    await desk.until(energy=1.0, hold=True)
    desk.client.send_message("/xdancer/hold", 0)
    await desk.until(hold=False)
    desk.client.send_message("/xdancer/preset", "Drop")
    await desk.until(hold=True)


async def test_when_it_takes_hold(desk: Desk) -> None:
    desk.client.send_message("/xdancer/energy", [0.5, "bar"])
    await desk.until(energy=0.5, apply="bar")
    desk.client.send_message("/xdancer/apply", "beat")
    desk.client.send_message("/xdancer/energy", 0.6)
    await desk.until(energy=0.6, apply="beat")


async def test_a_bundle_is_one_change_or_two(desk: Desk) -> None:
    changes: list[Any] = []
    desk.performer.listeners.append(changes.append)
    bundle = OscBundleBuilder(IMMEDIATELY)
    for name in ("energy", "temperature"):
        for value in (0.1, 0.2, 0.3):
            message = OscMessageBuilder(f"/xdancer/{name}")
            message.add_arg(value)
            bundle.add_content(message.build())
    desk.client.send(bundle.build())
    await desk.until(energy=0.3, temperature=0.3)
    assert len(changes) == 2  # the first at once, the others together a frame later


async def test_what_is_wrong_changes_nothing_and_is_said_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    before = desk.performer.params
    wrong = (("energy", "much"), ("energy", [0.1, 0.2]), ("seed", "x"), ("hold", "yes"), ("mirror", []), ("style", 3),
             ("apply", "later"), ("nothing", 1), ("seed", 1e30), ("temperature", True))  # fmt: skip
    for address, value in wrong:
        desk.client.send_message(f"/xdancer/{address}", value)
    await desk.refused(len(wrong))
    assert desk.performer.params == before
    assert len(caplog.records) == 1 and "\n" not in caplog.records[0].getMessage()


async def test_values_out_of_range_and_paths_are_refused_by_the_show(desk: Desk) -> None:
    before = desk.performer.params
    for address, value in (
        ("energy", 3.0),
        ("style", "waltz"),
        ("reference", "/etc/passwd"),
        ("reference", "http://x/y.png"),
    ):
        desk.client.send_message(f"/xdancer/{address}", value)
    desk.client.send_message("/xdancer/nothing", 1)
    await desk.refused(1)
    await asyncio.sleep(0.1)
    assert desk.performer.params == before


async def test_nonsense_is_ignored(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(3)
    good = OscMessageBuilder("/xdancer/energy")
    good.add_arg(0.5)
    whole = good.build().dgram
    nested = b"#bundle\0" + bytes(8)
    for _ in range(2000):
        nested = b"#bundle\0" + bytes(8) + len(nested).to_bytes(4, "big") + nested if len(nested) < 60_000 else nested
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for k in range(300):
            cut = rng.randrange(len(whole))
            raw = whole[:cut] + rng.randbytes(rng.randrange(30)) if k % 2 else rng.randbytes(rng.randrange(200))
            sender.sendto(raw, ("127.0.0.1", desk.server.port or 0))
            await asyncio.sleep(0)
        sender.sendto(nested, ("127.0.0.1", desk.server.port or 0))
    desk.client.send_message("/xdancer/seed", 99)
    await desk.until(seed=99)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 2


def test_beyond_loopback_only_who_is_named() -> None:
    with pytest.raises(ValidationError, match=r"osc\.allow"):
        OscSettings(port=9000, host="0.0.0.0")
    with pytest.raises(UserError, match="osc.host"):
        load(None, ["osc.host=somewhere"])
    server = OscServer(OscSettings(port=9000, host="0.0.0.0", allow=["192.168.1.0/24", "10.0.0.7"]))
    heard = [server._heard(sender) for sender in ("192.168.1.9", "10.0.0.7", "127.0.0.1", "10.0.0.8", "fe80::1%eth0")]
    assert heard == [True, True, True, False, False]


async def test_a_port_in_use_is_said_in_one_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UserError, match=r"osc\.port"):
            await OscServer(OscSettings(port=taken.getsockname()[1])).start()
