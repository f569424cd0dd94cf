import json

import numpy as np
import pytest
from models import tiny_choreographer, tiny_flat, tiny_tokenizer
from test_choreographer_training import write_corpus

from engine.cli import main
from xdancer import weights
from xdancer.choreographer import Choreographer
from xdancer.errors import UserError
from xdancer.tokenizer import PoseTokenizer
from xdancer.training import finetune as tuning
from xdancer.training.dances import first_codes
from xdancer.training.finetune import FinetuneConfig, finetune, stretches


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("finetune")
    tokenizer = tiny_tokenizer(place / "tokenizer")
    tiny_choreographer(place / "base", tokenizer)
    tiny_flat(place / "flat", tokenizer)
    write_corpus(place / "corpus")
    return place


def config(place, run, **more):
    values = {
        "base": str(place / "base"), "name": "tuned", "corpus": str(place / "corpus"), "run": str(place / run),
        "tokenizer": str(place / "tokenizer"), "style": "salsa", "steps": 8, "windows": 2, "frames": 48,
        "check_every": 4, "threads": 1, "warmup": 2, "learning_rate": 5e-3, "bfloat16": False,
    }  # fmt: skip
    return values | more


def test_the_command_tunes_and_an_interrupted_run_ends_the_same(place, tmp_path, capsys):
    path = tmp_path / "tune.yaml"
    path.write_text(json.dumps(config(place, "straight")))
    assert main(["finetune", "choreographer", str(path), "--json"]) == 0
    straight = json.loads(capsys.readouterr().out)
    assert straight["clips"] == 2 and straight["seconds"] == pytest.approx(2 * 150 / 30)
    finetune(FinetuneConfig(**config(place, "cut")), stop_at=5)
    assert finetune(FinetuneConfig(**config(place, "cut")))["sha256"] == straight["sha256"]
    tuned = Choreographer.from_pretrained(straight["weights"], PoseTokenizer.from_pretrained(str(place / "tokenizer")))
    base = Choreographer.from_pretrained(str(place / "base"), tuned.tokenizer)
    assert tuned.sampling == base.sampling and tuned.styles == base.styles
    assert (tuned.start == base.start).all()


def test_the_tuned_leans_to_the_plans_of_its_clips(place):
    tokenizer = PoseTokenizer.from_pretrained(str(place / "tokenizer"))
    settings = config(place, "leaning", steps=1, clips=1)
    tuned = Choreographer.from_pretrained(finetune(FinetuneConfig(**settings))["weights"], tokenizer)
    base = Choreographer.from_pretrained(str(place / "base"), tokenizer)
    dances = tuning.dances_of(FinetuneConfig(**settings), place / "corpus", tokenizer)["train"]
    clips = tuning.chosen(dances, FinetuneConfig(**settings))
    own, every = (first_codes(some, base.runtime.plans)[0] for some in (clips, dances))
    assert len(own) < len(every)
    leaning = tuned.runtime.leanings[0]
    assert leaning[np.unique(own)].mean() > 0 and not (leaning[np.setdiff1d(every, own)] > 0).any()
    np.testing.assert_array_equal(tuned.runtime.leanings[1:], base.runtime.leanings[1:])


def test_without_a_step_the_tuned_is_the_base(place):
    made = finetune(FinetuneConfig(**config(place, "none", learning_rate=1e-12, steps=1)))
    tuned, base = (
        weights.load_arrays(weights.find("choreographer", f))[0] for f in (made["weights"], str(place / "base"))
    )
    assert tuned.keys() == base.keys()
    for name, array in base.items():
        np.testing.assert_allclose(tuned[name], array, atol=1e-6, err_msg=name)


def test_stretches_are_long_enough_and_nearly_all_of_the_style(monkeypatch):
    monkeypatch.setattr(tuning, "LONGEST", 30)
    wanted = np.zeros(100, bool)
    wanted[10:30] = wanted[40:95] = True
    found = stretches(wanted, 20)
    assert found == [(8, 30), (38, 68), (68, 98)]  # two in front of 20 are a tenth, so are three of 30
    for start, stop in found:
        assert wanted[start:stop].mean() >= 0.9


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"style": "polka"}, "there is no 'polka'"),
        ({"style": "street"}, "holds no 48 frames of street"),
        ({"base": "flat"}, "only two-level ones"),
    ],
)
def test_mistakes_are_one_line(place, wrong, reason):
    if "base" in wrong:
        wrong = {"base": str(place / "flat")}
    with pytest.raises(UserError, match=reason):
        finetune(FinetuneConfig(**config(place, "wrong", **wrong)))
