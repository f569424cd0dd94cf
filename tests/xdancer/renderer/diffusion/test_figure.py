"""Where limbs are: maps of a drawn figure, worked out by hand."""

import math

import torch
from diffusion_fixtures import standing_pose

from xdancer.renderer.diffusion.figure import LIMBS, Figure

COUNT = len(LIMBS)
SHIN = next(k for k, limb in enumerate(LIMBS) if limb.end == "right_ankle")
TORSO = next(k for k, limb in enumerate(LIMBS) if limb.end == "neck")


def test_limbs_run_between_the_joints_and_measure_the_figure() -> None:
    figure = Figure.of(standing_pose())
    assert figure.starts[SHIN].tolist() == [210, 640] and figure.ends[SHIN].tolist() == [208, 800]
    assert figure.starts[TORSO].tolist() == [256, 470]  # between the hips
    assert figure.length[TORSO] == 220
    arms = 2 * ((20**2 + 105**2) + (5**2 + 100**2))  # upper arms and forearms
    legs = (5**2 + 170**2) * 2 + (2**2 + 160**2) * 2
    assert math.isclose(float(figure.size) ** 2, (220**2 + arms + legs) / 9, rel_tol=1e-4)


def test_maps_tell_near_along_and_aside() -> None:
    pose = standing_pose(right_knee=(208, 600), right_ankle=(208, 800))
    figure = Figure.of(pose)
    near, along, aside = figure.maps(896, 512).split(COUNT)
    assert near[SHIN, 700, 208] == 1 and math.isclose(float(along[SHIN, 700, 208]), 0.5, abs_tol=1e-4)
    radius = LIMBS[SHIN].radius * float(figure.size)
    at = round(radius)  # px to the left: a radius away
    assert math.isclose(float(near[SHIN, 700, 208 - at]), math.exp(-((at / radius) ** 2) / 2), rel_tol=1e-4)
    assert aside[SHIN, 700, 208 - at] * aside[SHIN, 700, 208 + at] < 0  # which side it is on
    there, expected = float(aside[SHIN, 700, 208 + at].abs()), at / radius * math.exp(-((at / radius) ** 2) / 6)
    assert math.isclose(there, expected, rel_tol=1e-3)
    assert near[SHIN, 100, 208] < 1e-6 and along[SHIN, 100, 208].abs() < 1e-6


def test_a_limb_that_is_not_seen_is_nowhere() -> None:
    figure = Figure.of(torch.stack([standing_pose(without=("right_ankle",)), torch.zeros(60, 3)]))
    maps = figure.maps(56, 32)
    assert maps.isfinite().all() and maps.shape == (2, 3 * COUNT, 56, 32)
    assert not maps[0, SHIN::COUNT].any() and maps[0, TORSO].max() > 0.9
    assert not maps[1].any()
