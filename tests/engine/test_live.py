"""`xdancer live` as a person starts it: a process of its own, with tiny models, over HTTP, until it is interrupted."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import psutil
import pytest
import soundfile
from models import tiny_choreographer, tiny_tokenizer
from pythonosc.osc_bundle import OscBundle

from engine.cli import main
from xdancer.music.demo import click_track

PATIENCE = 120.0  # seconds: a busy machine may be slow, the test only asks that it happens


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("weights")
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    tiny_choreographer(folder / "choreographer", tokenizer)
    weights = [f"weights.{part}={folder / part}" for part in ("tokenizer", "choreographer")]
    return [*weights, "width=64", "height=112", "mqtt.url=off"]


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, click_track(4.0).samples, 48_000, subtype="FLOAT")
    return path


class Live:
    """A running show."""

    def __init__(self, *arguments: str) -> None:
        code = "from engine.cli import main; raise SystemExit(main())"
        command = [sys.executable, "-c", code, "live", "--json", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        self.viewer: str = json.loads(line)["viewer"]

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.viewer + "api/state", timeout=PATIENCE) as answer:
            return dict(json.load(answer))

    def until(self, reached: Any) -> dict[str, Any]:
        """Wait for a state."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            state = self.state()
            if reached(state):
                return state
            time.sleep(0.1)
        pytest.fail(f"never reached: {state}")

    def end(self, number: int = signal.SIGINT) -> str:
        """Interrupt; returns what was said on stderr."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=PATIENCE)
        return said


@pytest.fixture
def lives() -> Iterator[list[Live]]:
    lives: list[Live] = []
    yield lives
    for live in lives:
        live.process.kill()


def children(pid: int) -> list[int]:
    """Studio processes of a show."""
    return [child.pid for child in psutil.Process(pid).children() if "spawn_main" in " ".join(child.cmdline())]


def test_a_show_begins_loses_its_studio_goes_on_and_ends(settings: list[str], lives: list[Live]) -> None:
    live = Live("--audio", "demo", *settings)
    lives.append(live)
    state = live.until(lambda state: state["frames"]["shown"] > 30 and state["studio"]["spare"])
    assert state["studio"]["status"] == "live" and state["source"]["name"] == "demo" and state["level"] > -60
    studios = children(live.process.pid)
    os.kill(min(studios), signal.SIGKILL)
    state = live.until(lambda state: state["studio"]["replaced"] == 1 and state["studio"]["status"] == "live")
    live.until(lambda later: later["frames"]["shown"] > state["frames"]["shown"] + 30)
    said = live.end(signal.SIGINT)
    assert live.process.returncode == 0 and "Traceback" not in said and "replacing it" in said
    assert not any(psutil.pid_exists(pid) for pid in studios)


def test_sigterm_ends_a_show_and_its_film_is_whole(
    tmp_path: Path, settings: list[str], song: Path, lives: list[Live]
) -> None:
    film = tmp_path / "film.mp4"
    live = Live("--audio", str(song), f"record={film}", *settings)
    lives.append(live)
    live.until(lambda state: state["frames"]["shown"] > 30)
    said = live.end(signal.SIGTERM)
    assert live.process.returncode == 0 and "Traceback" not in said
    with av.open(str(film)) as container:
        assert container.streams.video[0].frames > 30


def test_the_pose_on_show_leaves_by_osc_and_as_openpose(settings: list[str], song: Path, lives: list[Live]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(PATIENCE)
        live = Live("--audio", str(song), f"osc_out.to=127.0.0.1:{listener.getsockname()[1]}", *settings)
        lives.append(live)
        heard = [list(OscBundle(listener.recv(2000))) for _ in range(60)]
    messages = {message.address: message.params for bundle in heard for message in bundle}
    assert {"/xdancer/pose", "/xdancer/tokens"} <= set(messages)
    assert len(messages["/xdancer/pose"]) == 181 and len(messages["/xdancer/tokens"]) == 31
    with urllib.request.urlopen(live.viewer + "api/openpose", timeout=PATIENCE) as answer:
        assert json.load(answer)["version"] == 1.3
    live.end()


def complaint(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says when it fails before the show: one line."""
    assert main(["live", *arguments]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    return line


def test_mistakes_are_one_line_before_the_show(settings: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in complaint(capfd, *settings, f"port={port}")
    assert "nowhere.wav: no such file" in complaint(capfd, "--audio", "nowhere.wav", *settings)
    assert "no choreographer 'nobody'" in complaint(capfd, *settings, "weights.choreographer=nobody")
    assert "no tokenizer 'nobody'" in complaint(capfd, *settings, "weights.tokenizer=nobody")
    assert "diffusion renderer" in complaint(capfd, "--renderer", "diffusion", *settings)
    assert "prot: unknown key; did you mean port?" in complaint(capfd, "prot=1", *settings)
    assert "bearer token" in complaint(capfd, "--host", "0.0.0.0", *settings)


def test_corrupt_weights_end_it_with_one_line(
    tmp_path: Path, settings: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    good = Path(settings[1].partition("=")[2])
    for file in good.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:200])
    assert main(["live", "--port", "0", *settings, f"weights.choreographer={tmp_path}"]) == 2
    said = capfd.readouterr().err.strip().splitlines()
    assert str(tmp_path) in said[-1] and not any("Traceback" in line for line in said)
