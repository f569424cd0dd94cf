"""Beat activation: a small recurrent network that hears, 60 times a second, whether a beat or a downbeat lies here.

Two gated recurrent layers (K. Cho et al., EMNLP 2014; gates in the order and with the biases of torch.nn.GRU) over log
bands and their rise, as S. Böck and M. Schedl have it in "Enhanced beat tracking with context-aware neural networks",
DAFx 2011, but forward in time only; and over the chroma and its rise, for where the drums do not tell the bar the
harmony does, which changes with it (S. Durand et al., "Robust downbeat tracking using an ensemble of convolutional
networks", TASLP 2017). Here in numpy, one step at a time; `xdancer.training.beats` trains it in torch.
"""

import functools

import numpy as np

from xdancer.music.features import FLUX_LAG, N_BANDS, N_CHROMA
from xdancer.weights import find, load_arrays

STEP_HOPS = 2  # hops of the spectrum a step of the network
CHROMA_LAG = 12  # steps over which the chroma's rise is taken: 200 ms, so that the window has left the old chord
N_INPUTS = (1 + STEP_HOPS) * N_BANDS + 2 * N_CHROMA
SHUT = np.float32(80.0)  # below minus this a gate is 0 and its exponential would overflow


class BeatNet:
    """The network's weights, read only and shared, and the state of one stream."""

    def __init__(self, weights: dict[str, np.ndarray], lag: int) -> None:
        """`weights` by torch's names; `lag`: steps by which the activation comes after the beat's own step."""
        self.lag = lag
        self._weights = weights
        self._size = weights["second.weight_hh_l0"].shape[1]
        self.reset()

    @classmethod
    def from_pretrained(cls, name: str = "live") -> "BeatNet":
        """A shipped name, a local folder or a hub id. Raises UserError where weights are missing or damaged."""
        weights, lag = _load(name)
        return cls(weights, lag)

    def reset(self) -> None:
        self._before = np.zeros((FLUX_LAG, N_BANDS), np.float32)
        self._chroma = np.zeros((CHROMA_LAG, N_CHROMA), np.float32)
        self._hidden = [np.zeros(self._size, np.float32), np.zeros(self._size, np.float32)]

    def step(self, bands: np.ndarray, chroma: np.ndarray) -> tuple[float, float]:
        """Take log bands (STEP_HOPS, N_BANDS) and the frame's chroma (N_CHROMA,); return the probabilities of (a beat
        that is no downbeat, a downbeat)."""
        rows = np.concatenate([self._before, bands])
        rise = 2.0 * np.maximum(rows[FLUX_LAG:] - rows[:-FLUX_LAG], 0.0)
        self._before = rows[-FLUX_LAG:]
        fresh = np.maximum(chroma - self._chroma[0], 0.0)
        self._chroma = np.concatenate([self._chroma[1:], chroma[None]])
        w = self._weights
        x = w["inward.weight"] @ np.concatenate([bands[-1], rise.ravel(), chroma, fresh]) + w["inward.bias"]
        first = self._gru("first", 0, np.maximum(x, 0.0))
        second = self._gru("second", 1, first)
        logits = w["outward.weight"] @ (first + second) + w["outward.bias"]
        odds = np.exp(logits - logits.max())
        odds /= odds.sum()
        return float(odds[1]), float(odds[2])

    def _gru(self, name: str, layer: int, x: np.ndarray) -> np.ndarray:
        w, h, n = self._weights, self._hidden[layer], self._size
        fed = w[f"{name}.weight_ih_l0"] @ x + w[f"{name}.bias_ih_l0"]
        kept = w[f"{name}.weight_hh_l0"] @ h + w[f"{name}.bias_hh_l0"]
        gates = 1.0 / (1.0 + np.exp(np.minimum(-(fed[: 2 * n] + kept[: 2 * n]), SHUT)))
        new = np.tanh(fed[2 * n :] + gates[:n] * kept[2 * n :])
        self._hidden[layer] = new + gates[n:] * (h - new)
        return self._hidden[layer]


@functools.cache
def _load(name: str) -> tuple[dict[str, np.ndarray], int]:
    weights, config = load_arrays(find("beats", name))
    return {key: np.ascontiguousarray(value) for key, value in weights.items()}, int(config["lag"])
