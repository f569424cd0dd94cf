"""`Choreographer`: music and past dance in, token rows out, one frame at a time."""

from typing import Any

import numpy as np

from xdancer import weights
from xdancer.choreographer.block import TokenBlock
from xdancer.choreographer.stream import DanceStream
from xdancer.errors import UserError
from xdancer.pose.layout import N_PARTS, TOKENS_PER_PART, check_tokens
from xdancer.tokenizer import PoseTokenizer

__all__ = ["Choreographer", "DanceStream", "TokenBlock"]


class Choreographer:
    """An autoregressive model of 30 pose tokens a frame, after X-Dancer (arXiv 2502.17414, section 3.3), made causal.

    There are two kinds: the live one has two levels (`network`); `flat` is the paper's own. Each speaks the tokens of
    one vocabulary (`PoseTokenizer.vocabulary`). `styles` are the names that a stream's `style` takes; `start` is a pose
    to begin from, int16 (1, 5, 6).
    """

    def __init__(
        self, arrays: dict[str, np.ndarray], config: dict[str, Any], tokenizer: PoseTokenizer, sha256: str = ""
    ) -> None:
        self.config = config
        self.name: str = config["name"]
        self.sha256 = sha256
        self.tokenizer = tokenizer
        self.vocabulary: str = config["vocabulary"]
        self.styles: tuple[str, ...] = tuple(config["styles"])
        self.start = check_tokens(np.array(config["start"]).reshape(1, N_PARTS, TOKENS_PER_PART))
        self.sampling: dict[str, Any] = config["sampling"]
        self.flat: bool = config.get("model") == "flat"
        self.runtime: Any
        if self.flat:  # each kind is imported where it is used: the live one needs no torch
            from xdancer.choreographer.flat.decoder import Decoder

            self.runtime = Decoder.of(arrays, config)
        else:
            from xdancer.choreographer.runtime import Runtime

            self.runtime = Runtime(arrays, config)

    @classmethod
    def from_pretrained(cls, name: str = "live", tokenizer: PoseTokenizer | None = None) -> "Choreographer":
        """Load a shipped name ("live": the current version), a local folder or a hub id.

        `tokenizer`: whose tokens it is to speak; the shipped one where none is given. Raises UserError where it is
        missing, damaged, or made for another tokenizer.
        """
        folder = weights.find("choreographer", str(name))
        arrays, config = weights.load_arrays(folder)
        try:
            made = cls(arrays, config, tokenizer or PoseTokenizer.from_pretrained(), weights.sha256(folder))
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise UserError(f"{folder}: not a choreographer ({type(error).__name__}: {error})") from error
        made.check(made.tokenizer)
        return made

    def check(self, tokenizer: PoseTokenizer) -> None:
        """Raises UserError where the tokens of that tokenizer are not those this model was trained on."""
        if tokenizer.vocabulary != self.vocabulary:
            raise UserError(
                f"choreographer {self.name!r} was trained on the tokens {self.vocabulary[:12]}, not on those of "
                f"{tokenizer.name!r} ({tokenizer.vocabulary[:12]}); load its own tokenizer, or train it anew"
            )

    def stream(self, seed: int = 7, start: np.ndarray | None = None, lead: int = 0) -> DanceStream:
        """A dance of its own. `start`: tokens (1, 5, 6) of the pose to begin from; `lead`: frames, 0..60."""
        row = self.start if start is None else check_tokens(start, "start")
        if len(row) < 1:
            raise ValueError("start holds no token row")
        if self.flat:
            from xdancer.choreographer.flat.stream import FlatStream

            return FlatStream(self, seed, row, lead)
        from xdancer.choreographer.two_level import TwoLevelStream

        return TwoLevelStream(self, seed, row, lead)
