"""The tiny tokenizer as a folder, loaded, and as raw weights."""

import pytest
from tokenizer_fixtures import tiny_network

from xdancer import weights
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.tokenizer import TokenizerConfig, write


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    write(folder, tiny_network(), TokenizerConfig(name="tiny", corpus="", run="", steps=1))
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    return PoseTokenizer.from_pretrained(str(tiny_folder))


@pytest.fixture(scope="session")
def tiny_state(tiny_folder):
    return weights.load(tiny_folder)
