"""`xdancer soak`: does it hold for a night?"""

import argparse
import json
import os
import sys

from engine.cli.common import add_json


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("soak", help="a show with everything that goes wrong in a night; does it hold?")
    parser.add_argument("--minutes", type=float, default=15.0, help="how long, at least 2 (default 15)")
    parser.add_argument("--fast", action="store_true", help="in virtual time: minutes of the show, not of the clock")
    parser.add_argument("settings", metavar="key=value", nargs="*", help="any key of the configuration")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0, or 1 where a promise was not kept."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from engine.soak import fast, real
    from engine.soak.report import text
    from xdancer.errors import UserError

    if args.minutes < 2:
        raise UserError("--minutes: expected at least 2; memory says nothing in less")
    result = (fast if args.fast else real).run(args.minutes, args.settings, lambda line: print(line, file=sys.stderr))
    if args.json:
        print(json.dumps(result))
    else:
        print(text(result))
    return 0 if result["held"] else 1
