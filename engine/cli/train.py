"""`xdancer train`: train a model; resumable."""

import argparse
import importlib

from engine.cli.common import add_json, emit

MODELS = ("beats", "tokenizer", "choreographer", "renderer")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("train", help="train a model; resumable")
    whats = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for what in MODELS:
        sub = whats.add_parser(what)
        importlib.import_module(f"xdancer.training.{what}").add_arguments(sub)
        sub.add_argument("settings", metavar="key=value", nargs="*", help="any key of the configuration")
        add_json(sub)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    module = importlib.import_module(f"xdancer.training.{args.what}")
    result = module.run(args)
    emit(result, module.report(result), args.json)
    return 0
