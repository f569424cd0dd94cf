"""Small files that a show writes for the next one."""

import os
from pathlib import Path

from xdancer.errors import UserError


def replace(path: Path, text: str) -> None:
    """Write a file so that a power cut leaves the old one or the new one. Raises UserError where it cannot be."""
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
