"""The trained network in numpy, a frame at a time: on one core numpy's small products cost half of torch's."""

from typing import Any

import numpy as np

from xdancer.choreographer import plan
from xdancer.choreographer.inputs import QUICK, Codes, body, by_slot, posed
from xdancer.pose.layout import N_JOINTS, N_PARTS, TOKENS_PER_FRAME, TOKENS_PER_PART

Array = np.ndarray
FAINT = 0.2  # confidence at which a joint is aimed at where less was foretold: what is lost from sight is danced on
SPARE = 192  # rows a cache grows beyond its window before it is moved back


def norm(x: Array) -> Array:
    return x * (1.0 / np.sqrt(x @ x / x.size + 1e-6)).astype(np.float32)


def softmax(x: Array) -> Array:
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


class Layer:
    """Weights of one block."""

    def __init__(self, weights: dict[str, Array], prefix: str, heads: int) -> None:
        def read(name: str) -> Array:
            return np.ascontiguousarray(weights[f"{prefix}.{name}.weight"])

        self.heads = heads
        self.qkv, self.out, self.up, self.down = read("qkv"), read("out"), read("up"), read("down")
        self.size = self.out.shape[0] // heads
        self.qkv[: self.out.shape[0]] *= self.size**-0.5

    def finish(self, x: Array, seen: Array) -> Array:
        """Add what attention has seen, and the feed-forward part."""
        x = x + self.out @ seen
        up = np.maximum(self.up @ norm(x), 0.0)
        return x + self.down @ (up * up)


class Cache:
    """Keys and values of the last `window` rows, in one piece of memory."""

    def __init__(self, heads: int, size: int, window: int) -> None:
        self.keys = np.zeros((heads, window + SPARE, size), np.float32)
        self.values = np.zeros_like(self.keys)
        self.window = window
        self.stop = 0

    def add(self, key: Array, value: Array) -> tuple[Array, Array]:
        """Take one row (heads, size) each; return the keys and values to look at (heads, n, size)."""
        if self.stop == self.keys.shape[1]:
            for buffer in (self.keys, self.values):
                buffer[:, : self.window] = buffer[:, self.stop - self.window : self.stop].copy()
            self.stop = self.window
        self.keys[:, self.stop], self.values[:, self.stop] = key, value
        self.stop += 1
        span = slice(max(self.stop - self.window, 0), self.stop)
        return self.keys[:, span], self.values[:, span]


