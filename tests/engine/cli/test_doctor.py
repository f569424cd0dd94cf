"""The doctor names what is missing, and only a show that could not run is a failure."""

import argparse
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from models import tiny_choreographer, tiny_tokenizer

from engine.cli import doctor
from xdancer import weights


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    shutil.copytree(weights.find("beats", "live"), folder / "beats" / "live-1")
    tiny_choreographer(folder / "choreographer" / "live-1", tiny_tokenizer(folder / "tokenizer" / "live-1"))
    return folder


@pytest.fixture
def shipped(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of every part, whole; the dancer's are tiny."""
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    return tmp_path


def examine(capsys: pytest.CaptureFixture[str], port: int = 0) -> tuple[int, dict[str, Any]]:
    code = doctor.run(argparse.Namespace(json=True, port=port))
    result = json.loads(capsys.readouterr().out)
    return code, {"can_run": result["can_run"], **{check["what"]: check for check in result["checks"]}}


def test_a_machine_with_everything_can_run_a_show(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = examine(capsys)
    assert (code, found["can_run"]) == (0, True)
    for what in ("python", "torch", "codec libx264", "codec libvpx", "codec libopus", "weights tokenizer"):
        assert found[what]["ok"] and found[what]["needed"] == "show"


def test_corrupt_weights_are_found_and_fail(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = shipped / "choreographer" / "live-1" / weights.MODEL
    model.write_bytes(model.read_bytes()[:-3])
    code, found = examine(capsys)
    assert (code, found["can_run"]) == (1, False)
    assert not found["weights choreographer"]["ok"] and found["weights tokenizer"]["ok"]


def test_weights_that_do_not_belong_together_are_found_and_fail(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(shipped / "tokenizer" / "live-1")
    tiny_tokenizer(shipped / "tokenizer" / "live-1", seed=1)
    code, found = examine(capsys)
    assert (code, found["can_run"]) == (1, False)
    assert found["weights tokenizer"]["ok"] and found["weights choreographer"]["ok"]
    assert "trained on the tokens" in found["a frame of dance"]["found"]


def test_what_a_show_can_do_without_is_named_with_how_to_get_it(
    shipped: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"no_such_module": ("beats by telepathy", "pip install telepathy")})
    monkeypatch.setattr(doctor, "DISK_LEAST", float("inf"))
    code, found = examine(capsys)
    assert code == 0
    for what, fix in {"no_such_module": "pip install telepathy", "disk": "recordings="}.items():
        assert not found[what]["ok"] and fix in found[what]["fix"] and found[what]["needed"] == "extra"
    assert found["open files"]["found"].startswith("at most")


def test_a_port_in_use_is_said_with_the_way_out(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, found = examine(capsys, port)
    assert code == 1 and f"--port {port + 1}" in found[f"port {port}"]["fix"]


def test_tools_of_the_tests_are_named_with_their_package_and_fail_nothing(
    shipped: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)
    monkeypatch.setattr(doctor, "SOUNDFONTS", ())
    code, found = examine(capsys)
    assert code == 0
    assert "MIDI input" in found and found["MIDI input"]["needed"] == "extra"
    packages = [found[what]["fix"] for what in ("mosquitto_sub", "soundfont", "browser")]
    assert packages == [f"apt-get install {name}" for name in ("mosquitto-clients", "fluid-soundfont-gm", "chromium")]


def test_the_text_for_people_marks_what_is_missing(
    shipped: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(doctor.CODECS, "libnothing", "video of nothing")
    assert doctor.run(argparse.Namespace(json=False, port=0)) == 1
    out = capsys.readouterr().out
    assert "MISSING codec libnothing" in out and "A show cannot run" in out
