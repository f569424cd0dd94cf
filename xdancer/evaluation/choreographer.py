"""`xdancer evaluate choreographer`: dances to held-out songs beside the paired truth, or ten minutes over one loop."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdancer.errors import UserError
from xdancer.evaluation import motion
from xdancer.evaluation.alignment import DIRECTIONS, alignment, motion_beats
from xdancer.music.frame import FPS, BeatState, MusicFrame
from xdancer.pose.layout import check_pose

if TYPE_CHECKING:
    from xdancer.choreographer import Choreographer
    from xdancer.tokenizer import PoseTokenizer

LOOP_BARS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, nargs="?", help="folder that `xdancer corpus build` wrote")
    parser.add_argument("--choreographer", default="live", metavar="NAME", help="shipped name, folder or hub id")
    parser.add_argument("--tokenizer", default="live", metavar="NAME", help="shipped name, folder or hub id")
    parser.add_argument("--motion", type=Path, metavar="NPZ", help="score this dance (pose, beats_s) instead")
    parser.add_argument(
        "--stamina", type=float, metavar="MINUTES", help="dance so long to eight bars of the demo, looped"
    )
    parser.add_argument("--songs", type=int, default=0, metavar="N", help="only the first N held-out songs")
    parser.add_argument("--lead", type=int, default=0, help="frames ahead of the music (default 0)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="also write a strip of frames (PNG) of each dance")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.motion is not None:
        return score_file(args.motion)
    from xdancer.choreographer import Choreographer
    from xdancer.tokenizer import PoseTokenizer

    tokenizer = PoseTokenizer.from_pretrained(args.tokenizer)
    choreographer = Choreographer.from_pretrained(args.choreographer, tokenizer)
    if args.stamina is not None:
        return stamina(choreographer, tokenizer, args.stamina, args.seed)
    if args.corpus is None:
        raise UserError("evaluate choreographer: name a corpus folder, or --motion or --stamina")
    return evaluate(args.corpus, choreographer, tokenizer, args)


def music_frames(song: Any) -> list[MusicFrame]:
    """What the analyzer heard in a song of the corpus (songs/<song>.npz), as it would hand it over live."""
    clock = {key: song[f"heard_{key}"].tolist() for key in ("tempo", "beat_phase", "bar_phase", "confidence")}
    features = song["heard_features"].astype(np.float32)
    return [
        MusicFrame(n, row, BeatState(**{key: values[n] for key, values in clock.items()}))
        for n, row in enumerate(features)
    ]


def evaluate(
    corpus: Path, choreographer: "Choreographer", tokenizer: "PoseTokenizer", args: argparse.Namespace
) -> dict[str, Any]:
    """Score generated dances, the paired truth and clips of other songs over the held-out songs of a corpus."""
    from tqdm import tqdm

    dances = held_out(corpus)
    songs = {name: np.load(corpus / "songs" / f"{name}.npz") for name in {str(d["song"]) for d in dances}}
    first = {str(d["song"]): d for d in reversed(dances)}
    names = sorted(first)[: args.songs or None]
    rows: dict[str, list[dict[str, Any]]] = {"model": [], "truth": [], "other clip": []}
    for number, name in enumerate(tqdm(names, unit="song", desc="dancing")):
        beats = songs[name]["beats_s"]
        others = [songs[other]["beats_s"] for other in sorted(songs) if other != name]
        truth = first[name]["views"][0].astype(np.float32)
        stranger = first[sorted(first)[(sorted(first).index(name) + 1) % len(first)]]["views"][0].astype(np.float32)
        stream = choreographer.stream(seed=args.seed, start=tokenizer.encode(truth[:1]), lead=args.lead)
        made = tokenizer.decode(stream.step(music_frames(songs[name])).tokens)[: len(truth)]
        idle = first[name]["idle"]
        for kind, pose in (("model", made), ("truth", truth), ("other clip", stranger)):
            rows[kind].append(score(pose, beats, others, idle, seed=number))
        if args.pictures:
            draw_strip(args.pictures / f"{name}.png", made, beats)
    result: dict[str, Any] = {kind: summary(each) for kind, each in rows.items()}
    for direction in DIRECTIONS:
        true = result["truth"][direction] - result["truth"][f"{direction}_chance"]
        for kind in rows:
            excess = result[kind][direction] - result[kind][f"{direction}_chance"]
            result[kind][f"{direction}_excess"] = excess / true if true > 1e-6 else 0.0
    for kind in rows:
        result[kind]["jerk_ratio"] = result[kind]["jerk"] / max(result["truth"]["jerk"], 1e-9)
    return {"songs": len(names), "lead": args.lead, "seed": args.seed, "rows": result}


def held_out(corpus: Path) -> list[Any]:
    """The held-out dances of a corpus. Raises UserError where there are none."""
    found = []
    for path in sorted((corpus / "dances").glob("*.npz")):
        with np.load(path) as data:
            if str(data["split"]) == "val":
                found.append({key: data[key] for key in ("song", "views", "idle")})
    if not found:
        raise UserError(f"{corpus}: no held-out dances there; run `xdancer corpus build` first")
    return found


def score(
    pose: np.ndarray, beats: np.ndarray, others: list[np.ndarray], idle: np.ndarray | None = None, seed: int = 0
) -> dict[str, float]:
    """Figures of one motion (T, 60, 3) against the music's beats (B,) s. Beats where the truth waits (`idle` (T,)) do
    not count, nor do motion beats there; chance is worked out in the same way."""
    seconds = len(pose) / FPS
    waits = np.zeros(len(pose), bool) if idle is None else np.resize(idle, len(pose))

    def danced(times: np.ndarray) -> np.ndarray:
        times = times[times < seconds]
        return times[~waits[np.clip((times * FPS).astype(int), 0, len(pose) - 1)]]

    bar = 4 * float(np.median(np.diff(beats))) if len(beats) > 1 else 2.0
    found = alignment(danced(motion_beats(pose)), beats, [*others], bar, seconds, seed, danced)
    out = {}
    for k, direction in enumerate(DIRECTIONS):
        out[direction] = float(found["score"][k])
        out[f"{direction}_chance"] = float(found["chance"][k])
    moving = pose if idle is None or waits.all() else pose[~waits]
    return out | {
        "beat_ratio": float(found["beat_ratio"]),
        "energy": motion.energy(pose),
        "jerk": motion.jerk(pose),
        "frozen": motion.frozen(moving),
        "off_canvas": motion.off_canvas(pose),
    }


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def score_file(path: Path) -> dict[str, Any]:
    """Figures of an npz with `pose` (T, 60, 3) and `beats_s`, as `xdancer render --tokens` writes it.

    Raises UserError where it cannot be read.
    """
    try:
        with np.load(path) as data:
            pose, beats = check_pose(data["pose"], f"{path}: pose"), np.asarray(data["beats_s"], np.float64)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not a motion to score ({error}); npz with pose (T, 60, 3), beats_s wanted") from error
    return {"songs": 1, "rows": {"motion": score(pose, beats, [])}, "by_minute": motion.by_minute(pose)}


def stamina(choreographer: "Choreographer", tokenizer: "PoseTokenizer", minutes: float, seed: int) -> dict[str, Any]:
    """Dance to eight bars of the demo track, looped: motion energy and limb lengths by minute against the first."""
    from tqdm import tqdm

    from xdancer.music import MusicAnalyzer
    from xdancer.music.demo import demo_track
    from xdancer.music.frame import SAMPLE_RATE

    track = demo_track()
    first, last = (round(track.downbeats_s[k] * SAMPLE_RATE) for k in (24, 24 + LOOP_BARS))
    loop = track.samples[first:last].mean(axis=1)
    analyzer, stream, limbs = MusicAnalyzer(), choreographer.stream(seed=seed), tokenizer.stream()
    poses = []
    for start in tqdm(range(0, round(minutes * 60 * SAMPLE_RATE), SAMPLE_RATE), unit="s", desc="dancing"):
        samples = loop[np.arange(start, start + SAMPLE_RATE) % len(loop)]
        poses.append(limbs.decode(stream.step(analyzer.push(samples)).tokens))
    pose = np.concatenate(poses)
    beats = np.arange(0, len(pose) / FPS, 60 / track.tempo)
    found = motion.by_minute(pose)
    return {
        "songs": 1,
        "minutes": minutes,
        "seed": seed,
        "rows": {"model": score(pose, beats, [], seed=seed)},
        "by_minute": found,
        "worst_energy": max((abs(v) for v in found["energy"]), default=0.0),
        "worst_bones": max(found["bones"], default=0.0),
    }


def draw_strip(path: Path, pose: np.ndarray, beats: np.ndarray, columns: int = 16) -> None:
    """A strip of frames over two bars from a third of the dance, two a beat, the ones on the beat marked: PNG."""
    import cv2

    from xdancer.renderer import SkeletonRenderer

    renderer = SkeletonRenderer(176, 308)
    start = int(np.searchsorted(beats, len(pose) / FPS / 3))
    chosen = beats[start : start + columns // 2 + 1]
    times = np.sort(np.concatenate([chosen, (chosen[1:] + chosen[:-1]) / 2]))[:columns]
    pictures = []
    for k, moment in enumerate(times):
        picture = renderer.draw(pose[min(int(moment * FPS), len(pose) - 1)], 0.0 if k % 2 == 0 else 0.5).copy()
        if k % 2 == 0:
            picture[:4] = (255, 200, 60)
        pictures.append(picture)
    half = (len(pictures) + 1) // 2
    blank = np.zeros_like(pictures[0])
    lines = [np.hstack(pictures[:half]), np.hstack([*pictures[half:], *[blank] * (2 * half - len(pictures))])]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.vstack(lines)[..., ::-1])


def report(result: dict[str, Any]) -> str:
    columns = ("recall", "precision", "beat_ratio", "energy", "jerk", "frozen", "off_canvas")
    lines = [f"{'':>10}" + "".join(f"{name:>22}" if name in DIRECTIONS else f"{name:>11}" for name in columns)]
    for kind, row in result["rows"].items():
        cells = []
        for name in columns:
            if name in DIRECTIONS:
                share = f" = {row[f'{name}_excess']:.2f}" if f"{name}_excess" in row else ""
                text = f"{row[name]:.2f} ({row[f'{name}_chance']:.2f}){share}"
                cells.append(f"{text:>22}")
            else:
                cells.append(f"{row[name]:>11.3f}")
        lines.append(f"{kind:>10}" + "".join(cells))
    lines.append(
        "recall: music beats near a motion beat; precision: the reverse; (chance) = share of the truth's excess"
    )
    if result.get("by_minute", {}).get("energy"):
        for name in ("energy", "bones"):
            lines.append(f"{name:>10} by minute: " + " ".join(f"{v:+.1%}" for v in result["by_minute"][name]))
    return "\n".join(lines)
