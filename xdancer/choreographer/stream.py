"""A dance in the making: what the streams of all choreographers share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr

from xdancer.choreographer import inputs
from xdancer.choreographer.block import TokenBlock
from xdancer.music.frame import BeatState, MusicFrame
from xdancer.pose.layout import CODEBOOK_SIZE, N_PARTS, TOKENS_PER_FRAME, TOKENS_PER_PART


class DanceStream(ABC):
    """The state of one dance. The same seed, start, music and settings give the same tokens in any chunking.

    May be set between steps: `lead` (frames the dance runs ahead of the music), `temperature` (1: as tuned; lower is
    calmer), `energy` (0..1, None: as the music wills) and `style` (a name of `Choreographer.styles`, or None).
    """

    def __init__(self, sampling: dict[str, Any], seed: int, lead: int) -> None:
        self._sampling = sampling
        self.seed = int(seed)
        self.lead = lead
        self.temperature = 1.0
        self.energy: float | None = None
        self.style: str | None = None
        self._listener = inputs.Listener()
        self._row = 0  # the next
        self._music = -1  # newest music frame heard
        self._block = -1  # of the noise
        self._draws: list[np.ndarray] = []

    @property
    def lead(self) -> int:
        return self._lead

    @lead.setter
    def lead(self, frames: int) -> None:
        if not 0 <= int(frames) <= inputs.MAX_LEAD:
            raise ValueError(f"lead is {frames}, expected 0..{inputs.MAX_LEAD} frames")
        self._lead = int(frames)

    def step(self, frames: Sequence[MusicFrame]) -> TokenBlock:
        """Hear the next music frames, in order from 0; return the rows up to `lead` frames past the newest.

        The first call also returns rows 0 .. lead - 1, made from silence and the start pose. Raises ValueError on
        features that are none; the dance is then as it was before.
        """
        for frame in frames:
            inputs.check_features(frame)
        first, rows = self._row, []
        for frame in frames:
            if self._music < 0:
                rows += [self._make(inputs.silence(), BeatState(), self.lead) for _ in range(self.lead)]
            self._music += 1
            heard = self._listener.push(frame.features)
            while self._row <= self._music + self.lead:
                rows.append(self._make(heard, frame.beat, self._row - self._music))
        tokens = np.array(rows, np.int16).reshape(len(rows), N_PARTS, TOKENS_PER_PART)
        return TokenBlock(first, tokens)

    @abstractmethod
    def recall(self, frames: Sequence[MusicFrame], rows: np.ndarray, first: int) -> None:
        """Go on with a dance that another stream began; only before the first step. The next row is first + k.

        rows: tokens (k, 5, 6), k > 0, of that dance's rows first .. first + k - 1; frames: the music it heard last.
        Where both go back to 0 the dance goes on exactly as it would have. Rows of which the music is not known any
        more are remembered, but not thought over again.
        """

    @abstractmethod
    def _make(self, heard: np.ndarray, beat: BeatState, lead: int) -> np.ndarray:
        """The next token row (30,), from the music (N_MUSIC,) and beat `lead` frames before it."""

    def _picker(self) -> Callable[[int, np.ndarray], int]:
        """Draws tokens by temperature and top-p, with the Gumbel trick: the likeliest after adding noise to the logits.

        The noise depends on the seed and the row alone and drifts from one draw to the next over `coherence` rows.
        Each row is an honest sample, but rows in a row lean the same way: movement instead of jitter.
        """
        sampling = self._sampling
        heat = [self.temperature * t for t in sampling["temperature"]]  # by place in the part
        noise = self._noise(sampling["coherence"])

        def pick(slot: int, logits: np.ndarray) -> int:
            return drawn(logits, heat[slot % TOKENS_PER_PART], sampling["top_p"], noise[slot])

        return pick

    def _noise(self, span: int) -> np.ndarray:
        """Gumbel noise of this row (30, 512)."""
        block, place = divmod(self._row, span)
        if block != self._block:
            self._block = block
            self._draws = [
                np.random.default_rng((self.seed, k)).standard_normal((TOKENS_PER_FRAME, CODEBOOK_SIZE), np.float32)
                for k in (block, block + 1)
            ]
        angle = np.pi / 2 * place / span
        normal = np.cos(angle) * self._draws[0] + np.sin(angle) * self._draws[1]
        return -np.log(-np.log(np.clip(ndtr(normal), 1e-7, 1 - 1e-7)))


def drawn(logits: np.ndarray, heat: float, top_p: float, noise: np.ndarray) -> int:
    """The likeliest of the logits (N,) at temperature `heat` plus Gumbel noise (N,), among those that make up `top_p`
    of the whole; without heat the likeliest."""
    if heat <= 0:
        return int(logits.argmax())
    scaled = (logits - logits.max()) / heat
    ranked = np.sort(np.exp(scaled))[::-1]
    total = np.cumsum(ranked)
    last = min(int(np.searchsorted(total, top_p * total[-1])), len(total) - 1)
    return int(np.where(scaled >= np.log(ranked[last]) - 1e-6, scaled + noise, -np.inf).argmax())
