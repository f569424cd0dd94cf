"""`xdancer beats`: beat and downbeat times of an audio file."""

import argparse
import sys
from typing import Any

from engine.cli.common import add_json, emit


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("beats", help="beat and downbeat times of an audio file")
    parser.add_argument("audio", metavar="AUDIO", help="any file FFmpeg reads")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--online", action="store_true", help="the live tracker, which knows no future (default)")
    mode.add_argument("--offline", action="store_true", help="librosa's tracker over the whole file")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from xdancer.music.decode import decode_audio, mono
    from xdancer.music.offline import track_offline, track_online

    samples = mono(decode_audio(args.audio))
    if args.offline:
        result = track_offline(samples)
    else:
        with tqdm(total=len(samples) / 48_000, unit="s", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
            result = track_online(samples, progress=bar.update)
    emit(result, text(result), args.json)
    return 0


def text(result: dict[str, Any]) -> str:
    """One line a beat, downbeats marked, and the tempo."""
    downbeats = set(result["downbeats"])
    lines = [f"{beat:9.3f}{'  downbeat' if beat in downbeats else ''}" for beat in result["beats"]]
    return "\n".join([*lines, f"{len(lines)} beats, {result['tempo']:.1f} BPM"])
