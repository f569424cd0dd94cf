"""`xdancer evaluate beats`: the live tracker against aubio (online), Essentia and librosa (offline), where beats are
known; with `--recordings` where they are not (`recordings.py`).

Protocol: MIDI songs with drums and a constant 4/4, rendered to audio, the synthesiser's delay taken off. Reference
beats are quarter notes folded by powers of two into 75 to 150 BPM; where a song had to be folded the better phase
counts. Downbeats: every fourth folded beat, the bar line first; where a song was folded the better of the bars that
hold it. The first 8 s count for nobody. Figures are mir_eval's: F at +-70 ms and AMLt, means over songs. Beside them
the median of how many seconds into a song the first of IN_A_ROW beats in a row is on the reference's.
"""

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xdancer.data.config import data_root
from xdancer.data.songs import Song, list_songs, render
from xdancer.errors import UserError
from xdancer.music.decode import mono
from xdancer.music.frame import SAMPLE_RATE
from xdancer.music.offline import track_offline, track_online

START = 8.0  # seconds that do not count
IN_A_ROW, NEAR = 4, 0.07  # beats within so many seconds of the reference's: locked
ON_GRID = 0.9  # share of onsets that must lie on the grid
PEER_RATE, PEER_WINDOW, PEER_HOP = 44_100, 1_024, 512  # aubio's own defaults

Tracker = Callable[[np.ndarray], dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", choices=("train", "val"), default="val", help="which songs (default: the held-out)")
    parser.add_argument("--songs", type=int, help="at most so many songs")
    parser.add_argument("--no-peers", action="store_true", help="measure the live tracker only")
    parser.add_argument("--recordings", type=Path, metavar="FOLDER", help="judge by two offline trackers instead")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="--recordings: draw the beats, PNG")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from tqdm import tqdm

    if args.recordings is not None:
        from xdancer.evaluation import recordings

        return recordings.run(args.recordings, args.pictures)

    songs = [s for s in list_songs(data_root()) if s.split == args.split and s.on_grid >= ON_GRID]
    songs = [s for s in songs if s.quarters_s[-1] > START + 10.0][: args.songs]
    if not songs:
        raise UserError(f"no {args.split} songs on the grid under {data_root()}; set XDANCER_DATA to the raw data")
    trackers: dict[str, Tracker] = {"xdancer (online)": track_online}
    if not args.no_peers:
        trackers |= peers()
    rows: list[dict[str, Any]] = []
    for song in tqdm(songs, unit="song"):
        samples = render(song)
        for name, track in trackers.items():
            judged = judge(track(samples), song, len(samples) / SAMPLE_RATE)
            rows.append({"song": song.name, "group": group(song), "tracker": name, "tempo": song.tempo, **judged})
    demo = judge_demo()
    groups = {
        g: summary([r for r in rows if r["group"] == g]) for g in ("4/4", "other") if any(r["group"] == g for r in rows)
    }
    return {"split": args.split, "groups": groups, "demo": demo, "songs": rows}


def peers() -> dict[str, Tracker]:
    """The offline ones, and aubio where it is installed (extra `peers`)."""
    return ({"aubio (online)": track_aubio} if _there("aubio") else {}) | offline_peers()


def offline_peers() -> dict[str, Tracker]:
    """librosa, and Essentia where it is installed (extra `peers`)."""
    return {"librosa (offline)": track_offline} | ({"Essentia (offline)": track_essentia} if _there("essentia") else {})


def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def track_aubio(samples: np.ndarray) -> dict[str, Any]:
    """Beats by aubio's tempo tracker in its default settings."""
    import aubio
    import librosa

    sound = librosa.resample(samples, orig_sr=SAMPLE_RATE, target_sr=PEER_RATE)
    tracker = aubio.tempo("default", PEER_WINDOW, PEER_HOP, PEER_RATE)
    beats = [
        float(tracker.get_last_s())
        for first in range(0, len(sound) - PEER_HOP + 1, PEER_HOP)
        if tracker(sound[first : first + PEER_HOP])
    ]
    return {"beats": beats, "downbeats": [], "tempo": 0.0}


def track_essentia(samples: np.ndarray) -> dict[str, Any]:
    """Beats by Essentia's multifeature tracker (J. Zapata et al.: "Multi-feature beat tracking", 2014)."""
    import essentia
    import essentia.standard
    import librosa

    essentia.log.infoActive = essentia.log.warningActive = False
    sound = librosa.resample(samples, orig_sr=SAMPLE_RATE, target_sr=PEER_RATE).astype(np.float32)
    tempo, beats, *_ = essentia.standard.RhythmExtractor2013(method="multifeature")(sound)
    return {"beats": [float(beat) for beat in beats], "downbeats": [], "tempo": float(tempo)}


