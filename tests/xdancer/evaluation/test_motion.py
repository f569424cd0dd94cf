import numpy as np
import pytest

from xdancer.evaluation import motion


def standing(frames: int) -> np.ndarray:
    """A figure with a trunk of 200 px and limbs of 100: (T, 60, 3)."""
    pose = np.zeros((frames, 60, 3), np.float32)
    pose[..., 2] = 1.0
    pose[:, :, 0] = 256
    for joint, (x, y) in {1: (256, 200), 2: (156, 200), 3: (156, 300), 4: (156, 400), 5: (356, 200), 6: (356, 300),
                          7: (356, 400), 8: (256, 400), 9: (256, 500), 10: (256, 600), 11: (256, 400),
                          12: (256, 500), 13: (256, 600)}.items():  # fmt: skip
        pose[:, joint, :2] = x, y
    return pose


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
    assert motion.by_minute(pose[:100]) == {"energy": [], "bones": []}
