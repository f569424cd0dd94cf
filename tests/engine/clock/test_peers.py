"""Clocks from outside with a real peer: Link in another process, OSC from a socket. (MIDI: control/test_midi.py.)"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from pythonosc.udp_client import SimpleUDPClient

from engine.clock.link import LinkClock, installed
from engine.clock.osc import OscClock
from engine.clock.source import ClockSource
from engine.control.osc import OscServer
from engine.control.settings import OscSettings
from xdancer.music.frame import BeatState

PEER = Path(__file__).with_name("peer_link.py")


@contextlib.asynccontextmanager
async def started(clock: LinkClock) -> AsyncIterator[LinkClock]:
    clock.start()
    try:
        yield clock
    finally:
        clock.stop()


async def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def now(clock: ClockSource) -> BeatState | None:
    return clock.beat(0, asyncio.get_running_loop().time())


class Peer:
    """A Link program in another process. `said`: (time, beat, tempo), as it goes."""

    def __init__(self, *arguments: float) -> None:
        self._arguments = [str(value) for value in arguments]
        self.said: list[tuple[float, float, float]] = []

    async def __aenter__(self) -> "Peer":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PEER),
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            at, beat, tempo = map(float, line.split())
            self.said.append((at, beat, tempo))

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        await self._process.wait()
        await self._reading


@pytest.mark.skipif(not installed(), reason="aalink is GPL and cannot be had everywhere; make link")
async def test_a_link_peer_is_followed_and_its_tempo_left_alone() -> None:
    async with started(LinkClock()) as clock:
        await asyncio.sleep(1.5)  # we were here first, and still it is the other's tempo that holds
        assert now(clock) is None and clock.status == "no peers"
        async with Peer(128.0, 140.8, 4.0) as peer:
            await until(lambda: now(clock))
            assert clock.status == "1 peer"
            told = []
            await until(lambda: peer.said[-1][2] > 140)
            async with asyncio.timeout(10):
                while len(told) < 40:
                    at = asyncio.get_running_loop().time()
                    state = clock.beat(0, at + 0.03)  # the end of a frame that is under way
                    assert state is not None and state.source == "link"
                    told.append((at + 0.03, state.bar_phase, state.tempo))
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            assert {round(tempo, 1) for _, _, tempo in peer.said} == {128.0, 140.8}
            assert told[-1][2] == pytest.approx(140.8, abs=0.1)
            times, theirs, _ = np.array(peer.said).T
            for at, bar, tempo in told[-20:]:
                true = np.interp(at, times, theirs) / 4
                assert abs((bar - true + 0.5) % 1.0 - 0.5) * 4 * 60 / tempo < 0.02  # seconds
        await until(lambda: now(clock) is None)
        assert clock.status == "no peers"
        async with Peer(100.0):  # another session, and again it is not ours that wins
            await until(lambda: now(clock))
            await asyncio.sleep(0.5)
            assert now(clock).tempo == pytest.approx(100.0, abs=0.1)


async def test_an_osc_sender_is_followed() -> None:
    server = OscServer(OscSettings(port=0))
    clock = OscClock(server)
    await server.start()
    sender = SimpleUDPClient("127.0.0.1", server.port or 0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    sender.send_message("/xdancer/clock/tempo", 150.0)
    for k in range(6):
        await asyncio.sleep(max(0.0, began + k * 0.4 - loop.time()))
        sender.send_message("/xdancer/clock/beat", k % 4)
    await until(lambda: clock._pulses.last[1] == 5.0)
    state = clock.beat(0, began + 2.0)
    assert state is not None and state.tempo == pytest.approx(150.0)
    assert abs(state.beat + state.beat_phase - 5.0) * 0.4 < 0.06
    sender.send_message("/xdancer/clock/stop", [])
    await until(lambda: now(clock) is None)
    sender.send_message("/xdancer/clock/tempo", "fast")
    await until(lambda: server.refused.count == 1)
    server.stop()
