"""A real mosquitto on a free port, a real mosquitto_sub, and frames to publish."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from engine.mqtt import MqttOutlet, MqttSettings, messages
from engine.stage.frame import ShowFrame
from xdancer.music.frame import BeatState

PASSWORD = "open sesame"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker of its own for one test; `stop` and `start` as often as needed, on the same port."""

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {'false' if password else 'true'}"]
        if password:
            secrets = folder / "passwords"
            subprocess.run(["mosquitto_passwd", "-b", "-c", secrets, "dj", password], check=True)
            secrets.chmod(0o644)
            folder.chmod(0o755)
            lines.append(f"password_file {secrets}")
        self.config.write_text("user root\n" + "\n".join(lines) + "\n")
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen(
            [program, "-c", self.config], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        wait_for(self._answers)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
            return True
        return False


class Subscriber:
    """A real mosquitto_sub: `lines` holds (topic, payload) as they come."""

    def __init__(self, port: int, topic: str, *options: str) -> None:
        command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-F", "%t %p", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    async def read(self, n: int, within: float = 15.0) -> list[tuple[str, str]]:
        """The next `n` messages as (topic, payload)."""
        loop = asyncio.get_running_loop()
        watchdog = loop.call_later(within, self.process.kill)
        got = []
        for _ in range(n):
            line = await loop.run_in_executor(None, self.process.stdout.readline)
            assert line, f"only {len(got)} of {n} messages came within {within} s: {self.process.stderr.read()}"
            topic, _, payload = line.rstrip("\n").partition(" ")
            got.append((topic, payload))
        watchdog.cancel()
        return got

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


def wait_for(true: Callable[[], bool], timeout: float = 10.0) -> None:
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


async def until(true: Callable[[], bool], within: float = 10.0) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "nothing happened"
        await asyncio.sleep(0.01)


def show_frame(index: int, beat: BeatState | None = None, free_running: bool = False) -> ShowFrame:
    rng = np.random.default_rng(index)
    pose = rng.uniform(0, 500, (60, 3)).astype(np.float32)
    pose[:, 2] = rng.uniform(0, 1, 60)
    return ShowFrame(
        index=index,
        due=1e9 + index / 30,
        picture=np.zeros((2, 2, 3), np.uint8),
        sound=np.zeros((1600, 2), np.float32),
        pose=pose,
        tokens=None if free_running else rng.integers(0, 512, (5, 6)).astype(np.int16),
        beat=beat or BeatState(),
    )


@pytest.fixture
def tools() -> SimpleNamespace:
    """Helpers, as test modules cannot import from here."""
    return SimpleNamespace(frame=show_frame, outlet=outlet, until=until, free_port=free_port, PASSWORD=PASSWORD)


def outlet(url: str, **options: object) -> MqttOutlet:
    settings = {key: options.pop(key) for key in ("username", "password", "queue", "port", "ws_port") if key in options}
    return MqttOutlet(
        MqttSettings(url=url, **settings),
        show="main",
        session="s1",
        meta=messages.meta(12, "live-1", "a" * 64, None),
        params={"energy": 0.5, "seed": 7},
        **options,
    )


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def locked_mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path, PASSWORD)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def subscribe() -> Iterator[Callable[..., Subscriber]]:
    running = []

    def begin(port: int, topic: str, *options: str) -> Subscriber:
        running.append(Subscriber(port, topic, *options))
        return running[-1]

    yield begin
    for subscriber in running:
        subscriber.stop()
