"""MIDI in: knobs and pads of a controller, and learning which does what."""

import asyncio
import contextlib
import importlib.util
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import mido
import yaml

from engine.config import Section
from engine.control.files import replace
from engine.control.knobs import Knobs
from engine.control.settings import MidiMapping, MidiSettings
from engine.control.tempo import STEPS, step
from xdancer.config import check, read
from xdancer.errors import UserError

log = logging.getLogger(__name__)
QUEUE = 256  # messages on their way from the driver's thread; the oldest goes
LOOK_EVERY = 2.0  # seconds between looks at whether the controller is (still) there
FINISH = 0.02  # seconds, less than a frame, in which a callback of the driver has long returned
LEARN_WITHIN = 30.0  # seconds that learning waits for a control
SWITCHES = ("mirror", "hold", "blackout", "flash")
RANGES = {"energy": (0.0, 1.0), "temperature": (0.0, 2.0), "seed": (0.0, 127.0), "nudge_ms": (-127.0, 127.0)}
Handler = Callable[[Any], None]


def midi_client() -> Any:
    """A client of the first MIDI system that works here (ALSA, CoreMIDI, JACK, …), which knows its ports; None where
    none does. Raises ImportError without python-rtmidi."""
    import rtmidi

    for api in rtmidi.get_compiled_api():
        with contextlib.suppress(Exception):  # each system has failures of its own
            return rtmidi.MidiIn(rtapi=api, name="xdancer")
    return None


class MidiPort:
    """A controller's port, opened when it is there and anew when it comes back.

    `on` says who handles messages of which type, in the names of mido (`control_change`, `note_on`, `clock`, …); their
    `time` is when they came, on the event loop's clock.
    Raises UserError where python-rtmidi is not installed.
    """

    def __init__(self, wanted: str) -> None:
        self.status = "off"
        self.dropped = 0
        self._wanted = wanted
        self._handlers: dict[str, list[Handler]] = {}
        self._queue: deque[tuple[list[int], float]] = deque(maxlen=QUEUE)
        self._awake = False
        self._watching: asyncio.Task[None] | None = None
        self._port: Any = None
        self._name = ""
        if wanted != "off" and importlib.util.find_spec("rtmidi") is None:
            raise UserError("midi.port: python-rtmidi is not installed; pip install 'xdancer[midi]'")

    def on(self, kind: str, handler: Handler) -> None:
        self._handlers.setdefault(kind, []).append(handler)

    def start(self) -> None:
        """Look for the port from now on; returns at once."""
        if self._wanted != "off":
            self._loop = asyncio.get_running_loop()
            self._watching = asyncio.create_task(self._watch(), name="midi")

    async def stop(self) -> None:
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self._close()

    async def _watch(self) -> None:
        looker = await asyncio.to_thread(midi_client)
        if looker is None:
            self.status = "this machine has no MIDI"
            log.warning("midi: %s; the show goes on without", self.status)
            return
        try:
            while True:
                names = await asyncio.to_thread(looker.get_ports)
                if self._port is not None and self._name not in names:
                    log.warning("midi: %s is gone", self._name)
                    self._close()
                if self._port is None:
                    await asyncio.to_thread(self._open, names)
                await asyncio.sleep(LOOK_EVERY)
        finally:
            looker.delete()

    def _open(self, names: list[str]) -> None:
        named = [(k, name) for k, name in enumerate(names) if self._matches(name)]
        self.status = f"waiting for {self._wanted!r}; there are {', '.join(names) or 'no ports'}"
        port = midi_client() if named else None
        if port is None:
            return
        try:
            port.open_port(named[0][0], "in")
        except Exception as error:  # gone again, or in use
            self.status = f"{named[0][1]} cannot be opened ({error})"
            port.delete()
            return
        port.ignore_types(sysex=True, timing=False, active_sense=True)
        port.set_callback(lambda event, _: self._arrived(event[0]))
        self._port, self._name = port, named[0][1]
        self.status = f"listening to {self._name}"
        log.info("midi: %s", self.status)

    def _matches(self, name: str) -> bool:
        if self._wanted == "any":
            return "through" not in name.lower()
        return self._wanted.lower() in name.lower()

    def _close(self) -> None:
        if self._port is not None:
            # Deleting holds the interpreter and waits for the driver's thread, which may be inside our callback and
            # wait for the interpreter: let it finish first.
            self._port.cancel_callback()
            time.sleep(FINISH)
            self._port.delete()
        self._port, self._name = None, ""

    def _arrived(self, data: list[int]) -> None:
        """On the driver's thread."""
        self.dropped += len(self._queue) == QUEUE
        self._queue.append((data, self._loop.time()))
        if not self._awake:
            self._awake = True
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._awake = False
        while self._queue:
            data, at = self._queue.popleft()
            try:
                message = mido.Message.from_bytes(data, time=at)
            except (ValueError, IndexError):
                continue
            for handler in self._handlers.get(message.type, ()):
                handler(message)


