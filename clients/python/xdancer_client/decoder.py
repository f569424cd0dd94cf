"""Token rows to poses, by the decoder that the show exports; and where that file is kept."""

import os
import re
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import onnxruntime

from xdancer_client.errors import DanceError

MOST = 64 * 1024 * 1024  # bytes of a decoder; the show's has one
PATIENCE = 10.0  # seconds until a server that says nothing is given up


class Decoder:
    """Decodes row by row, with the state that the network needs. `field` is how many rows a pose depends on, its own
    included: so many after a gap the pose is `exact`, bit for bit what one pass over the whole dance gives."""

    def __init__(self, path: Path | str) -> None:
        """Raises DanceError where the file is no decoder."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # tiny products: threads only get in the way
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            (past,) = (value.shape for value in self._session.get_inputs() if value.name == "state")
            self.field = int(past[0]) + 1
        except Exception as error:  # onnxruntime raises classes of its own that share no other base
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DanceError(f"{path}: not a decoder of token rows ({reason})") from None
        self._state: np.ndarray | None = None
        self._seen = 0

    @property
    def exact(self) -> bool:
        """Whether the pose of the newest row is the show's."""
        return self._seen >= self.field

    def reset(self) -> None:
        """A new dance begins: its first row counts as having stood there before, and is exact if it is frame 0's."""
        self._state, self._seen = None, 0

    def gap(self) -> None:
        """Rows are missing here."""
        self._seen = 0

    def push(self, row: np.ndarray, first: bool = False) -> np.ndarray:
        """The next row (5, 6) to its pose float32 (60, 3). `first`: it is the first of the dance."""
        tokens = np.asarray(row, np.int32)[None]
        if first or self._state is None:
            self._state = np.repeat(tokens, self.field - 1, axis=0)
            self._seen = self.field - 1 if first else 0
        pose, self._state = self._session.run(["pose", "next_state"], {"tokens": tokens, "state": self._state})
        self._seen += 1
        return np.asarray(pose[0])


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xdancer" / "decoders"


def fetch(url: str, sha256: str, folder: Path, token: str | None = None) -> Path:
    """The decoder of the tokenizer `sha256`, from `folder` or else from `url`, which is told the bearer `token`.

    Raises DanceError.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise DanceError(f"{sha256!r}: not the checksum of a tokenizer")
    kept = folder / f"{sha256}.onnx"
    if kept.is_file():
        return kept
    if not url.startswith(("http://", "https://")):  # it comes from a broker, which is not to have files read for it
        raise DanceError(f"{url}: a decoder is fetched by http or https")
    request = urllib.request.Request(url)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")  # for this server, not for another
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            data = answer.read(MOST + 1)
        if len(data) > MOST:
            raise DanceError(f"{url}: too large for a decoder")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as draft:
            part = Path(draft) / kept.name
            part.write_bytes(data)
            Decoder(str(part))  # what is no decoder must not stay
            part.replace(kept)
    except (OSError, ValueError) as error:
        raise DanceError(f"{url}: the decoder cannot be fetched ({getattr(error, 'reason', None) or error})") from None
    return kept
