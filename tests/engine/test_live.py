"""`xdancer live` as a person starts it: a process of its own, with tiny models, over HTTP, until it is interrupted."""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import psutil
import pytest
import soundfile
from aiohttp import ClientSession
from aiortc import RTCSessionDescription
from models import tiny_show
from prometheus_client.parser import text_fd_to_metric_families
from pythonosc.osc_bundle import OscBundle

sys.path.insert(0, str(Path(__file__).with_name("web")))

from peers import SDP
from senders import Sender

from engine.cli import main
from xdancer.music.demo import click_track

PATIENCE = 120.0  # seconds: a busy machine may be slow, the test only asks that it happens


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [*tiny_show(tmp_path_factory.mktemp("weights"), "choreographer"), "mqtt.url=off"]


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


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_show_begins_loses_its_studio_goes_on_and_ends(settings: list[str], lives: list[Live], blow: int) -> None:
    live = Live("--audio", "demo", *settings)
    lives.append(live)
    state = live.until(
        lambda state: state["frames"]["shown"] > 30 and state["studio"]["spare"] and state["studio"]["status"] == "live"
    )
    assert state["source"]["name"] == "demo" and state["source"]["peak"] > -60
    studios, before = children(live.process.pid), state["studio"]["replaced"]
    os.kill(state["pids"]["studio"], blow)
    state = live.until(lambda state: state["studio"]["replaced"] > before and state["studio"]["status"] == "live")
    live.until(lambda later: later["frames"]["shown"] > state["frames"]["shown"] + 30)
    with urllib.request.urlopen(live.viewer + "metrics", timeout=PATIENCE) as answer:
        metrics = {sample.name: sample for family in text_fd_to_metric_families(io.TextIOWrapper(answer))
                   for sample in family.samples}  # fmt: skip
    assert metrics["xdancer_studio_replaced_total"].value >= 1 and metrics["xdancer_resident_memory_bytes"].value > 1e7
    said = live.end(signal.SIGINT)
    assert live.process.returncode == 0 and "Traceback" not in said and "replacing it" in said
    assert not any(psutil.pid_exists(pid) for pid in studios)


def test_a_recording_starts_and_stops_by_a_request(tmp_path: Path, settings: list[str], lives: list[Live]) -> None:
    live = Live("--audio", "demo", f"recordings={tmp_path / 'films'}", *settings)
    lives.append(live)

    def ask(body: Any, kind: str = "application/json") -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(live.viewer + "api/record", json.dumps(body).encode(), {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    for nonsense in ([], {"on": 1}, {"on": True, "file": "/etc/passwd"}):
        assert ask(nonsense)[0] == 400
    assert ask({"on": True}, "text/plain")[0] == 415  # as a foreign page could send it
    assert ask({"on": True})[1]["on"]
    live.until(lambda state: state["recorder"]["seconds"] > 2)
    code, ended = ask({"on": False})
    assert code == 200 and not ended["on"] and ended["error"] is None
    with av.open(str(tmp_path / "films" / ended["file"])) as container:
        assert container.streams.video[0].frames == round(30 * ended["seconds"])
    (tmp_path / "films" / ended["file"]).unlink()
    (tmp_path / "films").rmdir()
    (tmp_path / "films").touch()  # a file where the folder should be
    code, refused = ask({"on": True})
    assert code == 409 and "films" in refused["error"]
    live.end()
    assert live.process.returncode == 0


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


def test_a_show_hears_what_is_sent_to_it(settings: list[str], lives: list[Live]) -> None:
    live = Live("--audio", "browser", *settings)
    lives.append(live)
    state = live.until(lambda state: state["frames"]["shown"] > 0)
    assert state["source"]["status"].startswith("waiting") and state["level"] < -100

    async def send() -> dict[str, Any]:
        sender = Sender()
        offer = await sender.offer()
        async with ClientSession() as client, client.post(live.viewer + "whip", data=offer, headers=SDP) as answer:
            await sender.peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        state = await asyncio.to_thread(live.until, lambda state: state["level"] > -20)
        await sender.peer.close()
        return state

    assert asyncio.run(send())["source"]["status"] == "playing"
    live.until(lambda state: state["source"]["status"].startswith("waiting") and state["level"] < -100)
    assert "Traceback" not in live.end()


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
    assert "no renderer 'nobody'" in complaint(capfd, "--renderer", "diffusion", *settings, "weights.renderer=nobody")
    person = ["--renderer", "diffusion", "--reference"]
    assert "nobody.jpg: no such file" in complaint(capfd, *person, "nobody.jpg", *settings)
    assert "prot: unknown key; did you mean port?" in complaint(capfd, "prot=1", *settings)
    assert "no folder nowhere" in complaint(capfd, *settings, "record=nowhere/film.mp4")
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
