"""`xdancer corpus`: motion and music to training data."""

import argparse
from pathlib import Path

from engine.cli.common import add_json, emit


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("corpus", help="build or pack the training corpus")
    whats = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    build = whats.add_parser("build", help="raw motion and music to a corpus; resumable")
    build.add_argument("config", type=Path)
    build.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    build.add_argument(
        "--exclude", action="append", default=[], metavar="SOURCE", help="leave a source out; repeatable"
    )
    build.add_argument("--seed", type=int, help="instead of the one in the configuration")
    build.add_argument("--stages", help="only these, of bodies,motion,songs,dances,sheet,preview")
    add_json(build)
    pack = whats.add_parser("pack", help="a small form for training elsewhere, at most 26 MiB")
    pack.add_argument("folder", type=Path, metavar="DIR")
    pack.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    add_json(pack)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    return {"build": _build, "pack": _pack}[args.what](args)


def _build(args: argparse.Namespace) -> int:
    from xdancer.config import load_config
    from xdancer.data import corpus
    from xdancer.data.config import CorpusConfig

    chosen = load_config(args.config, CorpusConfig)
    if args.seed is not None:
        chosen = chosen.model_copy(update={"seed": args.seed})
    stages = args.stages.split(",") if args.stages else None
    manifest = corpus.build(chosen, args.out, args.exclude, stages)
    lines = [f"{'source':20}{'clips':>6}{'held out':>10}{'minutes':>9}{'share':>8}"]
    for name, entry in manifest["sources"].items():
        lines.append(
            f"{name:20}{entry['clips']:6}{entry['val_clips']:10}{entry['minutes']:9.2f}{100 * entry['share']:7.1f}%"
        )
    people = manifest["people"]
    lines.append(
        f"{len(people['train'])} people and {len(people['val'])} held out; "
        f"{sum(manifest['songs'].values())} songs; {sum(manifest['dances'].values())} dances, "
        f"{manifest['danced_minutes']:.0f} min; in {args.out}"
    )
    emit(manifest, "\n".join(lines), args.json)
    return 0


def _pack(args: argparse.Namespace) -> int:
    from xdancer.data.pack import pack

    result = pack(args.folder, args.out)
    emit(
        result,
        f"{args.out}: {result['bytes'] / 2**20:.1f} MiB, {result['clips']} clips, {result['people']} people",
        args.json,
    )
    return 0
