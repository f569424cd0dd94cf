"""The `xdancer` command. Each command is a module of this package with `add_parser(subparsers)` and `run(args)`."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from xdancer.errors import UserError

COMMANDS = ("live", "render", "beats", "corpus", "train", "finetune", "evaluate", "bench", "soak", "doctor")


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does it, but `key=value` may stand anywhere among the options of a command with `settings`."""
        parsed, extras = super().parse_known_args(args, namespace)
        if hasattr(parsed, "settings"):
            loose = [extra for extra in extras if "=" in extra and not extra.startswith("-")]
            parsed.settings = [*parsed.settings, *loose]
            extras = [extra for extra in extras if extra not in loose]
        return parsed, extras


def build_parser(names: tuple[str, ...] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of the commands `names`."""
    parser = Parser(prog="xdancer", description="A live choreography engine.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in names:
        importlib.import_module(f"engine.cli.{name}").add_parser(subparsers)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0, or 2 for a user's mistake said in one line on stderr."""
    argv = sys.argv[1:] if argv is None else argv
    # Only what is asked for is imported: a show starts sooner without the training commands.
    names = tuple(argv[:1]) if argv and argv[0] in COMMANDS else COMMANDS
    try:
        args = build_parser(names).parse_args(argv)
        return int(args.run(args) or 0)
    except UserError as error:
        print(f"xdancer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
