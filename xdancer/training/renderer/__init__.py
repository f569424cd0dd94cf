"""`xdancer train renderer`: the diffusion renderer, in the paper's stages, on avatars that dance the corpus.

The stages: the autoencoder; what bodies look like around their joints; the same by the pictures that are carried over
them; pairs of pictures of one person; windows of 16 frames, with motion decoder and temporal modules; then consistency,
so that four passes are enough, or painting: the pictures themselves, as a show makes them in one pass. (The paper leads
its image pairs by drawn skeletons and its windows by the motion decoder; here one of the two leads both.)
"""

import argparse
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from xdancer import weights
from xdancer.config import load_config
from xdancer.errors import UserError
from xdancer.renderer.diffusion import loaders
from xdancer.renderer.diffusion.model import GUIDED, LIVE, DiffusionModel, ModelShape
from xdancer.renderer.diffusion.motion import MotionShape
from xdancer.renderer.diffusion.renderer import FOREIGN, save
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.common import keep_memory
from xdancer.training.renderer.config import RendererConfig
from xdancer.training.renderer.trainer import Trainer

MANIFEST = "manifest.json"
SHAPES = {"live": LIVE, "live-guided": GUIDED}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="YAML, such as configs/renderer.yaml")
    parser.add_argument("--corpus", help="another corpus: a folder, or the file that `corpus pack` wrote")
    parser.add_argument("--folder", help="another folder for checkpoints, log and samples")
    parser.add_argument("--minutes", type=float, help="stop after so long, with a checkpoint to go on from")
    parser.add_argument("--weights", type=Path, help="folder to write the trained renderer to (default: in the run)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    changes = {key: value for key, value in {"corpus": args.corpus, "run": args.folder}.items() if value}
    config = load_config(args.config, RendererConfig, args.settings).model_copy(update=changes)
    return train(config, args.weights, args.minutes)


def report(result: dict[str, Any]) -> str:
    state = "done" if result["finished"] else "to be gone on with: the same command resumes"
    return f"{result['steps']} of {result['of']} steps, {state}\nwritten to {result['weights']}"


def train(
    config: RendererConfig, out: Path | None = None, minutes: float | None = None, stop_at: int | None = None
) -> dict[str, Any]:
    """Train, or go on from the last checkpoint of the run, and write the weights as they are then.

    `minutes` and `stop_at` (a step of all stages) leave early.
    """
    keep_memory()
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    tokenizer = PoseTokenizer.from_pretrained(config.tokenizer)
    trainer = Trainer(config, unpacked(Path(config.corpus), Path(config.run)), make(config), tokenizer)
    finished = trainer.train(minutes, stop_at)
    folder = out or Path(config.run) / config.name
    known = {"name": tokenizer.name, "vocabulary": tokenizer.vocabulary}
    values = {"name": config.name, "tokenizer": known, "steps": trainer.done, "passes": config.passes}
    save(folder, trainer.average, values, config.base)
    total = sum(stage.steps for stage in config.stages)
    return {"steps": trainer.done, "of": total, "finished": finished, "weights": str(folder)}


def make(config: RendererConfig) -> DiffusionModel:
    """The networks before this training. Raises UserError where the shape is wrong, or `begin` or `base` cannot be
    loaded."""
    if isinstance(config.shape, str):
        return begun(DiffusionModel(SHAPES[config.shape]), config.begin, config.begin_parts)
    try:
        if config.base is None:
            return begun(DiffusionModel(ModelShape.from_dict(config.shape)), config.begin, config.begin_parts)
        size = tuple(config.shape["size"])
        motion = MotionShape.from_dict(config.shape["motion"])
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"shape: {error}") from error
    return loaders.stable_diffusion(weights.find("renderer", config.base, FOREIGN), (size[0], size[1]), motion)


def begun(model: DiffusionModel, name: str | None, parts: Sequence[str] = ()) -> DiffusionModel:
    """The model with the weights of that name, or only these `parts` of them, as far as they go: a part that they lack
    altogether stays untrained."""
    if name is not None:
        folder = weights.find("renderer", name)
        state, _ = weights.load(folder)
        if parts:
            state = {key: value for key, value in state.items() if key.split(".")[0] in parts}
        there = {key.split(".")[0] for key in state}
        lacking = [f"{part}." for part, _ in model.named_children() if part not in there]
        loaders.fill(model, state, folder / weights.MODEL, missing=lacking)
    return model


def unpacked(corpus: Path, run: Path) -> Path:
    """The corpus as a folder: what `corpus pack` wrote is laid out in the run, once. Raises UserError where it is
    damaged."""
    if corpus.is_dir() or not corpus.exists():
        return corpus
    folder = run / "corpus"
    if not (folder / MANIFEST).exists():
        try:
            with zipfile.ZipFile(corpus) as archive:
                names = [name for name in archive.namelist() if name != MANIFEST]
                archive.extractall(folder, names)
                archive.extract(MANIFEST, folder)  # last: it says that all is there
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise UserError(f"{corpus}: not a packed corpus ({error}); make one with `xdancer corpus pack`") from error
    return folder
