"""The person that shipped weights bring along: one of those trained on, drawn here, standing so that all of them shows.

`python -m xdancer.training.renderer.portrait CORPUS FOLDER [SCENE]` adds one to a folder of weights. Which scene has
been chosen by eye: from the front, face and all, upright, arms and legs apart, in clothes that follow the limbs and
stand out from the wall.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from xdancer.data import bodies
from xdancer.errors import UserError
from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH
from xdancer.renderer.diffusion.model import to_pictures
from xdancer.renderer.reference import OWN
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.renderer.backdrops import PLAIN
from xdancer.training.renderer.darkroom import Darkroom
from xdancer.training.renderer.scenes import Scene, Scenes, Wardrobe, gathered

SEED, SCENE, OUTFIT = 31, 634, "Casual"
WALL = ((0.27, 0.27, 0.42), (0.17, 0.15, 0.26))  # above and below, RGB: a quiet stage


def portrait(scenes: Scenes, number: int = SCENE) -> tuple[np.ndarray, np.ndarray]:
    """Who is in scene `number`, in their OUTFIT where they have one, by day in a quiet room: a picture uint8
    (896, 512, 3) and the pose (60, 3) in it."""
    scene = scenes.retold(1, SEED)[number]
    above, below = (np.array(colour, np.float32)[:, None, None] for colour in WALL)
    slope = np.linspace(0, 1, PLAIN[0], dtype=np.float32)[:, None]
    backdrop = np.broadcast_to(above + (below - above) * slope, (3, *PLAIN)).copy()
    skin = dressed(scenes.wardrobe, scene["skin"])
    quiet: Scene = {**scene, "skin": skin, "backdrop": backdrop, "light": daylight()}
    pictures, _ = Darkroom(scenes.wardrobe, CANVAS_HEIGHT, CANVAS_WIDTH, torch.device("cpu")).draw(gathered([quiet]))
    return to_pictures(pictures[0, 0]), scene["posed"]


def dressed(wardrobe: Wardrobe, skin: int) -> int:
    """The skin of the same person in their OUTFIT, where they have one."""
    person = bodies.person_of(wardrobe.paths[skin])
    return next((n for n in wardrobe.outfits(person) if wardrobe.paths[n].stem == f"{person}_{OUTFIT}"), skin)


def daylight() -> np.ndarray:
    """Light from the front and above, as `scenes` has it: direction, colour, shade, tint."""
    direction = np.array([0.3, 0.6, 1.0])
    rows = [direction / np.linalg.norm(direction), np.full(3, 0.6), np.full(3, 0.45), np.ones(3)]
    return np.stack(rows).astype(np.float32)


def add(corpus: Path, folder: Path, number: int = SCENE) -> None:
    """Write the person into a folder of weights."""
    picture, pose = portrait(Scenes(corpus, "train", 1, PoseTokenizer.from_pretrained("live")), number)
    Image.fromarray(picture).save(folder / OWN)
    config = json.loads((folder / "config.json").read_text())
    config["reference"] = {"pose": [[round(float(value), 3) for value in joint] for joint in pose]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    try:
        add(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
    except UserError as error:
        sys.exit(str(error))
