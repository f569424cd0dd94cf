"""`PoseTokenizer`: poses to tokens and back, at once or frame by frame."""

import hashlib
from typing import Any

import numpy as np

from xdancer import weights
from xdancer.errors import UserError
from xdancer.pose.layout import N_JOINTS, N_PARTS, TOKENS_PER_PART, check_pose, check_tokens
from xdancer.tokenizer.runtime import CHUNK, Runtime
from xdancer.tokenizer.search import Search

__all__ = ["PoseStream", "PoseTokenizer"]


class PoseTokenizer:
    """The five-part, confidence-aware VQ-VAE of X-Dancer (arXiv 2502.17414, section 3.2), causal, 30 tokens a frame.

    A frame's pose depends on its own token row and those before it; over encoder and decoder it depends on
    `receptive_field` frames, its own included. A decoder that joins mid-stream is exact after that many rows.

    `sha256` is the checksum of the whole file; `vocabulary` that of the codebooks, which say what the tokens stand for.
    What was trained on tokens names their vocabulary, so that a tokenizer gone on from this one leaves it as it is.
    """

    def __init__(self, arrays: dict[str, np.ndarray], config: dict[str, Any], sha256: str = "") -> None:
        self.config = config
        self.name: str = config["name"]
        self.sha256 = sha256
        self.vocabulary = _vocabulary(arrays)
        self.receptive_field: int = config["receptive_field"]
        self.arrays = arrays
        self.runtime = Runtime(arrays, config)

    @classmethod
    def from_pretrained(cls, name: str = "live") -> "PoseTokenizer":
        """Load a shipped name ("live": the current version), a local folder or a hub id.

        Raises UserError where it is missing or damaged.
        """
        folder = weights.find("tokenizer", str(name))
        arrays, config = weights.load_arrays(folder)
        try:
            return cls(arrays, config, weights.sha256(folder))
        except (KeyError, TypeError, AssertionError) as error:
            raise UserError(f"{folder}: not a pose tokenizer ({type(error).__name__}: {error})") from error

    def encode(self, pose: np.ndarray, search: bool = False) -> np.ndarray:
        """Poses float32 (T, 60, 3), px and confidence, to tokens int16 (T, 5, 6), 0..511: the codes nearest to the
        encoder's latents or, with `search`, at twenty times the cost, those that decode to the nearest poses.

        The first pose counts as having stood there before. Raises ValueError where shape or values are wrong.
        """
        return self.stream(search).encode(pose)

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens int16 (T, 5, 6) to poses float32 (T, 60, 3), px and confidence; the first row counts as having stood
        there before. Raises ValueError where shape or values are wrong."""
        return self.stream().decode(tokens)

    def stream(self, search: bool = False) -> "PoseStream":
        """A state of its own to encode, as `encode` has it, and decode in pieces."""
        return PoseStream(self.runtime, search)

    def embed(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens (T, 5, 6) to the code vectors they stand for: float32 (T, 5, D), D numbers a part."""
        return self.runtime.embed(check_tokens(tokens))


class PoseStream:
    """Encodes and decodes in pieces of any length, 0 included: the pieces joined are what one pass gives.

    The state of either direction is its last input rows, and that of a search, no more.
    """

    def __init__(self, runtime: Runtime, search: bool = False) -> None:
        self._runtime = runtime
        self._search = Search(runtime) if search else None
        self._poses = np.empty((0, N_JOINTS, 3), dtype=np.float32)
        self._rows = np.empty((0, N_PARTS, TOKENS_PER_PART), dtype=np.int16)

    def encode(self, pose: np.ndarray) -> np.ndarray:
        """The next poses (T, 60, 3) to their tokens (T, 5, 6); ValueError where shape or values are wrong."""
        pose = check_pose(pose)
        out = [np.empty((0, N_PARTS, TOKENS_PER_PART), dtype=np.int16)]
        for start in range(0, len(pose), CHUNK):
            rows, self._poses = _with_past(self._poses, pose[start : start + CHUNK], self._runtime.encoder_field - 1)
            out.append((self._search or self._runtime).encode(rows))
        return np.concatenate(out)

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """The next token rows (T, 5, 6) to their poses (T, 60, 3); ValueError where shape or values are wrong."""
        tokens = check_tokens(tokens)
        out = [np.empty((0, N_JOINTS, 3), dtype=np.float32)]
        for start in range(0, len(tokens), CHUNK):
            rows, self._rows = _with_past(self._rows, tokens[start : start + CHUNK], self._runtime.decoder_field - 1)
            out.append(self._runtime.decode(rows))
        return np.concatenate(out)


def _vocabulary(arrays: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(np.ascontiguousarray(arrays["quantiser.codebooks"], np.float32).tobytes()).hexdigest()


def _with_past(past: np.ndarray, new: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """`new` rows behind the `length` rows before them, and the past of the rows to come."""
    if not len(past):
        past = np.repeat(new[:1], length, axis=0)
    rows = np.concatenate([past, new])
    return rows, rows[len(rows) - length :]
