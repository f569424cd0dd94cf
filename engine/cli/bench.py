"""`xdancer bench`: speed and memory of each stage, beside a named peer."""

import argparse
import importlib
from pathlib import Path

from engine.cli.common import add_json, emit

STAGES = ("music", "tokenizer", "choreographer", "flat", "renderer", "diffusion", "sizes", "mqtt", "web", "live")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("bench", help="speed and memory of each stage, ratios against a named peer")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; all where none is named")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure live and web (default 60)")
    parser.add_argument(
        "--picture", type=Path, metavar="PNG", help="of the live show: also keep a picture of the viewer"
    )
    parser.add_argument(
        "--pace", type=float, default=1.0, help="web: of real time, less where the machine cannot keep up (default 1)"
    )
    parser.add_argument(
        "--device", default="cpu", choices=("cpu", "cuda"), help="where flat and sizes run (default cpu)"
    )
    parser.add_argument("--flat", metavar="NAME", help="flat: trained weights (default GPT-2 small's shape, untrained)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    results, texts = {}, []
    for stage in args.stages or STAGES:
        if stage not in STAGES:
            from xdancer.errors import UserError

            raise UserError(f"bench: no stage {stage!r}; there are {', '.join(STAGES)}")
        module = importlib.import_module(f"engine.bench.{stage}")
        results[stage] = module.run(args)
        texts.append(f"{stage}\n{module.report(results[stage])}")
    emit(results, "\n\n".join(texts), args.json)
    return 0
