"""Analysis by synthesis: the decoder row by row is the decoder, and a search never takes a worse pose of a frame."""

import numpy as np
import pytest
from tokenizer_fixtures import swaying

from xdancer.pose.layout import PARTS
from xdancer.tokenizer import frame
from xdancer.tokenizer.search import Newest, Search


def test_row_by_row_is_the_decoder(tiny):
    tokens = np.random.default_rng(0).integers(0, 512, (40, 5, 6)).astype(np.int16)
    rows = tiny.embed(tokens).reshape(40, -1)
    ahead = np.repeat(rows[:1], tiny.runtime.decoder_field - 1, axis=0)
    whole = tiny.runtime.decoder(np.concatenate([ahead, rows]))
    newest = Newest(tiny.runtime.decoder)
    newest.begin(rows[0])
    for row, other, out in zip(rows, rows[::-1], whole, strict=True):
        candidates = newest.outputs(np.stack([other, row]))
        np.testing.assert_allclose(candidates[1], out, atol=1e-4)
        np.testing.assert_allclose(newest.push(row), out, atol=1e-4)


def test_what_is_found_decodes_nearer(tiny):
    pose = swaying(40)
    wrong = [np.abs(tiny.decode(tiny.encode(pose, search))[..., :2] - pose[..., :2]).mean() for search in (False, True)]
    assert wrong[1] < 0.95 * wrong[0]


def test_in_pieces_it_finds_the_same(tiny):
    pose = swaying(40)
    stream = tiny.stream(search=True)
    pieces = [stream.encode(pose[a:b]) for a, b in ((0, 0), (0, 1), (1, 8), (8, 40))]
    np.testing.assert_array_equal(np.concatenate(pieces), tiny.encode(pose, search=True))


def test_what_a_part_costs_by_hand(tiny):
    """Of a frame that decodes to itself nothing is wrong; a neck 8 px off costs by its confidence, and as much again
    where it was right in the frame before; one that was not seen then has not drifted."""
    search = Search(tiny.runtime)
    row = np.zeros(tiny.embed(np.zeros((1, 5, 6), np.int16)).size, np.float32)
    search._newest.begin(row)
    pose = _decoded(tiny, row)
    assert np.abs(search._wrongs(0, row[None], pose)).max() < 1e-3
    neck = PARTS[0].joints.index(1)
    pose[1, 0] += 8
    wrong = search._wrongs(0, row[None], pose).reshape(-1, 5)
    assert wrong[neck] == pytest.approx([-8 * pose[1, 2], 0, 0, 0, 0], abs=1e-3)  # nothing to drift from
    search._wrong = np.zeros((60, 2), np.float32)
    drifted = search._wrongs(0, row[None], pose).reshape(-1, 5)
    assert drifted[neck] == pytest.approx([-8 * pose[1, 2], 0, -8 * pose[1, 2], 0, 0], abs=1e-3)
    search._wrong[1] = np.nan
    np.testing.assert_allclose(search._wrongs(0, row[None], pose).reshape(-1, 5), wrong, atol=1e-3)


def _decoded(tokenizer, row):
    """The pose that stands still where this row of latents comes for ever; no joint is left out."""
    place, logits = frame.placed(tokenizer.runtime.decoder(np.repeat(row[None], tokenizer.runtime.decoder_field, 0)))
    return np.concatenate([place[0], 1 / (1 + np.exp(-logits[0]))[:, None]], axis=-1)
