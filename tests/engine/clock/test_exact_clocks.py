"""The clocks that count by themselves, and what the others make of messages whose times are known."""

import asyncio
import struct
import time
from collections.abc import Sequence
from typing import Any

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from engine.clock.fixed import FixedClock
from engine.clock.midi import GONE_AFTER, MidiClock
from engine.clock.osc import OscClock
from engine.clock.source import Pulses, exact
from engine.clock.tap import PAUSE, TapClock
from engine.control.midi import MidiPort
from engine.control.osc import Handler, OscServer
from engine.control.settings import OscSettings
from xdancer.music.frame import BeatState


def where(state: BeatState | None) -> float:
    """Beats since a downbeat; the state has to be there."""
    assert state is not None
    return state.beat + state.beat_phase


@given(st.floats(-1e4, 1e6), st.floats(20.0, 400.0))
def test_a_state_holds_together_at_any_position(position: float, tempo: float) -> None:
    state = exact(position, tempo, "link")
    assert 0.0 <= state.beat_phase < 1.0 and 0.0 <= state.bar_phase < 1.0
    assert where(state) == pytest.approx(position, abs=1e-6)
    assert state.beat % 4 == state.beat_in_bar == int(state.bar_phase * 4)


@settings(max_examples=50, deadline=None)
@given(st.floats(60.0, 180.0), st.integers(0, 2**32 - 1))
def test_jitter_evens_out_in_the_line(tempo: float, seed: int) -> None:
    late = np.random.default_rng(seed).uniform(0.0, 0.01, 96)
    pulses = Pulses(48)
    for k in range(96):
        pulses.add(k * 60 / tempo / 24 + late[k], k / 24)
    now = 96 * 60 / tempo / 24
    position, found = pulses.at(now) or (0.0, 0.0)
    assert found == pytest.approx(tempo, rel=0.05)
    assert abs(position - now * tempo / 60) * 60 / tempo < 0.012


def test_a_fixed_tempo_counts_frames_and_changes_without_a_jump() -> None:
    clock = FixedClock(90.0)
    before = [where(clock.beat(n, 1e6)) for n in range(60)]
    np.testing.assert_allclose(before, (np.arange(60) + 1) / 30 * 1.5, atol=1e-9)
    clock.set(150.0)
    after = [where(clock.beat(n, 0.0)) for n in range(60, 90)]
    np.testing.assert_allclose(np.diff([before[-1], *after]), 150 / 60 / 30, atol=1e-9)


def tapped(times: list[float], clock: TapClock | None = None) -> TapClock:
    clock = clock or TapClock()
    for at in times:
        clock.tap(at)
    return clock


def test_two_taps_give_the_tempo_and_the_first_is_the_downbeat() -> None:
    clock = tapped([10.0])
    assert clock.beat(0, 10.1) is None
    tapped([10.5], clock)
    assert where(clock.beat(0, 11.0)) == pytest.approx(2.0)
    assert clock.beat(0, 12.05).tempo == pytest.approx(120.0) and clock.beat(0, 12.05).beat_in_bar == 0


def test_more_taps_are_more_exact_and_a_missed_one_does_no_harm() -> None:
    rng = np.random.default_rng(1)
    beats = np.array([0, 1, 2, 3, 5, 6, 7])
    clock = tapped(list(beats * 0.48 + rng.uniform(-0.02, 0.02, len(beats))))
    state = clock.beat(0, 8 * 0.48)
    assert state.tempo == pytest.approx(125.0, rel=0.02) and where(state) == pytest.approx(8.0, abs=0.06)


def test_a_tap_alone_sets_the_downbeat_and_keeps_the_tempo() -> None:
    clock = tapped([0.0, 0.5, 1.0, 1.5])
    clock.tap(1.5 + PAUSE + 0.75)
    state = clock.beat(0, 1.5 + PAUSE + 0.75)
    assert state.tempo == pytest.approx(120.0) and state.bar_phase == pytest.approx(0.0)
    tapped([4.85, 5.45], clock)  # and two begin anew
    assert clock.beat(0, 5.45).tempo == pytest.approx(100.0)
    clock.forget()
    assert clock.beat(0, 6.0) is None


def test_a_finger_that_bounces_counts_once() -> None:
    assert tapped([0.0, 0.03, 0.5, 0.52, 1.0]).beat(0, 1.0).tempo == pytest.approx(120.0)


