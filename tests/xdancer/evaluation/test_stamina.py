import numpy as np
import pytest
from evaluation_fixtures import stepping

from xdancer.errors import UserError
from xdancer.evaluation.stamina import Music, Piece, changing, judged, trend

MINUTE = 1800


def steady(minutes: int) -> tuple[np.ndarray, Music]:
    """A lively dance at 120 BPM, and five bars of music over and over."""
    sound = np.zeros(48_000 * 10, np.float32)
    return stepping(minutes * MINUTE, 0.5, 150.0), Music([Piece(sound, np.arange(20) * 0.5)])


def met(result):
    return [goal["met"] for goal in result["goals"]]


def test_a_dance_that_lasts_meets_every_goal():
    pose, music = steady(3)
    result = judged(pose, music)
    assert met(result) == [True] * 5 and result["songs"] == 1
    assert result["rows"]["model"]["recall"] > 0.9


def test_each_way_of_giving_up_misses_its_goal():
    pose, music = steady(3)
    tired, grown, frozen, gone, stuck = (pose.copy() for _ in range(5))
    tired[MINUTE:] = pose[MINUTE:].mean(axis=0) + 0.5 * (pose[MINUTE:] - pose[MINUTE:].mean(axis=0))
    grown[2 * MINUTE :, :, :2] *= 1.1
    frozen[2000:2180] = frozen[2000]
    gone[3600:3630, :, 0] += 600
    stuck[600:1200] = np.tile(pose[600:720], (5, 1, 1))
    missed = [[not ok for ok in met(judged(motion, music))] for motion in (tired, grown, frozen, gone, stuck)]
    assert np.array(missed).diagonal().all()
    assert np.flatnonzero(missed[4]).tolist() == [4] and np.flatnonzero(missed[1]).tolist() == [1]


def test_changing_music_may_change_the_dance_but_not_for_good():
    pose, _ = steady(4)
    middle = pose.mean(axis=0)
    pose[MINUTE : 2 * MINUTE] = middle + 0.3 * (pose[MINUTE : 2 * MINUTE] - middle)
    pose[2 * MINUTE : 3 * MINUTE] = middle + 0.3 * (pose[2 * MINUTE : 3 * MINUTE] - middle)
    piece = Piece(np.zeros(48_000 * 60, np.float32), np.arange(120) * 0.5)
    assert met(judged(pose, Music([piece, piece])))[0] and not met(judged(pose, Music([piece])))[0]


def test_a_trend_is_the_rise_of_a_straight_line():
    # 1, 1.1, 1.2 times the first minute: a rise of 0.2 over a mean of 1.1.
    assert trend([0.0, 0.1, 0.2]) == pytest.approx(0.2 / 1.1)
    assert trend([0.0]) == 0.0


def test_music_goes_on_without_a_gap():
    one, two = np.arange(60_000, dtype=np.float32), -np.arange(30_000, dtype=np.float32)
    music = Music([Piece(one, np.array([0.0, 0.5, 1.0])), Piece(two, np.array([0.1]), ((3, 6),))])
    heard = np.concatenate(list(music.play(3)))
    np.testing.assert_array_equal(heard, np.concatenate([one, two, one])[: 3 * 48_000])
    np.testing.assert_allclose(music.beats(2.0), [0, 0.5, 1, 1.35, 1.875, 2.375, 2.875])
    np.testing.assert_allclose(music.beats(2.0, every=2), [0, 1, 1.35, 1.875, 2.875])
    assert np.flatnonzero(music.quiet(60)).tolist() == [41, 42, 43]  # the second piece begins in frame 37.5


def test_a_dancer_may_wait_where_the_music_does():
    pose, music = steady(1)
    pose[300:600] = pose[300]
    waits = Music([Piece(music.pieces[0].sound, music.pieces[0].beats, ((0, 300),))])
    assert not met(judged(pose, music))[2] and met(judged(pose, waits))[2]


def test_changing_songs_are_the_held_out_ones(tmp_path):
    import soundfile

    (tmp_path / "songs").mkdir()
    for name, split in (("a", "train"), ("b", "val")):
        soundfile.write(tmp_path / "songs" / f"{name}.flac", np.full(4800, 0.25), 48_000)
        np.savez(tmp_path / "songs" / f"{name}.npz", split=split, beats_s=np.arange(8) * 0.1,
                 downbeats_s=np.array([0.2, 0.6]), energy=np.array([1, 1, 0, 0, 0, 0, 1, 1.0]))  # fmt: skip
    music = changing(tmp_path)
    assert len(music.pieces) == 1 and music.pieces[0].sound.shape == (4800,)
    np.testing.assert_allclose(music.pieces[0].beats, np.arange(2, 8) * 0.1)
    assert music.pieces[0].quiet == ((6, 9), (9, 12), (12, 15), (15, 18))
    with pytest.raises(UserError, match="no held-out songs"):
        changing(tmp_path / "nowhere")
