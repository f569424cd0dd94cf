"""Checkpoints in parts, small enough to be carried where files may not be large."""

import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from xdancer.errors import UserError

PART = 15 * 2**20  # bytes of a part at most
MOST = 8  # parts of the shipped size's checkpoint; the size of `live` is chosen so
INDEX = "index.json"
FOLDER = "checkpoint-{:08d}"


def save(run: Path, values: dict[str, Any], number: int, part: int = PART) -> Path:
    """Write `values` as checkpoint `number` of a run, in parts, and remove those before it.

    A kill at any moment leaves a checkpoint whole: the index is written last, and old ones go after that.
    """
    buffer = io.BytesIO()
    torch.save(values, buffer)
    content = buffer.getbuffer()
    folder = run / FOLDER.format(number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names: list[str] = []
    for start in range(0, len(content), part):
        names.append(f"part-{len(names):02d}.bin")
        (folder / names[-1]).write_bytes(content[start : start + part])
    index = {"parts": names, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    draft = folder / (INDEX + ".draft")
    draft.write_text(json.dumps(index))
    os.replace(draft, folder / INDEX)
    for other in run.glob(FOLDER.format(0)[:-8] + "*"):
        if other != folder:
            shutil.rmtree(other)
    return folder


def load(run: Path) -> dict[str, Any] | None:
    """The newest whole checkpoint of a run, or None where there is none. Raises UserError where it is damaged."""
    folders = sorted(path.parent for path in run.glob(f"{FOLDER.format(0)[:-8]}*/{INDEX}"))
    if not folders:
        return None
    folder = folders[-1]
    try:
        index = json.loads((folder / INDEX).read_text())
        content = b"".join((folder / name).read_bytes() for name in index["parts"])
        if hashlib.sha256(content).hexdigest() != index["sha256"]:
            raise ValueError("a part is not the one that was written")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{folder}: damaged checkpoint ({reason}); fetch its parts again, or remove it") from error
