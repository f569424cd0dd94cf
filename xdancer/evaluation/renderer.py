"""`xdancer evaluate renderer`: people that training never saw, drawn from tokens and one other picture of them.

Figures on windows of 16 frames: PSNR and SSIM on the person, PSNR with what is just beside, where halos are, and around
hands, sharpness (the energy of edges, as a multiple of the true one), flicker (how much more neighbouring frames differ
than the true ones do) and seams (how much worse frames follow each other where windows join), for the offline schedule,
the live one and one pass, this also by the true joints in place of those that the tokens tell, beside the true frames
through the autoencoder, the reference carried to each pose without being bettered, the same where the body's surface is
known exactly, and the reference repeated. With `--limbs` also where a foreign detector finds the limbs.
`--patterned` is for rooms that are not plain. `--wall` scores pictures in the size of a show, and `--stamina` asks
something else: whether the pictures stay as they were.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from xdancer import weights
from xdancer.errors import UserError
from xdancer.evaluation.limbs import limb_error, summed
from xdancer.evaluation.picture_scores import around_hands, averaged, score
from xdancer.evaluation.report import goal_lines
from xdancer.evaluation.rooms import PatternedScenes
from xdancer.pose.detector import PoseDetector
from xdancer.pose.mediapipe import MediaPipeDetector
from xdancer.renderer.diffusion.body import Surface
from xdancer.renderer.diffusion.carry import carried, cut_out
from xdancer.renderer.diffusion.model import DiffusionModel, to_pictures
from xdancer.renderer.diffusion.renderer import load
from xdancer.renderer.diffusion.schedules import LEVELS, ONCE, WINDOW, windows
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.renderer.darkroom import Darkroom
from xdancer.training.renderer.samples import Reference, drawn, moved_to, rolled
from xdancer.training.renderer.scenes import Scene, Scenes, gathered

FRAMES = 2 * WINDOW  # drawn of each scene, so that the live window rolls
WAYS = ("offline", "live", "one pass", "true joints", "coded", "carried", "exact", "reference")
LED = ("offline", "live", "one pass", "carried")  # by the poses that the tokens decode to; the others by the true ones
CERTAIN = 12.0  # the logit of what is known
STRIP = 8  # frames of a film strip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, nargs="?", help="a folder; its held-out people and clips are drawn")
    parser.add_argument("--weights", default="live", help="a shipped name, or the folder of a renderer")
    parser.add_argument("--tokenizer", default="live", help="the one it was trained with (default: the shipped one)")
    parser.add_argument("--scenes", type=int, default=12, help="how many scenes to draw (default 12)")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"of each scene, k x {WINDOW} (default {FRAMES})")
    parser.add_argument("--ways", metavar="LIST", help=f"only these of {', '.join(WAYS)}; seams alone need few")
    parser.add_argument("--steps", type=int, default=20, help="steps of the offline schedule (default 20)")
    parser.add_argument("--limbs", action="store_true", help="limb error by MediaPipe too (extra `pose`)")
    parser.add_argument("--patterned", action="store_true", help="before walls of bricks, stripes, leaves and so on")
    parser.add_argument("--wall", action="store_true", help="pictures in one pass, in the size of a show, instead")
    parser.add_argument("--stamina", type=int, metavar="MINUTES", help="draw a minute of dance so many times instead")
    parser.add_argument("--passes", type=int, help="--stamina: passes a picture, 1 to 4 (default: as a show draws)")
    parser.add_argument("--stride", type=int, default=1, help="--stamina: draw every so manieth frame, 1 to 4")
    parser.add_argument("--strips", type=Path, help="PNG to write film strips to: truth above, made below")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Raises UserError where there are no weights, or nobody to be drawn."""
    if args.stamina is not None:
        return _stamina(args)
    if args.corpus is None:
        raise UserError("evaluate renderer: name a corpus folder, or --stamina")
    if args.scenes < 1 or args.steps < 1:
        raise UserError("--scenes and --steps: at least 1 of each")
    if args.frames < FRAMES or args.frames % WINDOW:
        raise UserError(f"--frames: a multiple of {WINDOW}, {FRAMES} or more")
    ways = tuple(args.ways.split(",")) if args.ways else WAYS
    unknown = next((way for way in ways if way not in WAYS), None)
    if unknown is not None:
        raise UserError(f"--ways: no way {unknown!r}; there are {', '.join(WAYS)}")
    model, vocabulary, passes = load(weights.find("renderer", args.weights))
    tokenizer = PoseTokenizer.from_pretrained(args.tokenizer)
    if vocabulary not in ("", tokenizer.vocabulary):
        raise UserError(f"{args.weights}: trained with another tokenizer than {tokenizer.name}; name it by --tokenizer")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    best = "one pass" if passes == 1 else "live"
    if args.strips and best not in ways:
        raise UserError(f"--strips: shows {best!r}, which --ways leaves out")
    kind = PatternedScenes if args.patterned else Scenes
    scenes = kind(args.corpus, "val", args.frames, tokenizer, seed=20_000, strides=(1,))
    if args.wall:
        from xdancer.evaluation.wall import on_a_wall

        return on_a_wall(model.to(device), tokenizer, scenes, args.scenes)
    detector = MediaPipeDetector() if args.limbs else None
    return evaluate(model.to(device), scenes, args.scenes, args.steps, args.strips, best, detector, ways)


