"""MIDI from a real virtual port, under a JACK server without sound; and what knobs and pads do."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import mido
import pytest
import rtmidi
import yaml

from engine.clock.midi import MidiClock
from engine.config import Config, load
from engine.control import midi
from engine.control.desk import Desk
from engine.control.knobs import Knobs
from engine.control.midi import MidiParams, MidiPort
from engine.control.performer import Performer
from engine.control.settings import MidiSettings
from xdancer.errors import UserError

JACK = rtmidi.API_UNIX_JACK


async def eventually(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail("never")


@pytest.fixture(scope="module")
def jack() -> Iterator[None]:
    """A JACK server of our own that plays nothing."""
    jackd = shutil.which("jackd")
    assert jackd, "jackd is needed: see `make test`"
    name = f"xdancer-{os.getpid()}"
    before = dict(os.environ)
    os.environ.update(JACK_DEFAULT_SERVER=name, JACK_NO_START_SERVER="1")
    # In step with its clients, and patient: a busy machine would have it drop messages, or clients altogether.
    patient = ["--no-realtime", "--sync", "--timeout", "1000"]
    command = [jackd, *patient, "--name", name, "-d", "dummy", "--period", "1024"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        if subprocess.run(["jack_lsp"], capture_output=True, check=False).returncode == 0:
            break
        time.sleep(0.1)
    else:
        pytest.fail("jackd does not start")
    yield
    server.terminate()
    server.wait()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def controller(jack: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Knobs to turn: `send_message`."""
    monkeypatch.setattr(rtmidi, "get_compiled_api", lambda: [JACK])
    monkeypatch.setattr(midi, "LOOK_EVERY", 0.05)
    yield plug_in()


def plug_in() -> Any:
    out = rtmidi.MidiOut(rtapi=JACK, name="Launch Control")
    out.open_virtual_port("knobs")
    return out


@pytest.fixture
async def performer() -> AsyncIterator[Performer]:
    config = Config(presets={"Drop": {"energy": 1.0, "hold": True}})
    yield Performer(config, lambda changes, moment: None, lambda: [])


async def test_learn_turn_unplug_and_plug_in_again(controller: Any, performer: Performer, tmp_path: Path) -> None:
    config = load(None, ["midi.port=launch control", f"midi.file={tmp_path / 'midi.yaml'}"])
    desk = Desk(config, performer)
    clocks: list[Any] = []
    desk.midi.on("clock", clocks.append)  # as a tempo would
    await desk.start()
    await eventually(lambda: desk.midi.status.startswith("listening to Launch Control"))
    desk.midi_params.learn("energy")
    await eventually(lambda: controller.send_message([0xB2, 21, 60]) or desk.midi_params.learning is None)
    assert desk.midi_params.map == {"control 3 21": "energy"}
    await eventually((tmp_path / "midi.yaml").exists)
    controller.send_message([0xB2, 21, 127])
    await eventually(lambda: performer.params["energy"] == 1.0)
    controller.send_message([0xF8])
    await eventually(lambda: bool(clocks))
    controller.delete()
    await eventually(lambda: desk.midi.status.startswith("waiting for"))
    controller = plug_in()
    await eventually(lambda: desk.midi.status.startswith("listening"))
    await eventually(lambda: controller.send_message([0xB2, 21, 0]) or performer.params["energy"] == 0.0)
    await desk.stop()
    controller.delete()
    again = Desk(config, performer)
    assert again.midi_params.map == {"control 3 21": "energy"}


async def test_a_sequencers_clock_is_followed(controller: Any, performer: Performer) -> None:
    desk = Desk(load(None, ["midi.port=launch control"]), performer)
    clock, loop = MidiClock(desk.midi), asyncio.get_running_loop()
    await desk.start()
    await eventually(lambda: desk.midi.status.startswith("listening to Launch Control"))
    assert clock.beat(0, loop.time()) is None and clock.status.endswith("no clock")
    controller.send_message([0xFA])
    began = loop.time()
    for tick in range(96):  # four beats of 125 a minute
        await asyncio.sleep(max(0.0, began + tick * 60 / 125 / 24 - loop.time()))
        controller.send_message([0xF8])
    await eventually(lambda: clock._ticks == 96)
    state = clock.beat(0, began + 2.0)
    assert state is not None and state.source == "midi" and state.tempo == pytest.approx(125, rel=0.1)
    assert abs(state.beat + state.beat_phase - 2.0 * 125 / 60) < 0.25  # a machine that is busy sends late
    controller.send_message([0xFC])
    await eventually(lambda: clock.beat(0, loop.time()) is None)
    await desk.stop()
    controller.delete()