class Runtime:
    """All weights; holds no state."""

    def __init__(self, weights: dict[str, Array], config: dict[str, Any]) -> None:
        shape = config["shape"]
        self.window: int = shape["window"]
        self.liveliness = np.array(config["liveliness"])
        self.leanings = np.array(config["leanings"], np.float32)
        self.spread = weights["spread"]
        self.codes = Codes(weights["codebooks"], config["stages"], weights["spread"])
        self.stem, self.stem_bias = np.ascontiguousarray(weights["stem.weight"]), weights["stem.bias"]
        self.layers = [Layer(weights, f"blocks.{i}", shape["heads"]) for i in range(shape["layers"])]
        size = self.layers[0].size
        self.frequency = 1000.0 ** (-np.arange(0, size, 2) / size)
        self.forecast, self.forecast_bias = np.ascontiguousarray(weights["forecast.weight"]), weights["forecast.bias"]
        self.bridge, self.bridge_bias = np.ascontiguousarray(weights["bridge.weight"]), weights["bridge.bias"]
        self.slots = weights["slots"]
        mixers = weights["mixers"].transpose(0, 2, 1)  # (30, small, 4 D)
        half = mixers.shape[2] // 2
        self.mix_new, self.mix_old = np.ascontiguousarray(mixers[..., :half]), np.ascontiguousarray(mixers[..., half:])
        depth = range(shape["depth_layers"])
        self.depth_layers = [Layer(weights, f"depth_blocks.{i}", shape["depth_heads"]) for i in depth]
        self.heads, self.biases = weights["heads"], weights["biases"]
        self.aims = np.ascontiguousarray(weights["aims"].transpose(0, 2, 1))
        self.sharpness = weights["sharpness"]
        self.squares = np.square(self.codes.vectors).sum(-1) / 2
        self.order = by_slot(shape.get("order", range(N_PARTS)))
        self.plans = plan.Plans(*(weights[f"planner.{name}"] for name in ("mean", "basis", "books")))
        self.planner = [
            tuple(weights[f"planner.{layer}.{stage}.{kind}"] for layer in ("up", "down") for kind in ("weight", "bias"))
            for stage in range(plan.STAGES)
        ]

    def caches(self) -> list[Cache]:
        return [Cache(layer.heads, layer.size, self.window) for layer in self.layers]

    def frame(self, x: Array, row: int, caches: list[Cache]) -> Array:
        """One frame vector (inputs,) of row `row` -> state (width,)."""
        angle = row * self.frequency
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        h = self.stem @ x + self.stem_bias
        for layer, cache in zip(self.layers, caches, strict=True):
            q, k, v = (layer.qkv @ norm(h)).reshape(3, layer.heads, layer.size)
            keys, values = cache.add(_rotated(k, cos, sin), v)
            shares = softmax((keys @ _rotated(q, cos, sin)[..., None])[..., 0])
            h = layer.finish(h, (shares[:, None] @ values).ravel())
        return norm(h)

    def plan(self, h: Array, clock: Array, pick: Any) -> Array:
        """The next plan (SIZE,), after the state (width,) of the frame before and the clock of the frame it begins at.

        `pick(stage, logits (CODES,))` chooses each code.
        """
        so_far = np.zeros(plan.SIZE, np.float32)
        for stage, (up, up_bias, down, down_bias) in enumerate(self.planner):
            x = np.maximum(up @ np.concatenate([h, clock, plan.SCALE * so_far]) + up_bias, 0.0)
            so_far = so_far + self.plans.books[stage, pick(stage, down @ (x * x) + down_bias)]
        return so_far

    def foretell(self, h: Array, before: Array, earlier: Array) -> Array:
        """The next pose (60, 3) in the light of the poses one and two frames before."""
        here, _, moved = np.split(body(before, earlier), (2 * N_JOINTS, 3 * N_JOINTS))
        moving, certainty = np.split(self.forecast @ h + self.forecast_bias, [2 * N_JOINTS])
        place = here + (moved + moving) / QUICK
        return posed(place.reshape(N_JOINTS, 2), np.maximum(1 / (1 + np.exp(-certainty)), FAINT))

    def tokens(self, h: Array, aim: Array, last: Array, pick: Any) -> Array:
        """The 30 tokens of a frame: int16 (30,). `pick(slot, logits (512,))` chooses each.

        h (width,); aim: the latents aimed at (5, D); last: the row before (30,).
        """
        old = np.concatenate([self.codes.look_up(last)[0], np.repeat(aim, TOKENS_PER_PART, axis=0)], axis=1)[self.order]
        base = self.bridge @ h + self.bridge_bias + self.slots + (self.mix_old @ old[..., None])[..., 0]
        kept = [
            (np.empty((m.heads, TOKENS_PER_FRAME, m.size), np.float32),
             np.empty((m.heads, TOKENS_PER_FRAME, m.size), np.float32))
            for m in self.depth_layers
        ]  # fmt: skip
        out = np.empty(TOKENS_PER_FRAME, np.int16)
        width = self.codes.width
        told = np.zeros(2 * width, np.float32)  # the code chosen last; what is left of what the part aims at
        for turn, slot in enumerate(self.order):
            if turn % TOKENS_PER_PART == 0:
                told[width:] = aim[slot // TOKENS_PER_PART]
            x = base[turn] + self.mix_new[turn] @ told
            for layer, (keys, values) in zip(self.depth_layers, kept, strict=True):
                q, k, v = (layer.qkv @ norm(x)).reshape(3, layer.heads, layer.size)
                keys[:, turn], values[:, turn] = k, v
                shares = softmax((keys[:, : turn + 1] @ q[..., None])[..., 0])
                x = layer.finish(x, (shares[:, None] @ values[:, : turn + 1]).ravel())
            x = norm(x)
            shift = self.aims[turn] @ x
            near = self.codes.vectors[slot] @ (told[width:] + shift[:-1]) - self.squares[slot]
            logits = self.heads[turn] @ x + self.biases[turn] + 2 * np.exp(self.sharpness[turn] + shift[-1]) * near
            out[slot] = token = pick(slot, logits)
            told[:width] = self.codes.vectors[slot, token]
            told[width:] -= told[:width]
        return out


def _rotated(x: Array, cos: Array, sin: Array) -> Array:
    half = x.shape[1] // 2
    a, b = x[:, :half], x[:, half:]
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=1)
