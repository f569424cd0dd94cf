"""`xdancer finetune`: teach a trained model a choreography or a style; resumable."""

import argparse

from engine.cli.common import add_json, emit
from xdancer.training import finetune


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("finetune", help="teach a trained model a choreography or a style; resumable")
    whats = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    sub = whats.add_parser("choreographer")
    finetune.add_arguments(sub)
    sub.add_argument("settings", metavar="key=value", nargs="*", help="any key of the configuration")
    add_json(sub)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    result = finetune.run(args)
    emit(result, finetune.report(result), args.json)
    return 0
