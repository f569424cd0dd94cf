"""What a dance begins from: the choreographer's pose, or that of the person who is drawn."""

from pathlib import Path

import numpy as np
from models import tiny_renderer

from engine.config import load
from engine.params import Params
from engine.studio.models import load_models
from engine.studio.studio import Studio
from xdancer.music.demo import click_track
from xdancer.renderer.reference import own
from xdancer.tokenizer import PoseTokenizer


def test_the_dance_begins_in_the_pose_and_with_the_build_of_who_is_drawn(tmp_path: Path) -> None:
    tiny_renderer(tmp_path, PoseTokenizer.from_pretrained())
    person = load_models(load(None, ["renderer=diffusion", f"weights.renderer={tmp_path}"]))
    nobody = load_models(load(None, []))
    _, pose = own(tmp_path)
    seen = pose[:18, 2] > 0
    far = {}
    for name, models in (("person", person), ("nobody", nobody)):
        frames = Studio(models, Params(seed=3)).push(click_track(1.0).samples, draw=False)
        far[name] = np.abs(frames[0].pose[:18] - pose[:18])[seen, :2].mean()
    assert far["person"] < 20 and far["person"] < 0.5 * far["nobody"]
