"""The trained models the package carries, and how one is found, read and written.

A model is a folder `<part>/<name>/` of `model.safetensors` (bfloat16), `config.json` and `MODEL_CARD.md`. Weights are
only ever read as safetensors, which cannot run code.
"""

import hashlib
import json
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdancer.errors import UserError

if TYPE_CHECKING:
    import torch

SHIPPED = Path(__file__).parent
MODEL = "model.safetensors"
CONFIG = "config.json"
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "U8": "u1", "BOOL": "?"}


def shipped(part: str) -> list[str]:
    """The names of the models of a part that the package carries."""
    return sorted(path.parent.name for path in (SHIPPED / part).glob(f"*/{CONFIG}"))


def find(part: str, name: str, files: Sequence[str] = (MODEL, CONFIG, "*.md")) -> Path:
    """The folder of a model: a shipped name ("live" is the newest `live-N`), a local folder, or a hub id "owner/model",
    of which `files` are fetched.

    Raises UserError where there is no such thing.
    """
    names = shipped(part)
    if name == "live":
        versions = [n for n in names if re.fullmatch(r"live-\d+", n)]
        if versions:
            return SHIPPED / part / max(versions, key=lambda n: int(n[5:]))
    if name in names:
        return SHIPPED / part / name
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if elsewhere(name):
        return _download(part, name, files)
    have = ", ".join(names) if names else "none"
    raise UserError(
        f"no {part} {name!r}: neither a shipped one (there are: {have}) nor a folder nor a hub id OWNER/MODEL"
    )


def elsewhere(name: str) -> bool:
    """Whether `find` would fetch this model from the hub."""
    return not Path(name).expanduser().is_dir() and bool(re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name))


def _download(part: str, name: str, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except Exception as error:  # the hub has many ways to fail; all of them mean that there is no such model to be had
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{part} {name!r} is not a folder here and could not be fetched from the hub ({reason})"
        ) from error


def config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model. Raises UserError where it is missing or damaged."""
    path = Path(folder) / CONFIG
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable model configuration ({error}); fetch the model again") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: not a model configuration; fetch the model again")
    return values


def load_arrays(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Weights as numpy arrays (floating ones as float32) and the configuration, without torch.

    Raises UserError where either file is missing or damaged.
    """
    path = Path(folder) / MODEL
    try:
        data = path.read_bytes()
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        body = memoryview(data)[8 + length :]
        arrays = {name: _array(entry, body) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise UserError(f"{path}: missing or damaged weights ({error}); fetch the model again") from error
    return arrays, config(folder)


def _array(entry: dict[str, Any], body: memoryview) -> np.ndarray:
    start, stop = entry["data_offsets"]
    if not 0 <= start <= stop <= len(body):
        raise ValueError("the file is cut short")
    raw = body[start:stop]
    if entry["dtype"] == "BF16":  # the upper half of a float32
        flat = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        flat = np.frombuffer(raw, _TYPES[entry["dtype"]])
        flat = flat.astype(np.float32) if flat.dtype.kind == "f" else flat.copy()
    return flat.reshape(entry["shape"])


def load(folder: Path) -> tuple[dict[str, "torch.Tensor"], dict[str, Any]]:
    """Weights as torch tensors (floating ones as float32) and the configuration.

    Raises UserError where either file is missing or damaged.
    """
    import torch

    arrays, values = load_arrays(folder)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, values


def save(folder: Path, state: dict[str, "torch.Tensor"], values: dict[str, Any]) -> None:
    """Write `model.safetensors` (floating tensors as bfloat16) and `config.json`; the folder is made."""
    import torch
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    small = {
        name: tensor.detach().to("cpu", torch.bfloat16 if tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, tensor in state.items()
    }
    save_file(small, folder / MODEL)
    (folder / MODEL).chmod(0o644)  # safetensors writes for the owner only
    (folder / CONFIG).write_text(json.dumps(values, indent=2) + "\n")


def sha256(folder: Path) -> str:
    """Checksum of the weights file, as other models and the wire name it. Raises UserError where it is missing."""
    path = Path(folder) / MODEL
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: no weights there ({error.strerror}); fetch the model again") from error
