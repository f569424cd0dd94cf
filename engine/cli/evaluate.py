"""`xdancer evaluate`: score a model on held-out data."""

import argparse
import importlib

from engine.cli.common import add_json, emit

SUBJECTS = ("beats", "tokenizer", "choreographer", "bits", "renderer")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("evaluate", help="score a model on held-out data")
    whats = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for what in SUBJECTS:
        sub = whats.add_parser(what)
        importlib.import_module(f"xdancer.evaluation.{what}").add_arguments(sub)
        add_json(sub)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    module = importlib.import_module(f"xdancer.evaluation.{args.what}")
    result = module.run(args)
    emit(result, module.report(result), args.json)
    return 0
