"""The trained network in numpy: a frame costs well under a millisecond, and the stage needs no torch."""

from typing import Any

import numpy as np

from xdancer.pose.layout import CODE_DIM, N_PARTS, PARTS, TOKENS_PER_PART
from xdancer.tokenizer import frame

CHUNK = 1024  # rows worked on at a time, so that an hour of dance needs no more memory than a minute

Weights = dict[str, np.ndarray]


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-np.clip(x, -60, 60)))


class Stack:
    """Stem, residual blocks, head and straight line over rows: (T, inputs) -> (T - field + 1, outputs)."""

    def __init__(self, weights: Weights, prefix: str, dilations: list[int]) -> None:
        def layer(name: str) -> tuple[np.ndarray, np.ndarray]:
            return np.ascontiguousarray(weights[f"{prefix}.{name}.weight"].T), weights[f"{prefix}.{name}.bias"]

        self.stem, self.head = layer("stem"), layer("head")
        self.line = np.ascontiguousarray(weights[f"{prefix}.line.weight"].T)
        self.blocks = [(layer(f"taps.{i}"), layer(f"mix.{i}"), d) for i, d in enumerate(dilations)]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        newest = x
        x = _taps(x, *self.stem, 1)
        for taps, (mix, bias), dilation in self.blocks:
            y = silu(_taps(silu(x), *taps, dilation)) @ mix + bias
            x = x[len(x) - len(y) :] + y
        return silu(x) @ self.head[0] + self.head[1] + newest[len(newest) - len(x) :] @ self.line


def _taps(x: np.ndarray, matrix: np.ndarray, bias: np.ndarray, dilation: int) -> np.ndarray:
    count = len(matrix) // x.shape[1]
    if count == 1:
        return x @ matrix + bias
    left = len(x) - (count - 1) * dilation
    return np.concatenate([x[i * dilation : i * dilation + left] for i in range(count)], axis=1) @ matrix + bias


class Runtime:
    """Encoders, codebooks and decoder of one tokenizer; holds no state."""

    def __init__(self, weights: Weights, config: dict[str, Any]) -> None:
        shape = config["shape"]
        self.stages: int = shape["stages"]
        self.groups = TOKENS_PER_PART // self.stages
        self.encoder_field: int = config["encoder_field"]
        self.decoder_field: int = config["decoder_field"]
        self.single: bool = shape.get("single", False)  # one encoder sees the whole body
        encoders = range(1 if self.single else N_PARTS)
        self.encoders = [Stack(weights, f"encoders.{n}", shape["encoder_dilations"]) for n in encoders]
        self.decoder = Stack(weights, "decoder", shape["decoder_dilations"])
        books = weights["quantiser.codebooks"]
        assert len(PARTS) == len(books)
        self.books = books  # (5, 6, 512, 6)
        self._halves = 0.5 * np.square(books).sum(-1)
        self._part = np.arange(N_PARTS)[:, None]
        self._slot = np.arange(TOKENS_PER_PART)[None]

    def embed(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens (T, 5, 6) -> the latents they stand for (T, 5, groups * 6)."""
        chosen = self.books[self._part, self._slot, tokens.astype(np.int64)]
        steps = chosen.reshape(len(tokens), N_PARTS, self.stages, self.groups * CODE_DIM)
        return steps.sum(2)

    def embed_part(self, part: int, tokens: np.ndarray) -> np.ndarray:
        """Tokens (N, 6) of one part -> the latents they stand for (N, groups * 6)."""
        chosen = self.books[part, np.arange(TOKENS_PER_PART), tokens.astype(np.int64)]
        return chosen.reshape(len(tokens), self.stages, self.groups * CODE_DIM).sum(1)

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """Token rows (T + decoder_field - 1, 5, 6) -> poses (T, 60, 3)."""
        return frame.finished(self.decoder(self.embed(tokens).reshape(len(tokens), -1)))

    def encode(self, pose: np.ndarray) -> np.ndarray:
        """Poses (T + encoder_field - 1, 60, 3) -> tokens (T, 5, 6)."""
        return self.quantise(self.latents(pose))

    def latents(self, pose: np.ndarray) -> np.ndarray:
        """Poses (T + encoder_field - 1, 60, 3) -> latents (T, 5, groups * 6), not quantised."""
        parts = frame.inputs(pose)
        seen = [np.concatenate(parts, axis=-1)] if self.single else parts
        latents = [encoder(x) for encoder, x in zip(self.encoders, seen, strict=True)]
        return np.concatenate(latents, axis=-1).reshape(len(latents[0]), N_PARTS, -1)

    def quantise(self, latents: np.ndarray) -> np.ndarray:
        """Latents (T, 5, groups * 6) -> tokens (T, 5, 6): the nearest codes, step by step."""
        rest = latents.reshape(len(latents), N_PARTS, self.groups, CODE_DIM).transpose(1, 2, 0, 3)  # (5, g, T, 6)
        tokens = []
        for stage in range(self.stages):
            slots = slice(stage * self.groups, (stage + 1) * self.groups)
            books = self.books[:, slots]
            index = (self._halves[:, slots, None] - rest @ books.swapaxes(-1, -2)).argmin(-1)
            rest = rest - np.take_along_axis(books, index[..., None], axis=2)
            tokens.append(index)
        return np.concatenate(tokens, axis=1).transpose(2, 0, 1).astype(np.int16)