class MidiFile(Section):
    """What was learnt, like the `map` of the configuration."""

    map: MidiMapping = {}


class MidiParams:
    """What each control does, and learning it. `changed` is called when something of `state` has.

    A knob sets a value; a pad or a knob past its middle switches, recalls a preset, draws another seed, steps the tempo
    or taps it: `tap` is told when.
    """

    def __init__(
        self,
        settings: MidiSettings,
        port: MidiPort,
        knobs: Knobs,
        presets: Callable[[], Iterable[str]],
        tap: Callable[[float], None],
    ) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.learning: str | None = None
        self._port, self._knobs, self._presets, self._tap = port, knobs, presets, tap
        self._given, self._path = dict(settings.map), settings.file
        self._learnt: dict[str, str] = {}
        if self._path and self._path.exists():
            self._learnt = dict(check(MidiFile, read(self._path), str(self._path)).map)
        self._give_up: asyncio.TimerHandle | None = None
        self._last: dict[str, int] = {}  # of each controller that switches: where it stood
        port.on("control_change", lambda message: self._turned("control", message.control, message.value, message))
        port.on("note_on", lambda message: self._turned("note", message.note, message.velocity, message))
        port.on("program_change", lambda message: self._turned("program", message.program, 127, message))

    @property
    def map(self) -> dict[str, str]:
        return self._given | self._learnt

    @property
    def targets(self) -> list[str]:
        return [*RANGES, *SWITCHES, "tap", *STEPS, *(f"preset {name}" for name in self._presets())]

    def state(self) -> dict[str, Any]:
        """For the control page."""
        return {
            "status": self._port.status,
            "learning": self.learning,
            "map": self.map,
            "targets": self.targets,
            "kept": self._path is not None,
        }

    def learn(self, target: str) -> None:
        """Let the next control that moves do this. Raises UserError where it cannot be done."""
        if target not in self.targets:
            raise UserError(f"midi: there is no {target[:60]!r} to learn")
        self.stop_learning()
        self.learning = target
        self._give_up = asyncio.get_running_loop().call_later(LEARN_WITHIN, self.stop_learning)
        self.changed()

    def stop_learning(self) -> None:
        if self._give_up:
            self._give_up.cancel()
        self.learning, self._give_up = None, None
        self.changed()

    def forget(self, control: str) -> None:
        """Let a control do nothing; one of the configuration's, until the show ends. Raises UserError where it does
        nothing already."""
        if control not in self.map:
            raise UserError(f"midi: {control[:40]!r} does nothing")
        self._learnt.pop(control, None)
        self._given.pop(control, None)
        self._keep()
        self.changed()

    def _keep(self) -> None:
        """Write what was learnt to the file, where there is one, beside the show."""
        if self._path is not None:
            text = yaml.safe_dump({"map": self._learnt}, sort_keys=False, allow_unicode=True)
            asyncio.get_running_loop().run_in_executor(None, _write, self._path, text)

    def _turned(self, kind: str, number: int, value: int, message: Any) -> None:
        control = f"{kind} {message.channel + 1} {number}"
        if self.learning:
            if value:  # the release of a pad teaches nothing
                self._learnt[control] = self.learning
                self.stop_learning()
                self._keep()
            return
        target = self.map.get(control)
        if target in RANGES and kind == "control":
            self._knobs.turn(target, self._scaled(target, value))
        elif target and self._pressed(control, kind, value):
            self._press(target, message.time)

    def _scaled(self, target: str, value: int) -> float | int:
        low, high = RANGES[target]
        return value if target == "seed" else round(low + (high - low) * value / 127, 3)

    def _pressed(self, control: str, kind: str, value: int) -> bool:
        """A pad that is hit, or a controller on its way past the middle."""
        before, self._last[control] = self._last.get(control, 0), value
        return value > 0 if kind != "control" else before < 64 <= value

    def _press(self, target: str, at: float) -> None:
        params = self._knobs.params()
        if target in SWITCHES:
            self._knobs.turn(target, not params[target])
        elif target == "seed":
            self._knobs.turn("seed", (params["seed"] + 1) % 2**32)
        elif target == "tap":
            self._tap(at)
        elif target in STEPS:
            self._knobs.turn(*step(target, params))
        elif target.startswith("preset "):
            self._knobs.turn("preset", target.removeprefix("preset "))


def _write(path: Path, text: str) -> None:
    try:
        replace(path, text)
    except UserError as error:
        log.warning("midi: %s", error)