class Keys:
    """A controller in hand: messages go straight in."""

    def __init__(self, performer: Performer, **settings: Any) -> None:
        port = MidiPort("off")
        port._loop = asyncio.get_running_loop()
        self.knobs = Knobs(performer.set, lambda: performer.params)
        self.params = MidiParams(MidiSettings(**settings), port, self.knobs, performer.presets.all, performer.tap)
        self.port = port

    def play(self, *messages: mido.Message) -> None:
        for message in messages:
            self.port._arrived(message.bytes())
            self.port._drain()


def knob(number: int, value: int) -> mido.Message:
    return mido.Message("control_change", channel=0, control=number, value=value)


def pad(number: int, velocity: int = 100) -> mido.Message:
    return mido.Message("note_on", channel=9, note=number, velocity=velocity)


async def test_knobs_set_and_pads_switch(performer: Performer) -> None:
    mapping = {
        "control 1 1": "temperature",
        "control 1 2": "hold",
        "note 10 36": "blackout",
        "note 10 37": "preset Drop",
    }
    keys = Keys(performer, map=mapping | {"program 1 5": "seed"})
    keys.play(knob(1, 127))
    assert performer.params["temperature"] == 2.0
    keys.play(*(knob(1, value) for value in range(127)))
    await eventually(lambda: performer.params["temperature"] == pytest.approx(2 * 126 / 127, abs=1e-3))
    await asyncio.sleep(0.05)
    keys.play(pad(36), pad(36, 0))
    assert performer.params["blackout"] is True  # the release does nothing
    keys.play(knob(2, 60), knob(2, 70), knob(2, 90), mido.Message("program_change", channel=0, program=5))
    await eventually(lambda: performer.params["hold"] is True and performer.params["seed"] == 1)
    keys.play(knob(2, 10), knob(2, 127))
    await eventually(lambda: performer.params["hold"] is False)
    keys.play(pad(37))
    await eventually(lambda: performer.params["hold"] is True and performer.params["energy"] == 1.0)
    keys.play(knob(99, 5), pad(99))  # nobody's
    keys.knobs.close()


async def test_learning_ends_by_a_control_by_hand_or_by_itself(
    performer: Performer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys(performer)
    told: list[Any] = []
    keys.params.changed = lambda: told.append(keys.params.state()["learning"])
    keys.params.learn("preset Drop")
    keys.play(pad(40, 0), pad(40))
    assert keys.params.map == {"note 10 40": "preset Drop"} and told[-2:] == ["preset Drop", None]
    keys.params.learn("hold")
    keys.params.stop_learning()
    keys.play(pad(41))
    assert "note 10 41" not in keys.params.map
    monkeypatch.setattr(midi, "LEARN_WITHIN", 0.01)
    keys.params.learn("hold")
    await eventually(lambda: keys.params.learning is None)
    keys.params.forget("note 10 40")
    assert keys.params.map == {}
    for wrong in ("reference", "preset Nobody", "/etc/passwd", ""):
        with pytest.raises(UserError, match="midi: "):
            keys.params.learn(wrong)
    with pytest.raises(UserError, match="nothing"):
        keys.params.forget("note 10 40")


async def test_a_flood_is_bounded_and_nonsense_passes(performer: Performer) -> None:
    keys = Keys(performer, map={"control 1 1": "energy"})
    changes: list[Any] = []
    performer.listeners.append(changes.append)
    for k in range(10_000):
        keys.port._arrived(knob(1, k % 128).bytes())
        keys.port._arrived([0xF4])
    assert len(keys.port._queue) == midi.QUEUE and keys.port.dropped == 20_000 - midi.QUEUE
    await eventually(lambda: len(changes) == 2)
    assert performer.params["energy"] == round((9_999 % 128) / 127, 3)
    keys.knobs.close()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("midi.map={control 17 1: energy}", "midi.map"),
        ("midi.map={control 1 128: energy}", "midi.map"),
        ("midi.map={note 1 1: reference}", "midi.map.note 1 1"),
        ("midi.prot=any", "did you mean midi.port?"),
    ],
)
def test_wrong_mappings_are_named(override: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load(None, [override])
    assert expected in str(caught.value)


def test_a_wrong_file_is_named(performer: Performer, tmp_path: Path) -> None:
    file = tmp_path / "midi.yaml"
    file.write_text(yaml.safe_dump({"map": {"control 1 1": "volume"}}))
    with pytest.raises(UserError, match=r"midi\.yaml: map\.control 1 1"):
        Desk(load(None, [f"midi.file={file}"]), performer)