class Sequencer:
    """Sends MIDI clock as bytes, parsed as they would be from a wire; time is what the test says."""

    def __init__(self) -> None:
        self.clock, self.now, self.position = MidiClock(MidiPort("off")), 100.0, 0.0

    def send(self, *data: int) -> None:
        parser = mido.Parser()
        parser.feed(data)
        for message in parser:
            if message.type in ("clock", "start", "continue", "songpos", "stop"):
                message.time = self.now
                self.clock.receive(message)

    def run(self, seconds: float, tempo: float = 120.0, to: float | None = None) -> list[tuple[float, float | None]]:
        """Tick at `tempo`, changing evenly to `to`; the true and the told position at each frame of the time."""
        end, frame, out = self.now + seconds, self.now, []
        began = self.now
        while self.now < end:
            while frame <= self.now:
                state = self.clock.beat(0, self.now)
                out.append((self.position, where(state) if state else None))
                frame += 1 / 30
            self.send(0xF8)
            bpm = tempo + ((to or tempo) - tempo) * (self.now - began) / seconds
            self.now += 60 / bpm / 24
            self.position += 1 / 24
        return out


def test_midi_ticks_count_from_start_on() -> None:
    """By mido's own bytes; a real port is in test_peers.py."""
    peer = Sequencer()
    assert all(told is None for _, told in peer.run(1.0))  # nobody has said where the beat is
    peer.position = 0.0
    peer.send(0xFA)
    told = peer.run(4.0)
    assert all(abs(true - (now or 0)) < 1e-6 for true, now in told)


def test_ten_per_cent_of_midi_drift_are_followed_smoothly() -> None:
    peer = Sequencer()
    peer.send(0xFA)
    peer.run(2.0)
    told = np.array(peer.run(8.0, 120.0, to=132.0), float)
    assert np.abs(told[:, 0] - told[:, 1]).max() < 0.02  # beats: 10 ms
    assert np.diff(told[:, 1]).min() > 0
    assert peer.clock.beat(0, peer.now).tempo == pytest.approx(132.0, rel=0.015)


def test_midi_stop_continue_and_song_position() -> None:
    peer = Sequencer()
    peer.send(0xFA)
    peer.run(2.0)
    peer.send(0xFC)
    assert peer.clock.beat(0, peer.now) is None
    ticked = peer.position
    peer.run(1.0)  # ticks go on
    assert peer.clock.beat(0, peer.now) is None
    peer.position = ticked
    peer.send(0xFB)
    assert all(abs(true - now) < 1e-6 for true, now in peer.run(1.0))
    peer.send(0xFC)
    peer.send(0xF2, 0x08, 0x01)  # 8 + 128 sixteenths
    peer.send(0xFB)
    peer.position = 34.0
    assert all(abs(true - now) < 1e-6 for true, now in peer.run(1.0))


def test_a_midi_cable_that_is_pulled_out() -> None:
    peer = Sequencer()
    peer.send(0xFA)
    peer.run(2.0)
    assert peer.clock.beat(0, peer.now + 0.5 * GONE_AFTER) is not None
    assert peer.clock.beat(0, peer.now + 1.1 * GONE_AFTER) is None
    peer.now += 3.0
    peer.run(1.0)
    assert peer.clock.beat(0, peer.now) is None  # how many ticks were missed?
    peer.send(0xFA)
    peer.run(0.5)
    assert peer.clock.beat(0, peer.now) is not None


def test_a_sequencer_that_ticks_only_while_it_plays() -> None:
    peer = Sequencer()
    for _ in range(2):
        peer.send(0xFA)
        peer.position = 0.0
        told = peer.run(2.0)
        assert told[0][1] is None and all(abs(true - now) < 1e-6 for true, now in told[10:])
        peer.send(0xFC)
        peer.now += 5.0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 255), max_size=60))
def test_any_midi_bytes_do_no_harm(data: list[int]) -> None:
    peer = Sequencer()
    for byte in data:
        peer.send(byte)
        peer.now += 0.01
        peer.clock.beat(0, peer.now)


class Wire:
    """An OSC port whose messages the test sends, each at its time."""

    port = 9100

    def __init__(self) -> None:
        self.at = 0.0
        self._handlers: dict[str, Handler] = {}
        self.clock = OscClock(self)  # type: ignore[arg-type]
        self.beat = self.clock.beat

    def on(self, address: str, handler: Handler) -> None:
        self._handlers[address] = handler

    def receive(self, address: str, values: Sequence[Any], at: float) -> None:
        self.at = at
        self._handlers[address](values)


