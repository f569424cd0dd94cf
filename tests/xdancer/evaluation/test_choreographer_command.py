"""`xdancer evaluate choreographer` as it is typed, on a small corpus with tiny models."""

import json

import numpy as np
import pytest
from evaluation_fixtures import stepping, write_corpus
from models import tiny_choreographer, tiny_tokenizer

from engine.cli import main
from xdancer.evaluation import handles
from xdancer.evaluation.report import report

BASELINES = ["truth", "random clip", "motion graph", "motion graph, heard"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    write_corpus(folder / "corpus")
    tiny_choreographer(folder / "dancer", tiny_tokenizer(folder / "codes"))
    return folder


@pytest.fixture
def evaluate(place, capsys):
    def run(*arguments: str, code: int = 0, model: bool = True):
        models = ["--choreographer", str(place / "dancer"), "--tokenizer", str(place / "codes")] if model else []
        assert main(["evaluate", "choreographer", *map(str, arguments), *models]) == code
        out, err = capsys.readouterr()
        return out if code == 0 else err

    return run


def strict(text: str):
    """JSON as the standard has it: no NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_the_whole_table(evaluate, place, tmp_path):
    result = strict(evaluate(place / "corpus", "--json", "--pictures", tmp_path))
    rows = result["rows"]
    assert list(rows) == ["model", *BASELINES] and result["songs"] == 2
    assert rows["truth"]["recall"] > 0.95 and rows["truth"]["recall_excess"] == pytest.approx(1)
    assert rows["random clip"]["novelty"] == pytest.approx(0, abs=1e-3)
    assert rows["motion graph"]["novelty"] < rows["truth"]["novelty"] < rows["model"]["novelty"]
    assert rows["motion graph, heard"]["recall"] > 0.9
    assert rows["model"]["kinetic"]["halves"] > 3 > rows["truth"]["kinetic"]["halves"] == 1
    assert len(rows["model"]["goals"]) == 9 and not all(goal["met"] for goal in rows["model"]["goals"])
    assert {path.name for path in tmp_path.iterdir()} == {"one.png", "two.png"}
    text = report(result)
    for part in ("motion graph", "Bailando@60fps", "kinetic distance", "novelty", "goals, model:"):
        assert part in text


def test_the_motion_of_others_stands_in_the_same_table(evaluate, place, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    np.savez(theirs / "two.npz", pose=stepping(330, 0.5, 45.0, seed=30))  # the first view of the truth's is 40
    result = strict(evaluate(place / "corpus", "--motion", theirs, "--json", model=False))
    assert list(result["rows"]) == ["theirs", *BASELINES] and result["songs"] == 1
    assert result["rows"]["theirs"]["recall"] > 0.9 and result["rows"]["theirs"]["goals"]
    taken = theirs.rename(tmp_path / "truth")  # the name of a row of ours
    rows = strict(evaluate(place / "corpus", "--motion", taken, "--json", model=False))["rows"]
    assert list(rows) == [str(taken), *BASELINES] and rows[str(taken)] == result["rows"]["theirs"]


def test_one_motion_by_itself(evaluate, tmp_path):
    np.savez(tmp_path / "a.npz", pose=stepping(330, 0.5), beats_s=np.arange(0.5, 11, 0.5), fps=30)
    result = strict(evaluate("--motion", tmp_path / "a.npz", "--json", model=False))
    assert result["rows"]["motion"]["recall"] > 0.95 and result["by_minute"]["energy"] == []
    (tmp_path / "beats.json").write_text(json.dumps({"beats": (np.arange(0.5, 11, 0.5) + 0.25).tolist()}))
    off = strict(evaluate("--motion", tmp_path / "a.npz", "--beats", tmp_path / "beats.json", "--json", model=False))
    assert off["rows"]["motion"]["recall"] < 0.05


def test_leads_side_by_side(evaluate, place):
    result = strict(evaluate(place / "corpus", "--leads", "0,4", "--songs", "1", "--json"))
    assert list(result["rows"]) == ["truth", "lead 0", "lead 4"] and result["leads"] == [0, 4]
    assert result["rows"]["truth"]["recall_excess"] == pytest.approx(1)
    assert report(result).splitlines()[-1].split()[:2] == ["lead", "4"] and not result["goals"]


def test_what_the_handles_do(evaluate, place, monkeypatch):
    monkeypatch.setattr(handles, "SECONDS", 5)
    monkeypatch.setattr(handles, "ENERGIES", (0.0, 1.0))
    monkeypatch.setattr(handles, "TEMPERATURES", (0.5, 1.5))
    result = strict(evaluate(place / "corpus", "--handles", "--songs", "1", "--json"))
    found = result["handles"]
    assert len(found["energy"][0]["measured"]) == 2 and found["temperature"][2]["measured"][0] > 0
    assert {row["style"] for row in found["style"]} == {"salsa", "street"}
    assert all(name in report(result) for name in ("energy:", "temperature:", "style salsa:"))


def test_a_minute_of_stamina(evaluate):
    result = strict(evaluate("--stamina", "0.05", "--json"))
    assert result["minutes"] == 0.05 and len(result["goals"]) == 5 and len(result["repeats"]["by_lag"]) == 16


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "name a corpus"),
        (("--stamina", "1", "--changing"), "name a corpus"),
        (("nowhere",), "no held-out dances"),
        (("nowhere", "--leads", "0,x"), "--leads 0,x"),
        (("nowhere", "--leads", "61"), "0 to 60"),
        (("--motion", "nowhere.npz"), "nowhere.npz"),
        (("nowhere", "--motion", "nowhere.npz", "--handles"), "are for a choreographer"),
        (("--stamina", "0"), "--stamina 0"),
    ],
)
def test_mistakes_are_one_line(evaluate, arguments, why):
    message = evaluate(*arguments, code=2, model="--motion" not in arguments)
    assert why in message and message.count("\n") == 1


def test_a_motion_without_beats_says_how_to_get_them(evaluate, tmp_path):
    np.savez(tmp_path / "a.npz", pose=stepping(60, 0.5))
    assert "xdancer beats" in evaluate("--motion", tmp_path / "a.npz", code=2, model=False)
    assert "--canvas wide" in evaluate("--motion", tmp_path / "a.npz", "--canvas", "wide", code=2, model=False)
