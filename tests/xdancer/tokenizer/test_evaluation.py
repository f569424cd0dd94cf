"""The figures by hand-worked values, and the whole report on a made-up corpus."""

import argparse

import cv2
import numpy as np
import pytest
from tokenizer_fixtures import swaying

import xdancer.data.sampler
from xdancer.evaluation import tokenizer as evaluation
from xdancer.pose.layout import INDEX, LEFT_HAND


def test_joint_error_is_the_mean_of_both_axes_over_certain_joints():
    true = np.zeros((1, 60, 3), dtype=np.float32)
    true[0, INDEX["nose"]] = (100, 100, 0.3)
    true[0, INDEX["neck"]] = (100, 200, 0.9)
    true[0, INDEX["left_knee"]] = (100, 500, 0.29)  # not certain
    made = true.copy()
    made[0, INDEX["nose"], :2] += (3, -1)
    made[0, INDEX["left_knee"], :2] += 100
    errors = evaluation.joint_error(true, made)
    assert errors == {"whole": 1.0, "upper": 0.0, "lower": 0.0, "head": 2.0, "hands": 0.0}


def test_a_joint_that_is_not_shown_counts():
    true = swaying(5)
    made = true.copy()
    made[:, LEFT_HAND] = 0
    assert evaluation.joint_error(true, made)["hands"] > 100
    assert evaluation.quality(true[None], made[None])["missed"] == pytest.approx(
        (true[:, 18:39, 2] >= 0.3).mean() * 21 / 60
    )


def test_quality_of_the_truth_itself():
    true = swaying(12, n=2)
    true[..., 18, :2], true[..., 39, :2] = true[..., 7, :2], true[..., 4, :2]
    true[..., 2] = 0.8
    figures = evaluation.quality(true, true)
    assert figures["joint_error"]["whole"] == figures["velocity_error"] == figures["wrist_gap_p95"] == 0
    assert figures["jerk"]["true"] == figures["jerk"]["made"] > 0


def test_jerk_of_a_cubic():
    pose = np.zeros((1, 6, 60, 3), dtype=np.float32)
    pose[..., 2] = 1
    pose[0, :, :, 0] = np.arange(6)[:, None] ** 3  # third difference 6
    assert evaluation.quality(pose, pose)["jerk"]["true"] == pytest.approx(6)


def test_codebook_use():
    tokens = np.zeros((512, 5, 6), dtype=np.int16)
    tokens[:, 0, 0] = np.arange(512)
    use = evaluation.codebook_use(tokens)
    assert use["used"] == pytest.approx((1 + 29 / 512) / 30) and use["least_used"] == 1 / 512
    assert use["perplexity"] == pytest.approx((512 + 29) / 30)


def test_report(tiny_folder, tmp_path, monkeypatch):
    class Sampler:
        bodies, clips = ["a"], ["b", "c"]

        def __init__(self, *args, **kwargs):
            pass

        def batch(self, n, frames):
            return swaying(frames, seed=n, n=n)

    monkeypatch.setattr(xdancer.data.sampler, "PoseSampler", Sampler)
    monkeypatch.setattr(evaluation, "KNOWN", (10, 20))
    picture = tmp_path / "poses.png"
    args = argparse.Namespace(corpus=tmp_path, tokenizer=str(tiny_folder), windows=6, seed=0, picture=picture)
    result = evaluation.run(args)
    assert result["frames"] == 6 * 128 and set(result["baselines"]) == {"mean pose", "held 6 frames", "k-means"}
    assert result["baselines"]["mean pose"]["jerk"]["made"] == 0
    text = evaluation.report(result)
    assert f"{result['tokens']['joint_error']['whole']:.2f}" in text and "k-means" in text
    image = cv2.imread(str(picture))
    assert image.shape == (896, 6 * 512, 3) and image.std() > 1
