from pathlib import Path

import pytest
from people_fixtures import write_corpus
from stable_fixtures import write_stable

from tests.models import tiny_tokenizer
from xdancer.tokenizer import PoseTokenizer


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> PoseTokenizer:
    return PoseTokenizer.from_pretrained(str(tokenizer_folder))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def made_stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stable(tmp_path_factory.mktemp("sd15"))
