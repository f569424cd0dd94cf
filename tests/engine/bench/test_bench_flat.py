"""The flat model's bench measures ours, the small ones and the peer in one run."""

import pytest
from models import tiny_choreographer, tiny_flat

from engine.bench import flat
from xdancer.errors import UserError
from xdancer.tokenizer import PoseTokenizer


def test_all_of_them_are_measured_on_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(flat, "FRAMES", 1)
    tiny_flat(tmp_path, PoseTokenizer.from_pretrained())
    result = flat.measure(weights=str(tmp_path))
    assert result["ratio"] == pytest.approx(result["tokens_a_second"] / result["generate"])
    assert result["name"] == "tiny-flat" and 0.5 < result["bf16"]["agree"] <= 1
    assert all(word in flat.report(result) for word in ("transformers generate", "bf16", "int8", "900 tokens"))


def test_the_live_kind_is_refused(tmp_path):
    tiny_choreographer(tmp_path, PoseTokenizer.from_pretrained())
    with pytest.raises(UserError, match="not a choreographer of the paper"):
        flat.measure(weights=str(tmp_path))
