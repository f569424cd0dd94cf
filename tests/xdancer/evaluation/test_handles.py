import numpy as np
import pytest
from evaluation_fixtures import standing, stepping, write_corpus

from xdancer.evaluation.frechet import Scale
from xdancer.evaluation.handles import between, described, effect, nearer, variety, windows_by_style


def test_an_effect_is_monotone_where_every_step_is_one_up():
    assert effect((0.0, 0.5, 1.0), [0.2, 0.3, 0.5], "x") == {
        "what": "x", "values": [0.0, 0.5, 1.0], "measured": [0.2, 0.3, 0.5], "monotone": True, "span": 2.5
    }  # fmt: skip
    assert not effect((0.0, 0.5, 1.0), [0.2, 0.2, 0.5], "x")["monotone"]


def test_two_motions_apart_by_hand():
    other = standing(10)
    other[:, :, 0] += 60
    other[:, 4] = 0
    other[:5, 5, 0] += 40  # of 120 joints seen in both, five are 100 px apart, the others 60
    assert between(standing(10), other) == pytest.approx((115 * 60 + 5 * 100) / 120 / 200)


def test_the_variety_of_a_dance_is_how_far_its_pieces_are_from_each_other():
    slow, quick = stepping(300, 0.5, 42.0, seed=3), stepping(300, 0.8, 90.0, seed=4)
    scale = Scale(np.zeros(61), np.ones(61))
    mixed, same = np.concatenate([slow[:150], quick[:150]]), np.concatenate([slow[:150], slow[:150]])
    a, b = described(mixed)  # two windows: one distance
    assert variety([mixed], scale) == pytest.approx(np.sqrt(np.mean((a - b) ** 2)))
    assert variety([same], scale) < variety([mixed], scale) / 2
    assert variety([same, mixed], scale) == pytest.approx((variety([same], scale) + variety([mixed], scale)) / 2)


def test_a_dance_like_those_of_its_style_is_nearer_to_them(tmp_path):
    known = windows_by_style(write_corpus(tmp_path))  # every first dance is salsa, every second street
    assert {style: rows.shape for style, rows in known.items()} == {"salsa": (4, 61), "street": (4, 61)}
    like, unlike = stepping(300, 0.5, 42.0, seed=10), stepping(300, 0.8, 90.0)
    (found,) = nearer(known, [unlike], {"salsa": [like]})
    assert found["style"] == "salsa" and found["nearer"] and found["styled"] < 0.7 * found["plain"]
    (found,) = nearer(known, [like], {"salsa": [unlike]})
    assert not found["nearer"]


def test_a_window_of_two_styles_is_of_neither(tmp_path):
    corpus = write_corpus(tmp_path)
    for path in (corpus / "dances").glob("?-0.npz"):
        with np.load(path) as data:
            held = dict(data)
        held["style"][::2] = "martial"
        np.savez(path, **held)
    assert list(windows_by_style(corpus)) == ["street"]
