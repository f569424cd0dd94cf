"""What a dance begins from: the choreographer's pose, or that of the person who is drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from models import tiny_renderer
from PIL import Image

from engine.config import load
from engine.params import Params
from engine.studio import models
from engine.studio.models import load_models
from engine.studio.studio import Studio
from xdancer.errors import UserError
from xdancer.music.demo import click_track
from xdancer.pose.detector import standing
from xdancer.pose.layout import INDEX
from xdancer.tokenizer import PoseTokenizer

FEET = (256, 812)  # of `standing`, px


def test_the_dance_begins_in_the_pose_and_with_the_build_of_who_is_drawn(tmp_path: Path) -> None:
    tiny_renderer(tmp_path, PoseTokenizer.from_pretrained())
    pose = standing()
    pose[:, :2] = FEET + 0.85 * (pose[:, :2] - FEET)  # smaller than the dancer whom nobody asks for
    config = json.loads((tmp_path / "config.json").read_text())
    config["reference"]["pose"] = pose.tolist()
    (tmp_path / "config.json").write_text(json.dumps(config))
    person = load_models(load(None, ["renderer=diffusion", f"weights.renderer={tmp_path}"]))
    nobody = load_models(load(None, []))
    seen = pose[:18, 2] > 0
    far = {}
    for name, which in (("person", person), ("nobody", nobody)):
        frames = Studio(which, Params(seed=3)).push(click_track(1.0).samples, draw=False)
        far[name] = np.abs(frames[0].pose[:18] - pose[:18])[seen, :2].mean()
    assert far["person"] < 20 and far["person"] < 0.5 * far["nobody"]


class Detector:
    """Finds the same person everywhere, or nobody."""

    def __init__(self, pose: np.ndarray | None) -> None:
        self._pose = pose

    def __call__(self) -> "Detector":
        return self

    def detect(self, picture: np.ndarray) -> np.ndarray:
        assert picture.shape == (896, 512, 3)
        if self._pose is None:
            raise UserError("nobody is to be seen")
        return self._pose


def test_it_begins_in_the_pose_of_a_picture_where_a_detector_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = PoseTokenizer.from_pretrained()
    tiny_renderer(tmp_path, tokenizer)
    Image.new("RGB", (128, 224)).save(tmp_path / "me.png")
    config = load(None, ["renderer=diffusion", f"weights.renderer={tmp_path}", f"reference={tmp_path / 'me.png'}"])
    monkeypatch.setattr(models, "installed", lambda: True)
    monkeypatch.setattr(models, "MediaPipeDetector", Detector(standing()))
    found = load_models(config).start
    assert np.abs(tokenizer.decode(found)[0, :18, :2] - standing()[:18, :2]).mean() < 10
    half = standing()
    half[INDEX["left_knee"], 2] = half[INDEX["left_ankle"], 2] = 0
    for unusable in (half, None):
        monkeypatch.setattr(models, "MediaPipeDetector", Detector(unusable))
        assert load_models(config).start is None
    monkeypatch.setattr(models, "MediaPipeDetector", Detector(standing()))
    monkeypatch.setattr(models, "installed", lambda: False)
    assert load_models(config).start is None
