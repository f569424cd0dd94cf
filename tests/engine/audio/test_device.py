"""A sound card: PortAudio through ALSA's pulse plugin, on the null sink of a PulseAudio server of the test's own."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.audio.device import DeviceSource, input_devices
from xdancer.music.frame import HOP


class Pulse:
    """A PulseAudio server with one null sink, on which a tone is played."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        t = np.arange(48_000 * 60) / 48_000
        soundfile.write(folder / "tone.wav", (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32), 48_000)

    def start(self) -> None:
        socket = self.folder / "socket"
        socket.unlink(missing_ok=True)
        server = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
        modules = (f"module-native-protocol-unix auth-anonymous=1 socket={socket}", "module-null-sink sink_name=wall")
        self._run([*server, *(part for module in modules for part in ("-L", module))])
        while not socket.exists():
            time.sleep(0.05)
        self._run(["paplay", str(self.folder / "tone.wav")])

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
        self.processes.clear()

    def _run(self, command: list[str]) -> None:
        quiet = subprocess.DEVNULL
        self.processes.append(subprocess.Popen(command, stdout=quiet, stderr=quiet))


@pytest.fixture
def pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    names = {"PULSE_SERVER": f"unix:{tmp_path}/socket", "PULSE_SINK": "wall", "PULSE_SOURCE": "wall.monitor"}
    for name in ("HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH"):
        names[name] = str(tmp_path)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert os.environ["PULSE_SINK"] == "wall"
    server = Pulse(tmp_path)
    server.start()
    yield server
    server.stop()


def pull_until(source: DeviceSource, sounding: bool) -> np.ndarray:
    """Pull at the pace of the clock until there is sound, or silence for a second."""
    quiet = 0
    for _ in range(2000):
        block = source.pull()
        assert block.shape == (HOP, 2)
        loud = np.abs(block).max() > 0.1
        quiet = 0 if loud else quiet + 1
        if sounding and loud or not sounding and quiet > 30:
            return block
        time.sleep(1 / 30)
    pytest.fail(f"still no {'sound' if sounding else 'silence'}; {source.status}")


def test_sound_comes_in_dies_with_the_server_and_comes_back(pulse: Pulse) -> None:
    source = DeviceSource("pulse")
    assert any("pulse" in name for name in input_devices())
    source.start()
    try:
        pull_until(source, sounding=True)
        assert source.status == "playing"
        pulse.stop()
        pull_until(source, sounding=False)
        pulse.start()
        pull_until(source, sounding=True)
    finally:
        source.close()
