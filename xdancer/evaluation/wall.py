"""Pictures in one pass as they come to a wall, four times as large as they are painted: the largest that a renderer
puts out, beside smaller ones that are merely enlarged."""

from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from xdancer.errors import UserError
from xdancer.evaluation.picture_scores import around_hands, averaged, score
from xdancer.renderer import Renderer
from xdancer.renderer.diffusion.model import DiffusionModel, to_pictures
from xdancer.renderer.diffusion.schedules import ONCE
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.renderer.darkroom import Darkroom
from xdancer.training.renderer.scenes import Scenes, gathered

SCALE = 4


@torch.no_grad()
def on_a_wall(model: DiffusionModel, tokenizer: PoseTokenizer, scenes: Scenes, count: int) -> dict[str, Any]:
    """Scores of `count` scenes, as `renderer.evaluate` has them, in SCALE times the size that is painted. Raises
    UserError where the renderer has no such size."""
    height, width = (side * SCALE for side in model.shape.size)
    darkroom = Darkroom(scenes.wardrobe, height, width, torch.device("cpu"), fine=1)
    scores: dict[str, list[dict[str, float]]] = {}
    for number in tqdm(range(count), desc="scenes", unit="scene", leave=False):
        scene = gathered([scenes[number]])
        pictures, person = darkroom.draw(scene)
        true = to_pictures(pictures[0])
        renderer = Renderer(model, true[0], tokenizer, scene["posed"][0].numpy())
        if SCALE not in renderer.scales:
            raise UserError(f"--wall: this renderer's pictures come in {renderer.scales} times their size only")
        mask, hands = person[0, 1:, 0].numpy(), around_hands(scene["truth"][0].numpy(), height, width)
        tokens, poses = scene["tokens"][0].numpy().reshape(-1, 5, 6), scene["poses"][0].numpy()
        for scale in renderer.scales:
            stream = renderer.stream(number, scale=scale, levels=1, chunk=ONCE)
            made = np.concatenate([stream.step(tokens, poses), stream.finish()])
            large = np.stack([cv2.resize(p, (width, height), interpolation=cv2.INTER_CUBIC) for p in made])
            scores.setdefault(f"{scale} x", []).append(score(true[1:], large, mask, hands=hands))
    means = {way: averaged(all_) for way, all_ in scores.items()}
    return {"scenes": count, "frames": scenes.frames, "size": [height, width], "ways": means}
