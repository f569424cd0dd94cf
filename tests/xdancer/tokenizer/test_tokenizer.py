"""The tokenizer's contract, on random weights: streaming, causality and shapes do not depend on quality."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_fixtures import swaying, tiny_network

from xdancer.errors import UserError
from xdancer.pose.layout import CODEBOOK_SIZE, LEFT_HAND
from xdancer.tokenizer import PoseTokenizer, frame, runtime
from xdancer.tokenizer.frame import VISIBLE
from xdancer.training.tokenizer import reconstruct

LENGTH = 40
cuts = st.lists(st.integers(0, LENGTH), max_size=8).map(lambda c: [0, *sorted(c), LENGTH])


def random_tokens(length, seed=0):
    return np.random.default_rng(seed).integers(0, CODEBOOK_SIZE, (length, 5, 6)).astype(np.int16)


@settings(max_examples=25, deadline=None)
@given(cuts=cuts, seed=st.integers(0, 5))
def test_decoding_in_pieces_is_decoding_at_once(tiny, cuts, seed):
    tokens = random_tokens(LENGTH, seed)
    limbs = tiny.stream()
    pieces = [limbs.decode(tokens[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    assert all(len(piece) == b - a for piece, a, b in zip(pieces, cuts, cuts[1:], strict=False))
    np.testing.assert_allclose(np.concatenate(pieces), tiny.decode(tokens), atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(cuts=cuts, seed=st.integers(0, 5))
def test_encoding_in_pieces_is_encoding_at_once(tiny, cuts, seed):
    pose = swaying(LENGTH, seed)
    limbs = tiny.stream()
    pieces = [limbs.encode(pose[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    same = np.concatenate(pieces) == tiny.encode(pose)
    assert same.mean() > 0.999  # float rounding may decide between two equally near codes


def test_chunks_of_the_one_pass_form_do_not_show(tiny, monkeypatch):
    tokens = random_tokens(LENGTH)
    whole = tiny.decode(tokens)
    monkeypatch.setattr("xdancer.tokenizer.CHUNK", 7)
    np.testing.assert_allclose(tiny.decode(tokens), whole, atol=1e-3)


@given(frame=st.integers(0, LENGTH - 1))
@settings(max_examples=15, deadline=None)
def test_later_rows_change_nothing_earlier(tiny, frame):
    tokens = random_tokens(LENGTH)
    other = tokens.copy()
    other[frame:] = random_tokens(LENGTH - frame, seed=9)
    before, after = tiny.decode(tokens), tiny.decode(other)
    np.testing.assert_allclose(before[:frame], after[:frame], atol=1e-3)
    assert not np.allclose(before[frame], after[frame], atol=1e-3)


@given(frame=st.integers(0, LENGTH - 1))
@settings(max_examples=15, deadline=None)
def test_later_poses_change_no_earlier_token(tiny, frame):
    pose, other = swaying(LENGTH), swaying(LENGTH)
    other[frame:] = swaying(LENGTH, seed=7)[frame:]
    before, after = tiny.encode(pose), tiny.encode(other)
    assert (before[:frame] == after[:frame]).mean() > 0.999 if frame else True
    assert (before[frame] != after[frame]).any()


def test_exact_after_the_receptive_field_and_not_before(tiny):
    tokens = random_tokens(LENGTH)
    field = tiny.runtime.decoder_field
    assert field <= tiny.receptive_field <= 16
    whole, late = tiny.decode(tokens), tiny.decode(tokens[10:])
    np.testing.assert_allclose(late[field - 1 :], whole[10 + field - 1 :], atol=1e-3)
    assert not np.allclose(late[field - 2], whole[10 + field - 2], atol=1e-3)


def test_whole_path_reaches_back_no_further_than_it_says(tiny):
    pose, other = swaying(LENGTH), swaying(LENGTH)
    other[:10] = swaying(LENGTH, seed=5)[:10]
    a, b = tiny.decode(tiny.encode(pose)), tiny.decode(tiny.encode(other))
    np.testing.assert_allclose(a[10 + tiny.receptive_field - 1 :], b[10 + tiny.receptive_field - 1 :], atol=1e-3)


def test_the_first_frame_stood_there_before(tiny):
    pose, tokens = swaying(6), random_tokens(6)
    held = np.concatenate([np.repeat(pose[:1], 20, axis=0), pose])
    np.testing.assert_array_equal(tiny.encode(held)[20:], tiny.encode(pose))
    held = np.concatenate([np.repeat(tokens[:1], 20, axis=0), tokens])
    np.testing.assert_allclose(tiny.decode(held)[20:], tiny.decode(tokens), atol=1e-3)


def test_numpy_runs_what_torch_trained(tiny, tiny_state):
    network = tiny_network(seed=3)
    network.load_state_dict(tiny_state[0], strict=False)
    pose = swaying(LENGTH, seed=2)
    with torch.no_grad():
        torch_pose = reconstruct(network, pose[None])[0]
    np.testing.assert_allclose(tiny.decode(tiny.encode(pose)), torch_pose, atol=1e-2)


def test_shapes_and_types(tiny):
    tokens = tiny.encode(swaying(9))
    assert tokens.shape == (9, 5, 6) and tokens.dtype == np.int16
    assert tokens.min() >= 0 and tokens.max() < CODEBOOK_SIZE
    pose = tiny.decode(tokens)
    assert pose.shape == (9, 60, 3) and pose.dtype == np.float32
    assert (pose[..., 2] >= 0).all() and (pose[..., 2] <= 1).all()
    assert tiny.encode(swaying(9)[:0]).shape == (0, 5, 6)
    assert tiny.decode(tokens[:0]).shape == (0, 60, 3)


def test_an_unseen_joint_has_zeros_throughout(tiny):
    pose = tiny.decode(random_tokens(200, seed=4))
    unseen = pose[..., 2] == 0
    assert (pose[unseen] == 0).all()
    assert (pose[~unseen][:, 2] >= VISIBLE).all()


def test_the_neck_is_seen_where_both_shoulders_are():
    """One that the network says is not there at all, between shoulders that it is sure of, and of which it is not."""
    logits = np.full((3, frame.N_JOINTS), 2.0)
    logits[:, frame.NECK] = -9.0, -9.0, 4.0
    logits[1, frame.SHOULDERS[0]] = -9.0
    outputs = np.zeros((3, frame.N_JOINTS, 3))
    outputs[:, frame.PLACE, 2] = logits
    sure = 1 / (1 + np.exp(-2.0))
    pose = frame.finished(outputs.reshape(3, -1))
    np.testing.assert_allclose(pose[0, frame.NECK], (*frame.CENTRE, sure), rtol=1e-5)
    assert (pose[1, frame.NECK] == 0).all()
    np.testing.assert_allclose(pose[2, frame.NECK, 2], 1 / (1 + np.exp(-4.0)), rtol=1e-5)


def test_nothing_seen_at_all(tiny):
    pose = np.zeros((5, 60, 3), dtype=np.float32)
    assert np.isfinite(tiny.decode(tiny.encode(pose))).all()
    pose[:, 30] = (100, 100, 0.5)  # one finger, no wrist to hang on
    assert np.isfinite(tiny.decode(tiny.encode(pose))).all()


def test_an_unseen_part_does_not_touch_the_others(tiny):
    pose, other = swaying(12), swaying(12)
    other[:, LEFT_HAND] = 0
    changed = (tiny.encode(pose) != tiny.encode(other)).any(axis=(0, 2))
    assert changed.tolist() == [False, False, False, True, False]


def test_embedding_is_the_sum_of_the_chosen_codes(tiny):
    tokens = random_tokens(3)
    books = tiny.runtime.books  # stages 2, groups 3: slot = stage * 3 + group
    by_hand = np.concatenate([books[2, g, tokens[1, 2, g]] + books[2, 3 + g, tokens[1, 2, 3 + g]] for g in range(3)])
    embedded = tiny.embed(tokens)
    assert embedded.shape == (3, 5, 18)
    np.testing.assert_allclose(embedded[1, 2], by_hand, rtol=1e-6)


def test_quantising_picks_the_nearest_code(tiny):
    latents = np.random.default_rng(1).normal(size=(4, 5, 18)).astype(np.float32)
    tokens = tiny.runtime.quantise(latents)
    books = tiny.runtime.books
    for t, part, group in [(0, 0, 0), (3, 4, 2), (2, 1, 1)]:
        rest = latents[t, part].reshape(3, 6)[group]
        first = np.square(books[part, group] - rest).sum(-1).argmin()
        second = np.square(books[part, 3 + group] - (rest - books[part, group, first])).sum(-1).argmin()
        assert (tokens[t, part, group], tokens[t, part, 3 + group]) == (first, second)


@pytest.mark.parametrize(
    "tokens", [np.zeros((3, 5, 5), int), np.full((1, 5, 6), 512), np.full((1, 5, 6), -1), np.zeros((1, 5, 6))]
)
def test_wrong_tokens(tiny, tokens):
    with pytest.raises(ValueError, match="tokens"):
        tiny.decode(tokens)


def test_wrong_pose(tiny):
    pose = swaying(4)
    pose[2, 3, 0] = np.nan
    with pytest.raises(ValueError, match="frame 2"):
        tiny.encode(pose)


def test_from_pretrained_checks(tiny, tiny_folder, tmp_path):
    from xdancer import weights

    assert tiny.sha256 == weights.sha256(tiny_folder) and tiny.name == "tiny"
    state, config = weights.load(tiny_folder)
    del state["decoder.stem.weight"]
    weights.save(tmp_path, state, config)
    with pytest.raises(UserError, match="not a pose tokenizer"):
        PoseTokenizer.from_pretrained(str(tmp_path))


def test_silu_far_out():
    np.testing.assert_allclose(runtime.silu(np.float32([-1e4, 0, 1e4])), [0, 0, 1e4], atol=1e-6)
