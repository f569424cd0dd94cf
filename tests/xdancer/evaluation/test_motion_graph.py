from pathlib import Path

import numpy as np
import pytest
from evaluation_fixtures import stepping

from xdancer.evaluation import alignment, motion
from xdancer.evaluation.dances import Dance
from xdancer.evaluation.motion_graph import STEPS, Place, choose, graph_dance, library


def dance(folder: Path, number: int, period: float, reach: float) -> Dance:
    views = stepping(400, period, reach, seed=number)[None].astype(np.float16)
    path = folder / f"{number}.npz"
    np.savez(path, views=views)
    return Dance(path, "song", views, np.zeros(400, bool), np.full(400, "x"))


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dances")
    return library(dance(folder, k, (0.4, 0.5, 0.6)[k % 3], (30.0, 60.0)[k // 3 % 2]) for k in range(12))


def test_dances_are_cut_at_their_own_beats(pieces):
    steps = np.diff(pieces.beats, axis=1)
    for number, period in ((0, 12), (1, 15), (2, 18)):
        assert np.abs(steps[pieces.clip == number] - period).max() <= 1
    assert pieces.beats.shape[1] == STEPS + 1


def test_the_dance_lies_on_the_beats_of_the_song(pieces):
    beats = np.arange(0.3, 20, 0.54)
    made = graph_dance(pieces, beats, np.full(len(beats), 0.5), Place(np.array([200.0, 500.0]), 150.0), 600)
    assert made.shape == (600, 60, 3) and np.isfinite(made).all()
    recall, precision = alignment.scores(alignment.motion_beats(made), beats[1:-STEPS])
    assert recall > 0.9 and precision > 0.8
    assert Place.of(made).trunk == pytest.approx(150, rel=0.1)
    np.testing.assert_allclose(Place.of(made).centre, [200, 500], atol=15)


def test_it_is_smooth_where_pieces_are_joined(pieces):
    beats = np.arange(0.3, 20, 0.5)
    made = graph_dance(pieces, beats, np.full(len(beats), 0.5), Place(np.array([256.0, 400.0]), 200.0), 590)
    whole = stepping(400, 0.5, 60.0, seed=4)
    fastest = np.linalg.norm(np.diff(whole[:, 1:14, :2], axis=0), axis=-1).max()
    assert np.linalg.norm(np.diff(made[:, 1:14, :2], axis=0), axis=-1).max() < 2 * fastest


def test_loud_music_is_danced_to_with_more_energy(pieces):
    beats = np.arange(0.3, 20, 0.5)
    place = Place(np.array([256.0, 400.0]), 200.0)
    quiet, loud = (motion.energy(graph_dance(pieces, beats, np.full(len(beats), e), place, 590)) for e in (0.05, 0.95))
    assert loud > 1.3 * quiet


def test_a_tempo_near_its_own_is_preferred(pieces):
    chosen = choose(pieces, np.arange(5) * 18.0, 0.5, None, [])
    assert pieces.clip[chosen] % 3 == 2


def test_too_little_to_dance_to_is_an_error(pieces):
    place = Place(np.array([256.0, 400.0]), 200.0)
    with pytest.raises(ValueError, match="too few"):
        graph_dance(pieces, np.array([0.5, 1.0]), np.ones(2), place, 100)
    with pytest.raises(ValueError, match="0 pieces"):
        graph_dance(library([]), np.arange(20) * 0.5, np.ones(20), place, 300)
