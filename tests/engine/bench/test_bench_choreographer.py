"""The choreographer's bench holds other ways to run the same weights against what is shipped."""

import numpy as np
import pytest
from models import TINY_CHOREOGRAPHER, tiny_choreographer, tiny_tokenizer

from engine.bench import choreographer
from engine.bench.candidates import candidates


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Parts in another order, and more frames than a layer looks back."""
    place = tmp_path_factory.mktemp("bench")
    tokenizer = tiny_tokenizer(place / "tokenizer")
    shape = TINY_CHOREOGRAPHER | {"order": [2, 0, 1, 4, 3], "window": 6}
    return tiny_choreographer(place / "model", tokenizer, shape=shape)


@pytest.mark.parametrize("name", ["torch", "ONNX Runtime"])
def test_exact_ways_are_the_shipped_one(model, monkeypatch, name):
    monkeypatch.setattr(choreographer, "JUDGED", 20)
    ours = choreographer._followed(model, model.runtime, None)
    instead = choreographer._Instead(model.runtime, candidates(model.runtime)[name])
    monkeypatch.setattr(model, "runtime", instead)
    theirs = choreographer._followed(model, instead, ours["tokens"])
    assert (theirs["best"] == ours["best"]).mean() > 0.999
    assert theirs["surprise"] == pytest.approx(ours["surprise"], rel=1e-4)


def test_surprise_is_that_of_the_tokens_danced(model, monkeypatch):
    """What is danced cold is always the likeliest; what is danced after others' tokens is not."""
    monkeypatch.setattr(choreographer, "JUDGED", 5)
    ours = choreographer._followed(model, model.runtime, None)
    assert ours["tokens"].shape == (5, 30) and ours["surprise"] > 0
    other = (ours["tokens"] + 7) % 512
    assert choreographer._followed(model, model.runtime, other)["surprise"] > ours["surprise"]
    np.testing.assert_array_equal(choreographer._followed(model, model.runtime, other)["tokens"], other)