def beats(clock: Wire, times: np.ndarray, *values: float) -> None:
    for at in times:
        clock.receive("/xdancer/clock/beat", values, float(at))


def test_osc_beats_alone_give_a_clock() -> None:
    clock = Wire()
    assert clock.beat(0, 5.0) is None
    beats(clock, np.array([10.0]))
    assert clock.beat(0, 10.1) is None  # no tempo yet
    beats(clock, np.arange(10.5, 13.0, 0.5))
    assert where(clock.beat(0, 13.0)) == pytest.approx(6.0)
    clock.receive("/xdancer/clock/downbeat", [], 13.0)
    assert clock.beat(0, 13.0).bar_phase == pytest.approx(0.0) and clock.beat(0, 13.2).tempo == pytest.approx(120.0)


def test_osc_tempo_and_positions_of_either_kind() -> None:
    for numbers in (range(16), [k % 4 for k in range(16)]):
        clock = Wire()
        clock.receive("/xdancer/clock/tempo", [100.0], 0.0)
        positions = []
        for k, number in enumerate(numbers):
            clock.receive("/xdancer/clock/beat", [number], 0.6 * k)
            positions += [where(clock.beat(0, 0.6 * k + early)) for early in (0.0, 0.2, 0.4)]
        np.testing.assert_allclose(positions, np.arange(48) / 3, atol=1e-9)


def test_ten_per_cent_of_osc_drift_are_followed() -> None:
    clock, at, worst = Wire(), 0.0, 0.0
    for k in range(40):
        clock.receive("/xdancer/clock/beat", [k], at)
        if k > 4:
            worst = max(worst, abs(where(clock.beat(0, at)) - k))
        at += 60 / (120 * (1 + 0.1 * min(1, k / 20)))
    assert worst < 0.06 and clock.beat(0, at).tempo == pytest.approx(132.0, rel=0.01)


def test_an_osc_peer_that_stops_sending_is_gone_and_may_come_back() -> None:
    clock = Wire()
    beats(clock, np.arange(0, 4, 0.5))
    assert clock.beat(0, 5.0) is not None and clock.beat(0, 6.0) is None
    beats(clock, np.arange(20.0, 22.0, 0.6))
    assert clock.beat(0, 21.9).tempo == pytest.approx(100.0)
    clock.receive("/xdancer/clock/stop", [], 22.0)
    assert clock.beat(0, 22.0) is None


def test_a_lost_datagram_costs_nothing() -> None:
    clock = Wire()
    beats(clock, np.array([0.0, 0.5, 1.0, 1.5, 2.5, 3.0]))
    assert where(clock.beat(0, 3.0)) == pytest.approx(6.0)


def test_open_beat_control_is_understood() -> None:
    clock = Wire()
    for k in range(6):
        clock.receive("/master/beat", [2, k % 4 + 1, 131.603973, 132.0, 0.997], k * 60 / 131.603973)
    state = clock.beat(0, 5 * 60 / 131.603973)
    assert state.tempo == pytest.approx(131.603973) and state.bar_phase == pytest.approx(0.25)
    clock.receive("/master/none", [], 3.0)
    assert clock.beat(0, 3.0) is None


async def test_a_bundle_is_meant_for_its_own_time() -> None:
    server = OscServer(OscSettings(port=0))
    clock = OscClock(server)
    early = 0.2
    bundle = OscBundleBuilder(time.time() + early)
    bundle.add_content(OscMessageBuilder("/xdancer/clock/beat").build())
    server.datagram_received(bundle.build().dgram, ("127.0.0.1", 1))
    assert clock._pulses.last[0] == pytest.approx(asyncio.get_running_loop().time() + early, abs=0.1)


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.floats(width=32).map(lambda value: b"/xdancer/clock/tempo\0\0\0\0,f\0\0" + struct.pack(">f", value)),
        st.floats(width=32).map(lambda value: b"/xdancer/clock/beat\0,f\0\0" + struct.pack(">f", value)),
        st.binary(max_size=40).map(lambda rest: b"/xdancer/clock/beat\0,f\0\0" + rest),
        st.binary(max_size=40).map(lambda rest: b"/master/beat\0\0\0\0,iif" + rest),
    )
)
def test_whatever_comes_over_osc_does_no_harm(data: bytes) -> None:
    server = OscServer(OscSettings(port=0))
    clock = OscClock(server)

    async def hear() -> None:
        for _ in range(3):
            server.datagram_received(data, ("127.0.0.1", 1))
            clock.beat(0, asyncio.get_running_loop().time())

    asyncio.run(hear())
