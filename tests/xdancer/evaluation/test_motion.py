import numpy as np
import pytest
from evaluation_fixtures import standing

from xdancer.evaluation import motion
from xdancer.pose.layout import INDEX


def test_jerk_of_a_cubic_is_constant():
    pose = standing(40)
    pose[:, :, 0] += (np.arange(40)[:, None] / 6) ** 3
    assert motion.jerk(pose) == pytest.approx(6 / 216 / 200, rel=0.02)
    assert motion.jerk(standing(40)) == 0.0
    assert motion.jerk(standing(3)) == 0.0


def test_frozen_counts_whole_seconds():
    pose = standing(121)
    pose[61:, :, 0] += np.arange(60)[:, None] * 2.0  # two seconds still, two at 0.3 trunks a second
    assert motion.frozen(pose) == pytest.approx(0.5)


def test_off_canvas_counts_frames_with_half_the_body_gone():
    pose = standing(10)
    pose[:3, :8] = 0  # eight of fourteen joints unseen
    pose[3:5, :, 0] = 600
    pose[5:7, :4, 0] = -5  # four off: still there
    assert motion.off_canvas(pose) == pytest.approx(0.5)


def test_build_by_minute_sees_a_body_grow():
    pose = standing(3 * motion.MINUTE)
    wobble = np.sin(np.arange(len(pose)) / 5)
    pose[:, :, 0] += 20 * wobble[:, None]
    pose[motion.MINUTE : 2 * motion.MINUTE, :, :2] *= 1.1
    found = motion.by_minute(pose)
    np.testing.assert_allclose(found["bones"], [0, 0.1, 0], atol=1e-3)
    np.testing.assert_allclose(found["energy"], [0, 0, 0], atol=5e-3)  # in trunks: a larger body is not a livelier one


def test_energy_by_minute_is_relative_to_the_first():
    pose = standing(2 * motion.MINUTE)
    swing = np.sin(np.arange(len(pose)) / 5) * np.repeat([10.0, 13.0], motion.MINUTE)
    pose[:, :, 0] += swing[:, None]
    assert motion.by_minute(pose)["energy"] == pytest.approx([0, 0.3], abs=0.02)
    assert motion.by_minute(pose[:100]) == {"energy": [], "bones": [], "frozen": [], "off_canvas": []}


def test_a_body_that_glides_slides_and_one_that_steps_does_not():
    glides = standing(90)
    glides[:, :, 0] += np.arange(90)[:, None] * 4.0  # 120 px a second, 0.6 trunks
    assert motion.sliding(glides) == pytest.approx(0.6, rel=1e-5)
    steps = standing(90)
    steps[:, INDEX["right_ankle"], 0] += np.arange(90) * 4.0  # on the floor, but the left one stands
    assert motion.sliding(steps) == 0.0
    steps[30:60, INDEX["left_ankle"], 1] -= 100  # now it is lifted, and the right one has to stand
    # 30 intervals of 89 and the two in which the left one goes up or comes down have only the moving one.
    assert motion.sliding(steps) == pytest.approx(0.6 * 31 / 89, rel=1e-5)


def test_sliding_is_not_told_of_unseen_feet():
    hidden = standing(60)
    hidden[:, INDEX["left_ankle"]] = 0
    assert np.isnan(motion.sliding(hidden)) and np.isnan(motion.sliding(standing(1)))


def test_exits_count_each_time_the_figure_leaves():
    pose = standing(300)
    pose[100:110, :, 0] = 600
    pose[200:, :, 0] = 600
    assert motion.exits(pose) == pytest.approx(2 * 6)  # two in ten seconds
    assert motion.exits(standing(300)) == 0


def test_the_longest_freeze_is_in_whole_seconds():
    pose = standing(181)
    pose[:61, :, 0] += np.arange(61)[:, None] * 4.0
    pose[61:, :, 0] = pose[60, :, 0]
    assert motion.longest_freeze(pose) == 4.0
    excused = np.zeros(181, bool)
    excused[100] = True  # in the fourth second
    assert motion.longest_freeze(pose, excused) == 2.0
    assert motion.longest_freeze(standing(10)) == 0.0


def test_a_lost_wrist_is_one_of_thirteen_unseen_joints():
    pose = standing(10)
    pose[:5, INDEX["left_wrist"], 2] = 0.2
    assert motion.unseen(pose) == pytest.approx(0.5 / 13)


def test_a_dance_follows_music_that_it_is_as_lively_as():
    speeds = np.repeat([1.0, 3.0, 2.0], 150)  # px a frame
    pose = standing(451)
    pose[1:, :, 0] += np.cumsum(speeds)[:, None] * 0.1
    assert motion.follows(pose, np.append(0.0, speeds / 4)) == pytest.approx(1, abs=1e-3)
    assert motion.follows(pose, np.append(0.0, 1 - speeds / 4)) == pytest.approx(-1, abs=1e-3)
    assert motion.follows(pose, np.append(0.0, np.repeat([0.4, 0.2, 0.6], 150))) == pytest.approx(-0.5, abs=1e-3)


def test_of_a_dance_or_music_without_change_nothing_is_said_to_follow():
    still, steady = standing(451), np.full(451, 0.5)
    assert np.isnan(motion.follows(still, np.linspace(0, 1, 451)))
    moving = standing(451)
    moving[:, :, 0] += 0.001 * np.arange(451)[:, None] ** 2
    assert np.isnan(motion.follows(moving, steady)) and np.isnan(motion.follows(moving[:200], np.linspace(0, 1, 200)))
