"""OSC out to a real receiver, python-osc's server, over UDP."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from brokers import free_port, show_frame, until
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import AsyncIOOSCUDPServer

from engine.config import load
from engine.osc_out import OscOut, OscOutSettings, bundle
from xdancer.errors import UserError
from xdancer.music.frame import BeatState


@contextlib.asynccontextmanager
async def receiver() -> AsyncIterator[tuple[int, list[tuple[Any, ...]]]]:
    got: list[tuple[Any, ...]] = []
    dispatcher = Dispatcher()
    dispatcher.set_default_handler(lambda address, *values: got.append((address, *values)))
    port = free_port()
    transport, _ = await AsyncIOOSCUDPServer(
        ("127.0.0.1", port), dispatcher, asyncio.get_running_loop()
    ).create_serve_endpoint()
    yield port, got
    transport.close()


async def test_a_receiver_gets_pose_tokens_and_each_beat_once() -> None:
    async with receiver() as (port, got):
        out = OscOut(OscOutSettings(to=f"127.0.0.1:{port}"))
        beat = BeatState(tempo=128.0, beat=7, beat_in_bar=3, confidence=0.5, struck=0.01)
        frames = [show_frame(0, beat), show_frame(1, beat, free_running=True), show_frame(2)]
        for frame in frames:
            out.made(frame)
            out.shown(frame)
        await until(lambda: len(got) == 6)
        out.close()
    names = [address for address, *_ in got]
    assert names == [f"/xdancer/{name}" for name in ("pose", "tokens", "beat", "pose", "pose", "tokens")]
    poses = [values for address, *values in got if address.endswith("pose")]
    assert [index for index, *_ in poses] == [0, 1, 2]
    np.testing.assert_array_equal([np.reshape(values, (60, 3)) for _, *values in poses], [f.pose for f in frames])
    assert got[1][1:] == (0, *frames[0].tokens.ravel().tolist())
    assert got[2][1:] == (7, 3, 128.0, 0.5)
    assert (out.sent, out.dropped) == (3, 0)


def test_a_bundle_fits_one_datagram() -> None:
    frame = show_frame(10**6, BeatState(tempo=120.0, beat=10**6, struck=0.0))
    assert len(bundle(frame, struck=True)) < 1280 - 48  # the least MTU of IPv6, less its headers


async def test_a_pose_that_is_not_a_number_is_sent_as_nothing() -> None:
    async with receiver() as (port, got):
        out = OscOut(OscOutSettings(to=f"localhost:{port}"))
        out.shown(replace(show_frame(0), pose=np.full((60, 3), np.nan, np.float32), tokens=None))
        await until(lambda: bool(got))
        out.close()
    assert got[0][2:] == (0.0,) * 180


def test_a_network_that_takes_nothing_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    out = OscOut(OscOutSettings(to=f"127.0.0.1:{free_port()}"))
    out._socket.close()
    for index in range(30):
        out.shown(show_frame(index))
    assert (out.sent, out.dropped) == (0, 30) and len(caplog.messages) == 1


@pytest.mark.parametrize("to", ["localhost", ":9000", "host:", "host:0", "host:70000", "9000"])
def test_an_address_that_is_none_is_named_by_its_key(to: str) -> None:
    with pytest.raises(UserError, match=r"osc_out\.to: .*HOST:PORT"):
        load(None, [f"osc_out.to='{to}'"])


def test_a_host_that_nobody_knows_is_named() -> None:
    with pytest.raises(UserError, match="no such host"):
        OscOut(OscOutSettings(to="nobody.invalid:9000"))


def test_it_is_off_unless_asked_for() -> None:
    assert load(None).osc_out.to == "off"
