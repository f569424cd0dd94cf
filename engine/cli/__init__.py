"""The `xdancer` command. Each command is a module of this package with `add_parser(subparsers)` and `run(args)`."""

import argparse
import importlib
import os
import sys

from xdancer.errors import UserError

COMMANDS = ("live", "render", "beats", "corpus", "train", "evaluate", "bench", "doctor")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xdancer", description="A live choreography engine.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"engine.cli.{name}").add_parser(subparsers)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0, or 2 for a user's mistake said in one line on stderr."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except UserError as error:
        print(f"xdancer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
