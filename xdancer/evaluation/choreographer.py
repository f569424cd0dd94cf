"""`xdancer evaluate choreographer`: dances to held-out songs beside the truth and baselines; how long and how far ahead
a dancer can dance, and what its handles do."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdancer.errors import UserError
from xdancer.evaluation import comparison, motion, motions
from xdancer.evaluation.alignment import DIRECTIONS
from xdancer.evaluation.dances import Dance, Song, held_out
from xdancer.evaluation.dancing import danced
from xdancer.evaluation.report import report
from xdancer.evaluation.scores import goal, score

if TYPE_CHECKING:
    from xdancer.choreographer import Choreographer
    from xdancer.tokenizer import PoseTokenizer

__all__ = ["add_arguments", "report", "run"]
MOST_LEAD = 60
RESERVED = ("model", *comparison.BASELINES)  # rows of the table that are ours
SHOW_LEAD, KEPT = 16, 0.95  # frames a room is danced ahead by, and what that may cost
HANDLE_SONGS = 2  # where --songs does not say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, nargs="?", help="folder that `xdancer corpus build` wrote")
    parser.add_argument("--choreographer", metavar="NAME", help="shipped name, folder or hub id (default live)")
    parser.add_argument("--tokenizer", default="live", metavar="NAME", help="shipped name, folder or hub id")
    parser.add_argument(
        "--motion", type=Path, action="append", default=[], metavar="PATH",
        help="score this dance: npz (pose, beats_s), OpenPose JSON folder, SMPL pickle of EDGE or Bailando; with a "
        "corpus a file or a folder of dances named after its held-out songs; may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--beats", type=Path, metavar="JSON", help="beats of --motion, from `xdancer beats AUDIO --json`"
    )
    parser.add_argument("--fps", type=float, help="of --motion (default: 60 for Bailando's, 30 for others)")
    parser.add_argument("--canvas", metavar="WxH", help="pictures in which OpenPose looked (default 512x896)")
    parser.add_argument(
        "--stamina", type=float, metavar="MINUTES", help="dance so long to eight bars of the demo, looped"
    )
    parser.add_argument("--changing", action="store_true", help="--stamina to the held-out songs, one after the other")
    parser.add_argument("--handles", action="store_true", help="measure what energy, temperature and style do")
    parser.add_argument("--leads", metavar="N,N,..", help="alignment by frames ahead of the music, e.g. 0,4,8,16,30,60")
    parser.add_argument(
        "--toward", metavar="STYLE", help="is the tuned --choreographer nearer to this style than --base?"
    )
    parser.add_argument("--base", default="live", metavar="NAME", help="of --toward (default live)")
    parser.add_argument("--songs", type=int, default=0, metavar="N", help="only the first N held-out songs")
    parser.add_argument("--lead", type=int, default=0, help="frames ahead of the music (default 0)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="also write a strip of frames (PNG) of each dance")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.corpus is None and args.motion:
        return score_file(args)
    if args.corpus is None and (args.stamina is None or args.changing):
        raise UserError("evaluate choreographer: name a corpus folder, or --motion or --stamina")
    if args.stamina is not None and args.stamina * 60 < 1:
        raise UserError(f"--stamina {args.stamina:g}: a second (0.02) at least")
    leads = _leads(args.leads)
    models = None
    if args.motion and args.choreographer is None and (leads or args.handles or args.stamina is not None):
        raise UserError("--leads, --handles and --stamina are for a choreographer; leave out --motion")
    if not args.motion or args.choreographer is not None:
        models = load(args.choreographer or "live", args.tokenizer)
    if args.stamina is not None and models:
        return _stamina(args, *models)
    truth = held_out(args.corpus)
    songs = {name: Song.load(args.corpus, name) for name in sorted({dance.song for dance in truth})}
    first = {dance.song: dance for dance in reversed(truth)}
    dances = [first[name] for name in sorted(first)]
    if args.handles and models:
        from xdancer.evaluation.handles import sweep

        return {"handles": sweep(*models, args.corpus, dances[: args.songs or HANDLE_SONGS], songs, args.seed)}
    dances = dances[: args.songs or None]
    if args.toward and models:
        from xdancer.evaluation.tuning import toward

        base, _ = load(args.base, args.tokenizer)
        return toward(models[0], base, models[1], args.corpus, args.toward, dances, songs, args.seed)
    if leads and models:
        return by_lead(*models, dances, songs, leads, args.seed)
    return evaluate(args, models, dances, truth, songs)


def load(choreographer: str, tokenizer: str) -> tuple["Choreographer", "PoseTokenizer"]:
    from xdancer.choreographer import Choreographer
    from xdancer.tokenizer import PoseTokenizer

    codes = PoseTokenizer.from_pretrained(tokenizer)
    return Choreographer.from_pretrained(choreographer, codes), codes


Models = tuple["Choreographer", "PoseTokenizer"]


def evaluate(
    args: argparse.Namespace, models: Models | None, dances: list[Dance], truth: list[Dance], songs: dict[str, Song]
) -> dict[str, Any]:
    """The whole table over the held-out songs of `dances`, or over those that every --motion has."""
    wanted = [dance.song for dance in dances]
    theirs = {name: motions.find_motions(path, wanted) for name, path in motions.named(args.motion, RESERVED).items()}
    dances = [dance for dance in dances if all(dance.song in found for found in theirs.values())]
    if not dances:
        raise UserError("--motion: no held-out song is danced to by all of them")
    rows: comparison.Rows = {}
    if models:
        rows["model"] = dance_all(*models, dances, songs, args.seed, args.lead)
        if args.pictures:
            _draw(args.pictures, rows["model"], dances, songs)
    for name, found in theirs.items():
        read = [motions.read_motion(found[dance.song], args.fps, _canvas(args.canvas)) for dance in dances]
        rows[name] = [each.pose for each in read]
    rows |= comparison.baselines(args.corpus, dances, songs, args.seed)
    table = comparison.compare(args.corpus, rows, dances, truth, songs, args.seed)
    return {"songs": len(dances), "lead": args.lead, "seed": args.seed, "rows": table}


def dance_all(
    choreographer: "Choreographer", tokenizer: "PoseTokenizer", dances: list[Dance], songs: dict[str, Song], seed: int,
    lead: int,
) -> list[np.ndarray]:  # fmt: skip
    """A dance (T, 60, 3) to each of the songs, from the pose in which the true one begins and as long."""
    from tqdm import tqdm

    return [
        danced(choreographer, tokenizer, songs[dance.song].frames, dance.view()[0], seed, lead)[: len(dance.idle)]
        for dance in tqdm(dances, unit="song", desc=f"dancing {lead} frames ahead" if lead else "dancing")
    ]


def by_lead(
    choreographer: "Choreographer", tokenizer: "PoseTokenizer", dances: list[Dance], songs: dict[str, Song],
    leads: list[int], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Alignment of the same dancer at each lead, and what it has of that at the first of them."""
    rows = {f"lead {n}": dance_all(choreographer, tokenizer, dances, songs, seed, n) for n in leads}
    found = comparison.figures({"truth": [dance.view() for dance in dances]} | rows, dances, songs)
    first = found[f"lead {leads[0]}"]
    for row in found.values():
        for direction in DIRECTIONS:
            excess = first[direction] - first[f"{direction}_chance"]
            kept = row[direction] - row[f"{direction}_chance"]
            row[f"{direction}_kept"] = kept / excess if excess > 1e-6 else 0.0
    goals = []
    if leads[0] == 0 and SHOW_LEAD in leads:
        kept = min(found[f"lead {SHOW_LEAD}"][f"{direction}_kept"] for direction in DIRECTIONS)
        goals = [goal(f"alignment at a lead of {SHOW_LEAD} within {1 - KEPT:.0%} of that at 0", kept, low=KEPT)]
    return {"songs": len(dances), "seed": seed, "leads": leads, "rows": found, "goals": goals}


