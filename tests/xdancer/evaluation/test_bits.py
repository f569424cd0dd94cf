"""`xdancer evaluate bits`: both kinds of choreographer on the same held-out frames."""

import json

import numpy as np
import pytest
from evaluation_fixtures import write_corpus
from models import tiny_choreographer, tiny_flat, tiny_tokenizer

from engine.cli import main
from xdancer.evaluation.bits import interval


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bits")
    write_corpus(folder / "corpus")
    tokenizer = tiny_tokenizer(folder / "codes")
    tiny_choreographer(folder / "two-level", tokenizer)
    tiny_flat(folder / "flat", tokenizer)
    return folder


def evaluate(place, *arguments):
    models = [str(place / "two-level"), str(place / "flat")]
    return main(["evaluate", "bits", str(place / "corpus"), *models, "--tokenizer", str(place / "codes"), *arguments])


def test_two_kinds_side_by_side(place, capsys):
    assert evaluate(place, "--windows", "4", "--leads", "0,16", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["frames"] == 4 * 52 and result["leads"] == [0, 16]
    two, flat = result["models"]
    for found in (*two["by_lead"], *flat["by_lead"]):
        assert 200 < found["bits"] < 2000  # 270 is what a coin would say; these have never learnt
        low, high = found["interval"]
        assert low <= found["bits"] <= high
    assert two["by_lead"][0]["plan_bits"] > 0 and flat["by_lead"][0]["plan_bits"] == 0
    assert two["by_lead"][0]["more_interval"] == [0, 0]
    gap = flat["by_lead"][1]["bits"] - two["by_lead"][1]["bits"]
    assert flat["by_lead"][1]["more"] == pytest.approx(gap)


def test_the_table_and_a_wrong_lead(place, capsys):
    assert evaluate(place, "--windows", "2") == 0
    assert "tiny-flat" in capsys.readouterr().out
    assert evaluate(place, "--leads", "61") == 2
    assert "0..60" in capsys.readouterr().err
    assert evaluate(place, "--leads", "soon") == 2
    assert "'soon' is not a list" in capsys.readouterr().err


def test_intervals_count_groups_not_values():
    """Two groups of a thousand: the mean is the first's, the second's, or half way."""
    values, groups = np.repeat([0.0, 1.0], 1000), np.repeat([0, 1], 1000)
    assert interval(values, groups) == [0.0, 1.0]
    assert interval(np.full(6, 3.0), np.array([0, 0, 1, 1, 2, 2])) == [3.0, 3.0]