def group(song: Song) -> str:
    return "4/4" if song.four_four and song.drums else "other"


def judge(found: dict[str, Any], song: Song, seconds: float) -> dict[str, float]:
    """F, AMLt and downbeat F of one song's beats: 0..1 each."""
    end = min(seconds, float(song.quarters_s[-1]) + 0.1)
    options = [within(reference, end) for reference in song.references()]
    beats = within(found["beats"], end)
    best = max(options, key=lambda reference: f_measure(reference, beats))
    downbeats = within(found["downbeats"], end)
    bars = [within(reference, end) for reference in bar_references(song)]
    return {
        "f": f_measure(best, beats),
        "amlt": max(amlt(reference, beats) for reference in options),
        "downbeat_f": max(f_measure(reference, downbeats) for reference in bars),
        "locked_s": min(locked(reference, np.asarray(found["beats"]), end) for reference in song.references()),
    }


def locked(reference: np.ndarray, beats: np.ndarray, end: float) -> float:
    """Seconds from the first of the reference's beats to the first of IN_A_ROW `beats` in a row that are on them; to
    the `end` where none are."""
    first = float(reference[0])
    beats = beats[(beats >= first - NEAR) & (beats <= end)]
    close = np.abs(beats[:, None] - reference[None]).min(axis=1) <= NEAR
    for k in range(len(close) - IN_A_ROW + 1):
        if close[k : k + IN_A_ROW].all():
            return max(0.0, float(beats[k]) - first)
    return end - first


def bar_references(song: Song) -> list[np.ndarray]:
    """Every fourth folded beat, in each phase that holds the song's bar lines."""
    first = float(song.downbeats_s[0])
    per_bar = 4 if song.tempo <= 150.0 else 4 * 2 ** int(np.ceil(np.log2(song.tempo / 150.0) - 1e-6))
    start = int(np.argmin(np.abs(song.quarters_s - first)))
    if song.tempo >= 75.0:
        return [song.quarters_s[start + shift :: per_bar] for shift in range(0, per_bar, 4)]
    beats = song.references()[0]
    return [beats[int(np.argmin(np.abs(beats - first))) :: 4]]


def within(times: Any, end: float) -> np.ndarray:
    times = np.asarray(times, np.float64)
    return times[(times >= START) & (times <= end)]


def f_measure(reference: np.ndarray, beats: np.ndarray) -> float:
    import mir_eval

    return float(mir_eval.beat.f_measure(reference, beats)) if len(reference) and len(beats) else 0.0


def amlt(reference: np.ndarray, beats: np.ndarray) -> float:
    import mir_eval

    return float(mir_eval.beat.continuity(reference, beats)[3]) if len(reference) > 1 and len(beats) > 1 else 0.0


def judge_demo() -> dict[str, float]:
    """The live tracker on the project's own demo track."""
    from xdancer.music.demo import demo_track

    track = demo_track()
    found, end = track_online(mono(track.samples)), len(track.samples) / SAMPLE_RATE
    return {
        "f": f_measure(within(track.beats_s, end), within(found["beats"], end)),
        "downbeat_f": f_measure(within(track.downbeats_s, end), within(found["downbeats"], end)),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Means over songs for each tracker."""
    out = {}
    for name in dict.fromkeys(r["tracker"] for r in rows):
        mine = [r for r in rows if r["tracker"] == name]
        out[name] = {key: float(np.mean([r[key] for r in mine])) for key in ("f", "amlt", "downbeat_f")}
        out[name]["locked_s"] = float(np.median([r["locked_s"] for r in mine]))
        out[name]["songs"] = len(mine)
    return out


def report(result: dict[str, Any]) -> str:
    if "recordings" in result:
        from xdancer.evaluation import recordings

        return recordings.report(result)
    lines = []
    for name, trackers in result["groups"].items():
        songs = next(iter(trackers.values()))["songs"]
        title = "drums and a constant 4/4" if name == "4/4" else "other metres, or no drums"
        lines.append(
            f"{int(songs)} {result['split']} songs, {title}".ljust(48)
            + f"{'F':>7}{'AMLt':>7}{'downbeat F':>12}{'locked, s':>11}"
        )
        for tracker, figures in trackers.items():
            scores = (
                f"{figures['f']:7.3f}{figures['amlt']:7.3f}{figures['downbeat_f']:12.3f}{figures['locked_s']:11.1f}"
            )
            lines.append(f"  {tracker:46}{scores}")
    lines.append(f"demo track, online: F {result['demo']['f']:.3f}, downbeat F {result['demo']['downbeat_f']:.3f}")
    return "\n".join(lines)