def score_file(args: argparse.Namespace) -> dict[str, Any]:
    """Figures of motions by themselves, without a corpus. Raises UserError where one cannot be read or has no beats."""
    rows, minutes = {}, {}
    for name, path in motions.named(args.motion).items():
        found = motions.read_motion(path, args.fps, _canvas(args.canvas))
        beats = motions.read_beats(args.beats) if args.beats else found.beats
        if beats is None:
            raise UserError(
                f"{path}: it says nothing of its music; add --beats JSON, from `xdancer beats AUDIO --json`"
            )
        figures = score(found.pose, beats, [])
        row = "motion" if len(args.motion) == 1 else name
        rows[row] = {key: value for key, value in figures.items() if not np.isnan(value)}
        minutes = motion.by_minute(found.pose)
    return {"songs": 1, "rows": rows} | ({"by_minute": minutes} if len(rows) == 1 else {})


def _stamina(args: argparse.Namespace, choreographer: "Choreographer", tokenizer: "PoseTokenizer") -> dict[str, Any]:
    from xdancer.evaluation.stamina import changing, looped, stamina

    music = changing(args.corpus) if args.changing else looped()
    return stamina(choreographer, tokenizer, args.stamina, args.seed, music)


def _leads(text: str | None) -> list[int]:
    try:
        leads = [int(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise UserError(f"--leads {text}: numbers of frames with commas wanted, e.g. 0,4,8,16,30,60") from error
    if any(not 0 <= lead <= MOST_LEAD for lead in leads):
        raise UserError(f"--leads {text}: 0 to {MOST_LEAD} frames")
    return leads


def _canvas(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise UserError(f"--canvas {text}: WIDTHxHEIGHT in pixels wanted, e.g. 1920x1080")
    return int(width), int(height)


def _draw(folder: Path, poses: list[np.ndarray], dances: list[Dance], songs: dict[str, Song]) -> None:
    from xdancer.evaluation.picture import strip

    for pose, dance in zip(poses, dances, strict=True):
        strip(folder / f"{dance.song}.png", pose, songs[dance.song].beats)
