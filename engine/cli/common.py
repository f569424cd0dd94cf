"""What the commands share: printing for machines or for people."""

import argparse
import json
from typing import Any


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def emit(result: dict[str, Any], text: str, as_json: bool) -> None:
    """Print `result` as one line of JSON, or `text`."""
    print(json.dumps(result) if as_json else text)
