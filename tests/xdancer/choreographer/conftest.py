import pytest
from models import tiny_choreographer, tiny_tokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("choreographer")
    tiny_choreographer(folder, tokenizer)
    return folder


@pytest.fixture(scope="session")
def model(folder, tokenizer):
    from xdancer.choreographer import Choreographer

    return Choreographer.from_pretrained(str(folder), tokenizer)
