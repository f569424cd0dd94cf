"""The exported decoder in onnxruntime against the numpy one: at once, in pieces, with its state handed on."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdancer.pose.layout import CODEBOOK_SIZE
from xdancer.tokenizer.export import export
from xdancer.tokenizer.frame import VISIBLE

LENGTH = 20
TOKENS = np.random.default_rng(3).integers(0, CODEBOOK_SIZE, (LENGTH, 5, 6)).astype(np.int32)


@pytest.fixture(scope="module")
def session(tiny_folder):
    return onnxruntime.InferenceSession(str(export(tiny_folder)), providers=["CPUExecutionProvider"])


@settings(max_examples=15, deadline=None)
@given(cuts=st.sets(st.integers(1, LENGTH - 1), max_size=6))
def test_exported_decoder_gives_the_same_poses(session, tiny, cuts):
    bounds = [0, *sorted(cuts), LENGTH]
    state = np.repeat(TOKENS[:1], tiny.config["decoder_field"] - 1, axis=0)
    poses = []
    for a, b in zip(bounds, bounds[1:], strict=False):
        pose, state = session.run(["pose", "next_state"], {"tokens": TOKENS[a:b], "state": state})
        poses.append(pose)
    made, true = np.concatenate(poses), tiny.decode(TOKENS)
    assert made.shape == true.shape and made.dtype == np.float32
    near = np.abs(true[..., 2] - VISIBLE) < 1e-3  # rounding may decide whether a joint is there
    np.testing.assert_allclose(made[~near], true[~near], atol=0.02)
    assert near.mean() < 0.01
