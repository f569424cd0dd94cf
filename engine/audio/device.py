"""A sound card, through PortAudio (sounddevice)."""

import threading
import time
from typing import Any

import av
import numpy as np

from engine.audio.live import LiveSource
from engine.audio.source import clean
from xdancer.errors import UserError
from xdancer.music.frame import SAMPLE_RATE

HELD = 0.04  # seconds: a few of PortAudio's blocks
CAPACITY = 0.5
DEAD_AFTER = 3.0  # seconds without a callback: some drivers stop calling when they lose the device
_portaudio = threading.Lock()


def portaudio() -> Any:
    """The sounddevice module. Raises UserError where PortAudio is missing."""
    try:
        import sounddevice
    except OSError:
        raise UserError("device: the PortAudio library is missing; install it (Debian: libportaudio2)") from None
    return sounddevice


def input_devices() -> list[str]:
    """Names of the devices that sound can come in from."""
    return [device["name"] for device in portaudio().query_devices() if device["max_input_channels"] > 0]


class DeviceSource(LiveSource):
    """`name` is a device's name or a part of it; empty: the system's default. Comes back when the device does."""

    def __init__(self, name: str = "") -> None:
        """Raises UserError where there is no such device now."""
        super().__init__(f"device:{name}" if name else "device", HELD, CAPACITY)
        self._name = name
        try:
            self._find()
        except OSError as error:
            raise UserError(f"audio.source: {error}") from None

    def _find(self) -> dict[str, Any]:
        sounddevice = portaudio()
        try:
            return dict(sounddevice.query_devices(self._name or None, "input"))
        except (ValueError, sounddevice.PortAudioError):
            names = ", ".join(repr(name) for name in input_devices()) or "none"
            wanted = f"no input device {self._name!r}" if self._name else "no default input device"
            raise OSError(f"{wanted}; there are: {names}") from None

    def _listen(self) -> None:
        sounddevice = portaudio()
        with _portaudio:
            # PortAudio lists the devices once: what was plugged in since shows only after this.
            sounddevice._terminate()
            sounddevice._initialize()
            device = self._find()
        called = time.monotonic()
        ended = threading.Event()
        rate = SAMPLE_RATE
        channels = min(2, device["max_input_channels"])
        try:
            sounddevice.check_input_settings(device["index"], channels, "float32", samplerate=rate)
        except sounddevice.PortAudioError:
            rate = int(device["default_samplerate"])
        convert = _Converter(rate)

        def callback(block: np.ndarray, frames: int, when: Any, status: Any) -> None:
            nonlocal called
            called = time.monotonic()
            self._fifo.put(convert(clean(block.copy())))
            self._heard()

        try:
            with sounddevice.InputStream(
                device=device["index"],
                samplerate=rate,
                channels=channels,
                dtype="float32",
                latency="low",
                callback=callback,
                finished_callback=ended.set,
            ):
                while not self._stop.wait(0.2):
                    if ended.is_set():
                        raise OSError("the device has gone")
                    if time.monotonic() - called > DEAD_AFTER:
                        raise OSError("no sound comes from the device any more")
        except sounddevice.PortAudioError as error:
            raise OSError(str(error)) from None


class _Converter:
    """(n, 2) at the device's rate to 48 kHz."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._resampler = None if rate == SAMPLE_RATE else av.AudioResampler("flt", "stereo", SAMPLE_RATE)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        if self._resampler is None:
            return block
        frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate = self._rate
        parts = [out.to_ndarray().reshape(-1, 2) for out in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros((0, 2), np.float32)
