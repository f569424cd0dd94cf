"""Figures by hand, and the report on a renderer of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
from diffusion_fixtures import TINY, tiny_model

from engine.cli import main
from xdancer import weights
from xdancer.evaluation.renderer import WAYS, report, score, similarity
from xdancer.tokenizer import PoseTokenizer


def film(frames: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(40, 200, (frames, 24, 16, 3), dtype=np.uint8)


def test_figures_count_the_person_only() -> None:
    true, person = film(), np.zeros((3, 24, 16))
    person[:, 5:20, 4:12] = 1
    made = true.copy()
    made[:, :, 13:] = 0  # wrong, but nobody is there
    assert score(true, made, person)["psnr"] > 100
    made = true + np.uint8(10)
    made[person == 0] = 0
    assert score(true, made, person)["psnr"] == pytest.approx(20 * np.log10(25.5))


def test_a_halo_counts_around_the_person_alone() -> None:
    true, person = np.full((2, 24, 24, 3), 100, np.uint8), np.zeros((2, 24, 24))
    person[:, 8:16, 8:16] = 1
    made = true + np.uint8(20)
    made[person > 0] = 100
    scores = score(true, made, person)
    assert scores["psnr"] > 100
    off = 20**2 * (16 * 16 - 8 * 8) / (16 * 16)  # four px to every side
    assert scores["around"] == pytest.approx(10 * np.log10(255**2 / off))
    made[:, 4:20, 4:20] = 100
    assert score(true, made, person)["around"] > 100


def test_sharpness_counts_edges_wherever_they_are() -> None:
    across = np.arange(16)
    steep, moved, soft = (np.clip((across - at) * slope, 0, 100) for at, slope in ((5, 100), (7, 100), (5, 25)))
    true, off, blurred = (
        np.broadcast_to(v[None, None, :, None], (2, 8, 16, 3)).astype(np.uint8) for v in (steep, moved, soft)
    )
    person = np.ones((2, 8, 16))
    assert score(true, off, person)["sharpness"] == pytest.approx(1)
    assert score(true, blurred, person)["sharpness"] == pytest.approx(4 * 25**2 / 100**2)
    person[:, :, :12] = 0  # so that edges count from column 8 on
    assert score(off, true, person)["sharpness"] == 0


def test_flicker_is_a_multiple_of_the_truths_own() -> None:
    true = np.zeros((4, 8, 8, 3), dtype=np.uint8)
    true[1::2] = 10
    person = np.ones((4, 8, 8))
    made = true * 3
    assert score(true, made, person)["flicker"] == pytest.approx(3)
    assert score(true, np.zeros_like(true), person)["flicker"] == 0


def test_seams_are_what_is_wrong_where_windows_join() -> None:
    true = np.full((8, 8, 8, 3), 50, np.uint8)
    made = true + np.cumsum([0, 1, 1, 1, 3, 1, 1, 1])[:, None, None, None].astype(np.uint8)
    person = np.ones((8, 8, 8))
    person[:, 4:] = 0
    made[4:, 4:] = 0  # nobody is there
    assert score(true, made, person, range(0, 8, 4))["seams"] == pytest.approx(3)
    assert score(made, made, person, range(0, 8, 4))["seams"] == 0
    assert "seams" not in score(true, made, person)


def test_similarity_is_that_of_the_paper() -> None:
    a = film(1)[0]
    np.testing.assert_allclose(similarity(a, a), 1)
    flat, other = np.full((9, 9, 3), 100, np.uint8), np.full((9, 9, 3), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    want = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)  # flat pictures differ in their means alone
    np.testing.assert_allclose(similarity(flat, other), want)
    assert similarity(a, 255 - a).mean() < 0


def test_the_command_reports_on_held_out_people(
    corpus: Path, tokenizer: PoseTokenizer, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"shape": TINY, "tokenizer": {"vocabulary": tokenizer.vocabulary}}
    weights.save(tmp_path / "made", tiny_model().state_dict(), config)
    strips = tmp_path / "strips.png"
    command = [
        "evaluate", "renderer", str(corpus), "--weights", str(tmp_path / "made"), "--tokenizer", str(tokenizer_folder),
        "--scenes", "2", "--steps", "2", "--strips", str(strips), "--json",
    ]  # fmt: skip
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["ways"]) == set(WAYS) and result["scenes"] == 2
    assert result["ways"]["true joints"] != result["ways"]["one pass"]  # an untrained tokenizer tells other joints
    assert all(np.isfinite(list(ways.values())).all() for ways in result["ways"].values())
    assert result["ways"]["reference"]["flicker"] == 0
    assert result["ways"]["exact"]["psnr"] > result["ways"]["reference"]["psnr"]
    assert [way for way, row in result["ways"].items() if "seams" in row] == ["offline", "live", "one pass"]
    assert strips.exists() and "PSNR" in report(result)
    few = [*command[:-3], "--ways", "one pass,live", "--json"]
    assert main(few) == 0
    again = json.loads(capsys.readouterr().out)["ways"]
    assert again == {way: result["ways"][way] for way in ("one pass", "live")}
    assert main([*few, "--patterned"]) == 0
    assert json.loads(capsys.readouterr().out)["ways"]["one pass"] != again["one pass"]  # before other walls
    assert main([*command[:-3], "--wall", "--scenes", "1", "--json"]) == 0
    wall = json.loads(capsys.readouterr().out)
    assert wall["size"] == [256, 160] and list(wall["ways"]) == ["1 x", "2 x", "4 x"] and "256 x 160" in report(wall)
    for wrong in (["--ways", "onepass"], ["--ways", "coded", "--strips", str(strips)]):
        assert main([*command[:-3], *wrong]) == 2
    assert "no way 'onepass'" in capsys.readouterr().err
    assert main([*command, "--frames", "40"]) == 2
    assert "a multiple of 16" in capsys.readouterr().err
    assert main([*command[:5], "--tokenizer", "live"]) == 2
    assert "another tokenizer" in capsys.readouterr().err
    assert main(["evaluate", "renderer", str(corpus), "--weights", "nobody"]) == 2
    assert "no renderer 'nobody'" in capsys.readouterr().err
