"""Weights come back as they were written (to bfloat16), and damage is said in one line."""

import json

import numpy as np
import pytest
import torch

from xdancer import weights
from xdancer.errors import UserError


@pytest.fixture
def folder(tmp_path):
    state = {"a": torch.tensor([[1.0, -2.5], [3.140625, 1e-30]]), "n": torch.tensor([3, 2**40])}
    weights.save(tmp_path / "m", state, {"name": "m", "width": 4})
    return tmp_path / "m"


def test_round_trip(folder):
    state, config = weights.load(folder)
    assert config == {"name": "m", "width": 4}
    assert state["a"].dtype == torch.float32
    np.testing.assert_array_equal(state["a"][0], [1.0, -2.5])  # exact in bfloat16
    assert state["a"][1, 0] == 3.140625
    assert state["a"][1, 1] == pytest.approx(1e-30, rel=2**-8)
    assert state["n"].tolist() == [3, 2**40]


def test_numpy_reader_agrees_with_safetensors(folder):
    from safetensors.torch import load_file

    reference = load_file(folder / weights.MODEL)
    arrays, _ = weights.load_arrays(folder)
    assert reference["a"].dtype == torch.bfloat16
    np.testing.assert_array_equal(arrays["a"], reference["a"].float().numpy())


def test_checksum_follows_the_weights(folder):
    before = weights.sha256(folder)
    weights.save(folder, {"a": torch.zeros(1)}, {})
    assert len(before) == 64 and weights.sha256(folder) != before


def test_find_a_shipped_name_and_the_newest(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    for name in ("live-2", "live-10", "live-draft"):
        weights.save(tmp_path / "tokenizer" / name, {"a": torch.zeros(1)}, {})
    assert weights.find("tokenizer", "live").name == "live-10"
    assert weights.find("tokenizer", "live-2") == tmp_path / "tokenizer" / "live-2"


def test_find_a_folder(folder):
    assert weights.find("tokenizer", str(folder)) == folder


@pytest.mark.parametrize("name", ["nosuch", "./no/such/folder", "/nowhere"])
def test_find_says_what_is_missing(name):
    with pytest.raises(UserError, match="no tokenizer"):
        weights.find("tokenizer", name)


@pytest.mark.parametrize("cut", [0, 4, 40, -3])
def test_cut_file(folder, cut):
    path = folder / weights.MODEL
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match="damaged weights") as error:
        weights.load(folder)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_missing_and_broken_config(folder):
    (folder / weights.CONFIG).write_text("{")
    with pytest.raises(UserError, match="config.json"):
        weights.load(folder)
    (folder / weights.CONFIG).write_text(json.dumps([1]))
    with pytest.raises(UserError, match="config.json"):
        weights.load(folder)
    (folder / weights.CONFIG).unlink()
    with pytest.raises(UserError, match="config.json"):
        weights.config(folder)


def test_missing_weights(tmp_path):
    with pytest.raises(UserError, match="no weights"):
        weights.sha256(tmp_path)
