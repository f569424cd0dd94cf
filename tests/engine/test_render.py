"""`xdancer render` from end to end with tiny models, and what it says to bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from models import tiny_renderer, tiny_show

from engine.cli import main
from xdancer.music.demo import click_track
from xdancer.tokenizer import PoseTokenizer
from xdancer.weights import load_arrays, save


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny_show(tmp_path_factory.mktemp("weights"), "choreographer")


def wav(path: Path, samples: np.ndarray, rate: int = 48_000, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def test_film_tokens_and_seed(tmp_path: Path, weights: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    song = wav(tmp_path / "song.wav", click_track(2.01).samples)
    files = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        npz = tmp_path / f"{name}.npz"
        command = ["render", str(song), "-o", str(tmp_path / f"{name}.mp4"), "--tokens", str(npz), "--seed", str(seed)]
        assert main([*command, "--json", *weights]) == 0
        files[name] = dict(np.load(npz))
        assert json.loads(capsys.readouterr().out)["frames"] == 61  # 2.01 s: the last frame is filled with silence
    a, b, c = files.values()
    assert a["tokens"].shape == (61, 5, 6) and a["tokens"].dtype == np.int16
    assert a["pose"].shape == (61, 60, 3) and int(a["fps"]) == 30 and a["beats_s"].ndim == 1
    assert (a["tokens"] == b["tokens"]).all() and (a["tokens"] != c["tokens"]).any()
    with av.open(str(tmp_path / "a.mp4")) as film:
        video, sound = film.streams.video[0], film.streams.audio[0]
        assert (video.codec_context.name, video.frames, video.width, video.height) == ("h264", 61, 64, 112)
        assert (sound.codec_context.name, sound.rate, sound.channels) == ("aac", 48_000, 2)
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


NOISE = np.random.default_rng(0).normal(0, 0.2, (24_000, 8)).astype(np.float32)
ODD = NOISE[:, :2].copy()
ODD[100:200], ODD[300], ODD[400] = np.nan, np.inf, 40.0


@pytest.mark.parametrize(
    ("samples", "rate", "subtype"),
    [
        (NOISE[:, :1], 8_000, "PCM_U8"),
        (NOISE[:, :2], 96_000, "PCM_24"),
        (NOISE[:, :6], 44_100, "PCM_16"),
        (NOISE[:, :8], 48_000, "FLOAT"),
        (ODD, 48_000, "FLOAT"),
        (np.zeros((24_000, 2), np.float32), 48_000, "FLOAT"),
    ],
    ids=["8 bit mono", "96 kHz", "5.1", "7.1", "NaN and clipped", "silence"],
)
def test_any_sound_is_danced_to(
    tmp_path: Path, weights: list[str], samples: np.ndarray, rate: int, subtype: str
) -> None:
    song = wav(tmp_path / "song.wav", samples, rate, subtype)
    npz = tmp_path / "out.npz"
    assert main(["render", str(song), "-o", str(tmp_path / "out.mp4"), "--tokens", str(npz), *weights]) == 0
    pose = np.load(npz)["pose"]
    expected = len(samples) / rate * 30
    assert abs(len(pose) - expected) <= 1.1 and np.isfinite(pose).all()


def test_the_poses_as_openpose_files(tmp_path: Path, weights: list[str]) -> None:
    song = str(wav(tmp_path / "song.wav", NOISE[:8_000, :2]))
    npz, folder = tmp_path / "out.npz", tmp_path / "poses"
    out = ["-o", str(tmp_path / "film.mp4"), "--tokens", str(npz)]
    assert main(["render", song, *out, "--openpose", str(folder), *weights]) == 0
    files = sorted(folder.iterdir())
    pose = np.load(npz)["pose"]
    assert [file.name for file in files] == [f"film_{index:012d}_keypoints.json" for index in range(len(pose))]
    people = [json.loads(file.read_text())["people"] for file in files]
    bodies = [np.reshape(person[0]["pose_keypoints_2d"], (18, 3)) for person in people if person]
    np.testing.assert_allclose(bodies, [p[:18] for p, person in zip(pose, people, strict=True) if person], atol=6e-4)


def test_the_person_in_the_film(tmp_path: Path, weights: list[str]) -> None:
    tokenizer = next(setting.partition("=")[2] for setting in weights if setting.startswith("weights.tokenizer="))
    tiny_renderer(tmp_path / "renderer", PoseTokenizer.from_pretrained(tokenizer))
    song = str(wav(tmp_path / "song.wav", NOISE[:9_600, :2]))
    person = ["--renderer", "diffusion", f"weights.renderer={tmp_path / 'renderer'}"]
    films = {}
    for name, settings in {"person": person, "skeleton": [], "dark": [*person, "blackout=true"]}.items():
        out = tmp_path / f"{name}.mp4"
        assert main(["render", song, "-o", str(out), *settings, *weights]) == 0
        with av.open(str(out)) as container:
            films[name] = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert films["person"].shape == films["skeleton"].shape
    assert np.abs(films["person"].astype(int) - films["skeleton"]).mean() > 5
    assert films["dark"].max() < 20


def test_a_truncated_file_gives_what_could_be_read(tmp_path: Path, weights: list[str]) -> None:
    whole = wav(tmp_path / "whole.wav", NOISE[:, :2])
    song = tmp_path / "song.wav"
    song.write_bytes(whole.read_bytes()[: len(whole.read_bytes()) // 2])
    assert main(["render", str(song), "-o", str(tmp_path / "out.mp4"), *weights]) == 0


def complaint(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """What the command says when it fails: one line."""
    assert main(["render", *command]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    return error[0]


def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path: Path, weights: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    song = str(wav(tmp_path / "song.wav", NOISE[:, :2]))
    empty, text = tmp_path / "empty.wav", tmp_path / "text.wav"
    empty.write_bytes(b"")
    text.write_text("no sound here")
    before = set(tmp_path.iterdir())
    out = ["-o", str(tmp_path / "out.mp4")]
    for name in (str(tmp_path / "missing.wav"), str(empty), str(text), str(tmp_path)):
        assert name in complaint(capsys, name, *out, *weights)
    assert "no folder" in complaint(capsys, song, "-o", str(tmp_path / "nowhere" / "out.mp4"), *weights)
    assert ".mp4" in complaint(capsys, song, "-o", str(tmp_path / "out.avi"), *weights)
    assert ".npz" in complaint(capsys, song, *out, "--tokens", str(tmp_path / "out.txt"), *weights)
    assert "no folder" in complaint(capsys, song, *out, "--openpose", str(tmp_path / "no" / "where"), *weights)
    nobody = "weights.renderer=nobody"
    assert "no renderer 'nobody'" in complaint(capsys, song, *out, "--renderer", "diffusion", *weights, nobody)
    assert "nowhere" in complaint(capsys, song, *out, "weights.choreographer=nowhere")
    assert "sead" in complaint(capsys, song, *out, "sead=3", *weights)
    assert set(tmp_path.iterdir()) == before


def test_corrupt_weights_are_named(tmp_path: Path, weights: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    song = str(wav(tmp_path / "song.wav", NOISE[:, :2]))
    good = Path(weights[0].partition("=")[2])
    bad = tmp_path / "bad"
    bad.mkdir()
    for file in good.iterdir():
        (bad / file.name).write_bytes(file.read_bytes()[:100])
    said = complaint(capsys, song, "-o", str(tmp_path / "out.mp4"), *weights[1:], f"weights.tokenizer={bad}")
    assert str(bad) in said
    assert not (tmp_path / "out.mp4").exists()


def test_rendering_needs_no_torch(tmp_path: Path, weights: list[str]) -> None:
    song = wav(tmp_path / "song.wav", NOISE[:4_000, :2])
    arguments = ["render", str(song), "-o", str(tmp_path / "out.mp4"), *weights]
    code = f"import sys; from engine.cli import main; main({arguments!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0


def test_weights_of_another_shape_are_found_out_before_anything_is_written(
    tmp_path: Path, weights: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    song = str(wav(tmp_path / "song.wav", NOISE[:, :2]))
    good = Path(weights[1].partition("=")[2])
    arrays, config = load_arrays(good)
    arrays["stem.weight"] = arrays["stem.weight"][:, :-5]
    other = tmp_path / "other"
    save(other, {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}, config)
    said = complaint(capsys, song, "-o", str(tmp_path / "out.mp4"), *weights, f"weights.choreographer={other}")
    assert "does not fit this version" in said
    assert not (tmp_path / "out.mp4").exists()
