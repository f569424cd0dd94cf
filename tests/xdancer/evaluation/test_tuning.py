"""`xdancer evaluate choreographer --toward STYLE`."""

import json

import numpy as np
import pytest
from evaluation_fixtures import write_corpus
from models import tiny_choreographer, tiny_tokenizer

from engine.cli import main
from xdancer.evaluation.tuning import compared


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toward")
    write_corpus(folder / "corpus")
    tokenizer = tiny_tokenizer(folder / "codes")
    tiny_choreographer(folder / "base", tokenizer)
    tiny_choreographer(folder / "tuned", tokenizer, seed=1)
    return folder


def command(place, style, *more):
    return main([
        "evaluate", "choreographer", str(place / "corpus"), "--toward", style, "--choreographer", str(place / "tuned"),
        "--base", str(place / "base"), "--tokenizer", str(place / "codes"), *more,
    ])  # fmt: skip


def test_base_and_tuned_side_by_side(place, capsys):
    assert command(place, "salsa", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["rows"]) == ["truth", "base", "tuned"] and min(result["windows"].values()) > 1
    assert len(result["goals"]) == 4
    low, high = result["rows"]["tuned"]["kinetic_gain"]
    assert low <= high
    assert command(place, "salsa") == 0
    out = capsys.readouterr().out
    assert "to salsa" in out and "kinetic distance to salsa less than the base's" in out


def test_an_unknown_style_is_one_line(place, capsys):
    assert command(place, "polka") == 2
    assert "no window of it; there are salsa, street" in capsys.readouterr().err


def test_who_came_nearer_has_the_smaller_distance():
    """One feature of unit spread: at the mean of the real one, and two units off."""
    rng = np.random.default_rng(0)
    real = rng.normal(size=(4000, 1))
    near, far = ([rng.normal(mean, size=(1000, 1)) for _ in range(4)] for mean in (0.0, 2.0))
    found = compared(real, far, near, seed=0)
    assert found["base"] == pytest.approx(4.0, abs=0.3) and found["tuned"] == pytest.approx(0.0, abs=0.02)
    low, high = found["gain"]
    assert 3.5 < low <= high < 4.5