def _stamina(args: argparse.Namespace) -> dict[str, Any]:
    from xdancer.evaluation.lasting import danced, lasting
    from xdancer.renderer import Renderer

    if args.stamina < 1 or args.passes not in (None, 1, 2, 3, 4) or args.stride not in (1, 2, 3, 4):
        raise UserError("--stamina: 1 minute or more; --passes and --stride: 1 to 4")
    renderer = Renderer.from_pretrained(args.weights, tokenizer=args.tokenizer)
    renderer.hurry()  # as a show does
    tokens, poses = danced(renderer.tokenizer, 0)
    return lasting(renderer, tokens, poses, args.stamina, args.passes or renderer.passes, args.stride)


def report(result: dict[str, Any]) -> str:
    if "turns" in result:
        return "\n".join(_minutes(result))
    size = " x ".join(map(str, result["size"]))
    lines = [f"{result['scenes']} scenes of {result['frames']} frames of {size}, held-out people and clips"]
    lines.append("way          PSNR   SSIM  around  hands  sharpness  flicker  seams")
    for way, row in result["ways"].items():
        seams = f"   {row['seams']:.2f}" if "seams" in row else "      -"
        numbers = (
            f"{row['psnr']:5.2f}  {row['ssim']:.3f}  {row['around']:6.2f}  {row['hands']:5.2f}  {row['sharpness']:9.2f}"
        )
        lines.append(f"{way:<11} {numbers}  {row['flicker']:7.2f} {seams}")
    if "limbs" in result:
        lines.append("limbs, px of 896 x 512, by MediaPipe: median, 90th percentile; share found")
        for way, row in result["limbs"].items():
            apart = f"{row['limbs']:5.1f}  {row['far']:5.1f}" if "limbs" in row else "    -      -"
            lines.append(f"{way:<11} {apart}  {row['found']:.0%}")
    return "\n".join(lines)


def _minutes(result: dict[str, Any]) -> list[str]:
    lines = [f"a minute of dance {result['minutes']} times; passes: {result['passes']}, stride: {result['stride']}"]
    lines.append("minute   red  green   blue   contrast (red, green, blue)   resident MB")
    for turn in result["turns"]:
        colours = " ".join(f"{value:6.2f}" for value in (*turn["colour"], *turn["contrast"]))
        lines.append(f"{turn['minute']:6} {colours} {turn['resident_mb']:22.0f}")
    return [*lines, *goal_lines(result["goals"])]


