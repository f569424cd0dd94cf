import numpy as np
import pytest

from xdancer.evaluation import alignment as al


def standing(frames: int) -> np.ndarray:
    """A figure with a trunk of exactly 200 px, all joints certain: (T, 60, 3)."""
    pose = np.zeros((frames, 60, 3), np.float32)
    pose[..., 2] = 1.0
    pose[:, :, :2] = (256, 300)
    pose[:, [8, 11], 1] = 500
    return pose


def test_one_sigma_off_scores_e_to_the_minus_half():
    music = np.array([1.0, 2.0, 3.0])
    assert al.nearness(music, music) == 1.0
    assert al.nearness(music, music + 0.05) == pytest.approx(np.exp(-0.5))
    assert al.nearness(music, np.array([1.0])) == pytest.approx(1 / 3, abs=1e-6)
    assert al.nearness(music, np.zeros(0)) == al.nearness(np.zeros(0), music) == 0.0


def test_recall_counts_missed_music_and_precision_idle_motion():
    music = np.arange(1.0, 9.0)
    recall, precision = al.scores(np.array([1.0, 3.0, 5.0, 7.0]), music)
    assert recall == pytest.approx(0.5) and precision == pytest.approx(1.0)
    recall, precision = al.scores(np.arange(1.0, 9.0, 0.5), music)
    assert recall == pytest.approx(1.0) and precision == pytest.approx(0.5)


def test_speed_is_in_trunks_a_second():
    pose = standing(31)
    pose[:, :, 0] += np.arange(31)[:, None] * 4.0  # 120 px a second
    assert al.torso(pose) == pytest.approx(200.0)
    np.testing.assert_allclose(al.speed(pose), 0.6, rtol=1e-5)


def test_unseen_joints_do_not_move_the_mean():
    pose = standing(10)
    pose[::2, 4] = 0.0  # a wrist that comes and goes
    np.testing.assert_allclose(al.speed(pose), 0.0, atol=1e-9)


def test_a_body_that_pauses_every_half_second_has_its_beats_there():
    pose = standing(150)
    shown = (np.arange(150) + 0.5) / 30
    # Position whose speed is 1 - cos(2 pi t / 0.5): pauses at 0.5, 1.0, 1.5, ...
    pose[:, :, 0] += (100 * (shown - 0.5 / (2 * np.pi) * np.sin(2 * np.pi * shown / 0.5)))[:, None]
    beats = al.motion_beats(pose)
    np.testing.assert_allclose(beats, np.arange(0.5, 4.6, 0.5), atol=0.02)


def test_chance_is_low_where_the_score_is_perfect_and_equal_for_random_beats():
    music = np.arange(0.25, 60, 0.5)
    perfect = al.alignment(music, music, [], 2.0, 60.0)
    # Shifts are uniform over whole beats: the mean of exp(-d^2 / 2 sigma^2) over -0.25..0.25 s is
    # sigma sqrt(2 pi) / 0.5.
    assert perfect["score"].tolist() == [1.0, 1.0] and perfect["beat_ratio"] == 1.0
    np.testing.assert_allclose(perfect["chance"], 0.05 * np.sqrt(2 * np.pi) / 0.5, atol=0.12)
    rng = np.random.default_rng(0)
    random = al.alignment(np.sort(rng.uniform(0, 60, 120)), music, [rng.uniform(0, 60, 120)], 2.0, 60.0)
    np.testing.assert_allclose(random["score"], random["chance"], atol=0.06)


def test_music_past_the_end_of_the_motion_changes_nothing():
    motion = np.sort(np.random.default_rng(1).uniform(0, 20, 40))
    short, long = (al.alignment(motion, np.arange(0.3, end, 0.5), [], 2.0, 20.0) for end in (20, 180))
    assert all(np.array_equal(short[key], long[key]) for key in short)


@pytest.mark.parametrize(("fps", "late", "worth"), [(30, 0.0, 1.0), (30, 0.1, np.exp(-0.5)), (60, 0.05, np.exp(-0.5)),
                                                    (60, 0.1, np.exp(-2.0))])  # fmt: skip
def test_the_published_formula_forgives_three_frames_of_its_own_rate(fps, late, worth):
    pose = standing(300)
    shown = (np.arange(300) + 0.5) / 30
    pose[:, :, 0] += (100 * (shown - 1 / (2 * np.pi) * np.sin(2 * np.pi * shown)))[:, None]  # pauses at 1, 2, .. s
    by_music, by_motion = al.original(pose, np.arange(1.0, 9.5) + late, fps)
    assert by_music == pytest.approx(worth, abs=1e-6) and by_motion == pytest.approx(worth, abs=1e-6)


def test_the_published_formula_needs_beats_on_both_sides():
    assert al.original(standing(90), np.array([1.0]), 60).tolist() == [0, 0]
    assert al.original(standing(1), np.array([1.0])).tolist() == [0, 0]


def test_a_short_motion_has_no_beats():
    assert not len(al.motion_beats(standing(3)))
