"""Each clock from outside with a real peer: Link in another process, MIDI through JACK, OSC from a socket."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import mido
import numpy as np
import pytest
from pythonosc.udp_client import SimpleUDPClient

from engine.clock.link import LinkClock
from engine.clock.midi import MidiClock
from engine.clock.osc import OscClock
from engine.clock.settings import ClockSettings
from engine.clock.show import ShowClock
from engine.clock.source import ClockSource
from xdancer.errors import UserError
from xdancer.music.frame import BeatState

PEER = Path(__file__).with_name("peer_link.py")


@contextlib.asynccontextmanager
async def started(clock: ClockSource) -> AsyncIterator[ClockSource]:
    await clock.start()
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
        self._process.send_signal(signal.SIGINT)  # as a program ends that says goodbye
        await self._process.wait()
        await self._reading


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


@pytest.fixture(scope="module")
def jack() -> Iterator[None]:
    """A JACK server without sound, for MIDI ports that are real but need no kernel's sequencer."""
    name = f"test{os.getpid()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JACK_DEFAULT_SERVER", name)
        patch.setenv("JACK_NO_START_SERVER", "1")
        patch.setenv("JACK_NO_AUDIO_RESERVATION", "1")
        patch.setenv("MIDO_BACKEND", "mido.backends.rtmidi/UNIX_JACK")
        command = ["jackd", "--no-realtime", "-n", name, "-d", "dummy", "-p", "128"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            subprocess.run(["jack_wait", "-w", "-t", "20", "-s", name], check=True, stdout=subprocess.DEVNULL)
            yield
        finally:
            server.terminate()
            server.wait()


@pytest.mark.usefixtures("jack")
async def test_a_midi_sequencer_is_followed() -> None:
    loop = asyncio.get_running_loop()
    async with started(MidiClock()) as clock:
        assert clock.status == "xdancer: no clock"
        backend, sent = mido.Backend(), MidiClock()  # the other is told when each message was sent
        name = next(name for name in backend.get_output_names() if "xdancer" in name)
        with backend.open_output(name) as port:
            for number, message in enumerate([mido.Message("start"), *[mido.Message("clock")] * 96]):
                port.send(message)
                sent.receive(message, loop.time())
                await asyncio.sleep(60 / 125 / 24 if number else 0)
            at = loop.time()
            await until(lambda: clock._ticks == 96)
            state, true = clock.beat(0, at), sent.beat(0, at)
            assert state is not None and true is not None and state.source == "midi"
            assert state.tempo == pytest.approx(true.tempo, rel=0.1)
            assert abs(state.beat + state.beat_phase - true.beat - true.beat_phase) * 60 / true.tempo < 0.06
            port.send(mido.Message("stop"))
            await until(lambda: now(clock) is None)


@pytest.mark.usefixtures("jack")
async def test_a_midi_port_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="no MIDI input has 'Nord'"):
        await MidiClock("Nord").start()


async def test_midi_without_a_midi_system_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDO_BACKEND", "mido.backends.rtmidi/UNIX_JACK")
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "nobody")
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    with pytest.raises(UserError, match="MIDI cannot be had") as caught:
        await MidiClock().start()
    assert "\n" not in str(caught.value)


async def test_an_osc_sender_is_followed() -> None:
    async with started(OscClock("127.0.0.1", 0)) as clock:
        sender = SimpleUDPClient("127.0.0.1", clock.port)
        loop = asyncio.get_running_loop()
        began = loop.time()
        sender.send_message("/xdancer/tempo", 150.0)
        for k in range(6):
            await asyncio.sleep(max(0.0, began + k * 0.4 - loop.time()))
            sender.send_message("/xdancer/beat", k % 4)
        await until(lambda: clock._pulses.last[1] == 5.0)
        state = clock.beat(0, began + 2.0)
        assert state is not None and state.tempo == pytest.approx(150.0)
        assert abs(state.beat + state.beat_phase - 5.0) * 0.4 < 0.06
        sender.send_message("/xdancer/stop", [])
        await until(lambda: now(clock) is None)
        sender.send_message("/else", 1)
        await until(lambda: clock.refused == 1)


async def test_a_port_that_is_taken_is_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.clock.show.RETRY_FIRST", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        clock = ShowClock(ClockSettings(source="osc", osc_port=taken.getsockname()[1]))
        clock.start()
        await until(lambda: caplog.records)
        await asyncio.sleep(0.2)
        assert [record.message for record in caplog.records if "cannot listen" in record.message] == [
            f"clock.osc_port: cannot listen on 127.0.0.1 port {taken.getsockname()[1]} (Address already in use); "
            "the show goes on, trying again"
        ]
    await until(lambda: "no beat yet" in clock.state()["sources"]["osc"])
    clock.stop()