@torch.no_grad()
def evaluate(
    model: DiffusionModel, scenes: Scenes, count: int, steps: int = 20, strips: Path | None = None, best: str = "live",
    detector: PoseDetector | None = None, ways: Sequence[str] = WAYS,
) -> dict[str, Any]:  # fmt: skip
    """Scores of `count` scenes by each of the `ways`, and film strips of the first six by the `best` of them; with a
    detector also where it finds limbs, in the truth as well."""
    device = next(model.parameters()).device
    darkroom = Darkroom(scenes.wardrobe, *model.shape.size, device)
    surfaces = Darkroom(scenes.wardrobe, *model.shape.size, device, fine=1)
    scores: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    limbs: dict[str, list[dict[str, Any]]] = {way: [] for way in ("truth", *WAYS)}
    joins = {
        "offline": sorted({edge for span in windows(scenes.frames)[1:] for edge in (span.start, span.stop)}),
        "live": range(0, scenes.frames, WINDOW // LEVELS),
        "one pass": range(0, scenes.frames, ONCE),
    }
    rows: list[np.ndarray] = []
    for number in tqdm(range(count), desc="scenes", unit="scene", leave=False):
        scene = gathered([scenes[number]])
        pictures, person = darkroom.draw(scene)
        reference, true, mask = pictures[0, :1], pictures[0, 1:], person[0, 1:, 0].cpu().numpy()
        told, placed = scene["tokens"][0], scene["poses"][0]
        hands = around_hands(scene["truth"][0].numpy(), *mask.shape[1:])
        posed = (reference, scene["posed"].to(device))
        makers: dict[str, Callable[[], torch.Tensor | None]] = {
            "offline": partial(drawn, model, posed, told, placed, steps, number),
            "live": partial(rolled, model, posed, told, placed, number),
            "one pass": partial(rolled, model, posed, told, placed, number, levels=1, chunk=ONCE),
            "true joints": partial(rolled, model, posed, told, scene["truth"][0], number, levels=1, chunk=ONCE),
            "coded": partial(_coded, model, true),
            "carried": partial(_carried, model, posed, placed),
            "exact": partial(_carried_exactly, model, surfaces, scene, reference),
            "reference": partial(reference.expand_as, true),
        }
        made = {way: frames for way in ways if (frames := makers[way]()) is not None}
        seen = to_pictures(true)
        for way, frames in made.items():
            scores[way].append(score(seen, to_pictures(frames), mask, joins.get(way, ()), hands))
        if detector:
            for way, frames in {"truth": true, **made}.items():
                led = placed if way in LED else scene["truth"][0]
                limbs[way].append(limb_error(detector, to_pictures(frames), led.cpu().numpy()))
        if strips and len(rows) < 12:
            shown = np.linspace(0, scenes.frames - 1, STRIP).round().astype(int)
            for film in (seen, to_pictures(made[best])):
                rows.append(np.concatenate([to_pictures(reference)[0], *film[shown]], axis=1))
    if strips:
        strips.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(strips), np.concatenate(rows)[..., ::-1])
    drawn_by = {way: all_ for way, all_ in scores.items() if all_}  # a renderer without a body carries nothing
    means = {way: averaged(all_) for way, all_ in drawn_by.items()}
    found = {"limbs": {way: summed(each) for way, each in limbs.items() if each}} if detector else {}
    size = list(model.shape.size)
    return {"scenes": count, "frames": scenes.frames, "size": size, "steps": steps, "ways": means, **found}


def _coded(model: DiffusionModel, true: torch.Tensor) -> torch.Tensor:
    parts = true.split(WINDOW)
    return torch.cat([model.autoencoder.decode(model.autoencoder.encode(part)) for part in parts])


def _carried(model: DiffusionModel, posed: Reference, poses: torch.Tensor) -> torch.Tensor | None:
    """The reference as it is moved to the poses (F, 60, 3): (F, 3, H, W); None for a renderer that moves nothing."""
    moved = moved_to(model, model.look(*posed), poses.to(posed[0].device))
    return moved.pictures if moved is not None else None


def _carried_exactly(model: DiffusionModel, darkroom: Darkroom, scene: Scene, reference: torch.Tensor) -> torch.Tensor:
    """The reference (1, 3, H, W) carried to a scene's frames (F, 3, H, W) over the surfaces that the darkroom knows: as
    far as a network that tells them could come."""
    places, there = darkroom.surfaces(scene)
    shown = torch.where(there > 0, CERTAIN, -CERTAIN)
    cutout = cut_out(reference, Surface(shown[:, 0], places[:, 0]), model.colouring)
    parts = zip(shown[:, 1:].split(WINDOW, dim=1), places[:, 1:].split(WINDOW, dim=1), strict=True)
    return torch.cat([carried(cutout, Surface(*part))[0][0] for part in parts])
