"""`xdancer beats` on a file of drums."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from engine.cli import main


@pytest.fixture(scope="module")
def drums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 s at 120 BPM: kick, snare, kick, snare, the first beat at 0.25 s."""
    rng, sound = np.random.default_rng(0), np.zeros(16 * 48_000)
    t = np.arange(4800) / 48_000
    for k in range(31):
        first = 12_000 + k * 24_000
        kick, snare = np.sin(2 * np.pi * 55 * t) * np.exp(-20 * t), 0.5 * rng.standard_normal(4800) * np.exp(-35 * t)
        sound[first : first + 4800] += snare if k % 2 else kick
    path = tmp_path_factory.mktemp("beats") / "drums.wav"
    wavfile.write(path, 48_000, (0.5 * sound * 32767).astype(np.int16))
    return path


@pytest.mark.parametrize("mode", ["--online", "--offline"])
def test_json(drums: Path, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["beats", str(drums), mode, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"beats", "downbeats", "tempo"}
    late = np.array([b for b in found["beats"] if b > 6.0])
    tempo = 60.0 / float(np.median(np.diff(late)))
    assert min(abs(tempo - 120.0), abs(tempo - 60.0)) < 1.5  # librosa hears two beats of the like as one
    assert found["tempo"] == pytest.approx(tempo, rel=0.05)
    assert np.abs((late - 0.25 + 0.25) % 0.5 - 0.25).max() < 0.07
    assert found["downbeats"] and set(found["downbeats"]) <= set(found["beats"])


def test_text(drums: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["beats", str(drums)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("BPM") and sum(line.endswith("downbeat") for line in lines) >= 4


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["beats", str(tmp_path / "none.wav")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "none.wav" in said.err


def test_silence_has_no_beats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "silence.wav"
    wavfile.write(path, 48_000, np.zeros(48_000, np.int16))
    for mode in ("--online", "--offline"):
        assert main(["beats", str(path), mode, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"beats": [], "downbeats": [], "tempo": 0.0}
