"""The report on a renderer of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
from diffusion_fixtures import TINY, tiny_model

from engine.cli import main
from xdancer import weights
from xdancer.evaluation.renderer import WAYS, report
from xdancer.tokenizer import PoseTokenizer


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
