"""The tokenizers the package carries: small enough, described, and with the decoder that belongs to their weights."""

import numpy as np
import onnxruntime
import pytest

from xdancer import weights
from xdancer.pose.layout import CODEBOOK_SIZE
from xdancer.tokenizer import PoseTokenizer
from xdancer.tokenizer.export import FILE

FOLDERS = sorted(path.parent for path in (weights.SHIPPED / "tokenizer").glob("*/config.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_shipped_tokenizer(folder):
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 3_000_000
    assert "## Limits" in (folder / "MODEL_CARD.md").read_text()
    tokenizer = PoseTokenizer.from_pretrained(folder.name)
    assert tokenizer.name == folder.name and tokenizer.receptive_field <= 16
    tokens = np.random.default_rng(0).integers(0, CODEBOOK_SIZE, (12, 5, 6)).astype(np.int32)
    session = onnxruntime.InferenceSession(str(folder / FILE), providers=["CPUExecutionProvider"])
    state = np.repeat(tokens[:1], tokenizer.config["decoder_field"] - 1, axis=0)
    pose, _ = session.run(["pose", "next_state"], {"tokens": tokens, "state": state})
    np.testing.assert_allclose(pose, tokenizer.decode(tokens), atol=0.5)


def test_live_is_shipped():
    assert weights.find("tokenizer", "live") in FOLDERS
