"""Other ways to run the live choreographer's weights, a frame at a time: torch as it is, compiled, in whole int8
numbers, and ONNX Runtime. `xdancer bench choreographer` holds what is shipped (`runtime`, numpy) against them.

All are one pair of networks of fixed shapes: a frame's step over time, and a token's step within the frame.
"""

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.choreographer.flat.decoder import quantised
from xdancer.choreographer.network import rotated
from xdancer.pose.layout import TOKENS_PER_FRAME, TOKENS_PER_PART

if TYPE_CHECKING:
    from xdancer.choreographer.runtime import Layer, Runtime

Pick = Callable[[int, np.ndarray], int]


def norm(x: Tensor) -> Tensor:
    """RMSNorm, spelt out for ONNX."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class Block(nn.Module):
    """One layer of `runtime`, its matrices as Linear."""

    def __init__(self, layer: "Layer") -> None:
        super().__init__()
        self.heads, self.size = layer.heads, layer.size
        self.qkv, self.out, self.up, self.down = (
            linear(matrix) for matrix in (layer.qkv, layer.out, layer.up, layer.down)
        )

    def forward(self, x: Tensor, attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        """x (1, width); `attend` takes the new query, key and value (heads, size) and gives what is seen (1, width)."""
        q, k, v = self.qkv(norm(x)).view(3, self.heads, self.size)
        x = x + self.out(attend(q, k, v))
        return x + self.down(F.relu(self.up(norm(x))).square())


def linear(matrix: np.ndarray, bias: np.ndarray | None = None) -> nn.Linear:
    made = nn.Linear(matrix.shape[1], matrix.shape[0], bias=bias is not None).requires_grad_(False)
    made.weight.copy_(torch.from_numpy(matrix))
    if bias is not None:
        made.bias.copy_(torch.from_numpy(bias))
    return made


class FrameStep(nn.Module):
    """x (1, inputs), cos and sin (size / 2,), keys and values (layers, heads, window, size), oldest first, and what to
    add to the scores (window,) -> state (1, width), keys, values."""

    def __init__(self, runtime: "Runtime") -> None:
        super().__init__()
        self.stem = linear(runtime.stem, runtime.stem_bias)
        self.blocks = nn.ModuleList(Block(layer) for layer in runtime.layers)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        h, kept = self.stem(x), ([], [])  # type: tuple[Any, tuple[list[Tensor], list[Tensor]]]
        for i, block in enumerate(self.blocks):

            def attend(q: Tensor, k: Tensor, v: Tensor, i: int = i) -> Tensor:
                k = torch.cat([keys[i, :, 1:], rotated(k, cos, sin)[:, None]], dim=1)
                v = torch.cat([values[i, :, 1:], v[:, None]], dim=1)
                kept[0].append(k)
                kept[1].append(v)
                shares = ((k @ rotated(q, cos, sin)[..., None])[..., 0] + mask).softmax(-1)
                return (shares[:, None] @ v).reshape(1, -1)

            h = block(h, attend)
        return norm(h), torch.stack(kept[0]), torch.stack(kept[1])


class TokenStep(nn.Module):
    """base (1, small), told (2 D,), the turn (1,) int64, keys and values (layers, heads, 30, size) -> logits (512,),
    keys, values."""

    def __init__(self, runtime: "Runtime") -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(layer) for layer in runtime.depth_layers)
        vectors, squares = runtime.codes.vectors[runtime.order], runtime.squares[runtime.order]
        tables = {
            "mix": runtime.mix_new, "heads": runtime.heads, "biases": runtime.biases, "aims": runtime.aims,
            "sharpness": runtime.sharpness, "vectors": vectors, "squares": squares,
        }  # fmt: skip
        for name, table in tables.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(table)))

    def forward(
        self, base: Tensor, told: Tensor, turn: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        def own(table: Any) -> Tensor:
            return table.index_select(0, turn)[0]

        here = (torch.arange(TOKENS_PER_FRAME) == turn)[:, None]
        mask = torch.where(torch.arange(TOKENS_PER_FRAME) <= turn, 0.0, -1e9)
        x, kept = base + own(self.mix) @ told, ([], [])  # type: tuple[Any, tuple[list[Tensor], list[Tensor]]]
        for i, block in enumerate(self.blocks):

            def attend(q: Tensor, k: Tensor, v: Tensor, i: int = i) -> Tensor:
                k, v = torch.where(here, k[:, None], keys[i]), torch.where(here, v[:, None], values[i])
                kept[0].append(k)
                kept[1].append(v)
                shares = ((k @ q[..., None])[..., 0] + mask).softmax(-1)
                return (shares[:, None] @ v).reshape(1, -1)

            x = block(x, attend)
        x = norm(x)[0]
        shift = own(self.aims) @ x
        near = own(self.vectors) @ (told[len(told) // 2 :] + shift[:-1]) - own(self.squares)
        logits = own(self.heads) @ x + own(self.biases) + 2 * torch.exp(own(self.sharpness) + shift[-1]) * near
        return logits, torch.stack(kept[0]), torch.stack(kept[1])


class Candidate:
    """A runtime that chooses tokens by two functions of the shapes of `FrameStep` and `TokenStep`; holds no state."""

    def __init__(self, runtime: "Runtime", frame: Callable[..., Any], token: Callable[..., Any]) -> None:
        self._runtime, self._frame, self._token = runtime, frame, token

    def caches(self) -> list[Tensor]:
        layers, window = self._runtime.layers, self._runtime.window
        empty = torch.zeros(len(layers), layers[0].heads, window, layers[0].size)
        return [empty, empty.clone(), torch.full((window,), -1e9)]

    def frame(self, x: np.ndarray, row: int, caches: list[Tensor]) -> np.ndarray:
        angle = (row * self._runtime.frequency).astype(np.float64)
        cos, sin = (torch.from_numpy(f(angle).astype(np.float32)) for f in (np.cos, np.sin))
        caches[2] = torch.cat([caches[2][1:], torch.zeros(1)])
        h, caches[0], caches[1] = self._frame(torch.from_numpy(x)[None], cos, sin, *caches)
        return h[0].numpy()

    def tokens(self, h: np.ndarray, aim: np.ndarray, last: np.ndarray, pick: Pick) -> np.ndarray:
        run = self._runtime
        old = np.concatenate([run.codes.look_up(last)[0], np.repeat(aim, TOKENS_PER_PART, axis=0)], axis=1)[run.order]
        base = run.bridge @ h + run.bridge_bias + run.slots + (run.mix_old @ old[..., None])[..., 0]
        layer, width = run.depth_layers[0], run.codes.width
        keys = torch.zeros(len(run.depth_layers), layer.heads, TOKENS_PER_FRAME, layer.size)
        values, told = keys.clone(), np.zeros(2 * width, np.float32)
        out = np.empty(TOKENS_PER_FRAME, np.int16)
        for turn, slot in enumerate(run.order):
            if turn % TOKENS_PER_PART == 0:
                told[width:] = aim[slot // TOKENS_PER_PART]
            given = torch.from_numpy(base[turn])[None], torch.from_numpy(told), torch.tensor([turn])
            logits, keys, values = self._token(*given, keys, values)
            out[slot] = token = pick(slot, logits.numpy())
            told[:width] = run.codes.vectors[slot, token]
            told[width:] -= told[:width]
        return out


def candidates(runtime: "Runtime") -> dict[str, Candidate]:
    """Each by its name; without those that this machine cannot make."""
    frame, token = FrameStep(runtime).eval(), TokenStep(runtime).eval()
    made = {"torch": Candidate(runtime, frame, token)}
    made["torch, int8"] = Candidate(runtime, quantised(frame), quantised(token))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to move its exporter elsewhere one day
        with contextlib.suppress(ImportError):
            made["ONNX Runtime"] = Candidate(runtime, *(_onnx(net, runtime) for net in (frame, token)))
    made["torch, compiled"] = Candidate(runtime, torch.compile(frame), torch.compile(token))
    return made


def _onnx(network: nn.Module, runtime: "Runtime") -> Callable[..., list[Tensor]]:
    """The network exported and run by ONNX Runtime on one thread. Raises ImportError where onnx is missing."""
    import onnx  # noqa: F401
    import onnxruntime

    made = Candidate(runtime, network, network)
    if isinstance(network, FrameStep):
        half = len(runtime.frequency)
        example: tuple[Tensor, ...] = (torch.zeros(1, runtime.stem.shape[1]), torch.zeros(half), torch.zeros(half))
        example = (*example, *made.caches())
    else:
        layer = runtime.depth_layers[0]
        keys = torch.zeros(len(runtime.depth_layers), layer.heads, TOKENS_PER_FRAME, layer.size)
        told = torch.zeros(2 * runtime.codes.width)
        example = (torch.zeros(1, runtime.slots.shape[1]), told, torch.tensor([0]), keys, keys.clone())
    names = [f"x{k}" for k in range(len(example))]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "step.onnx"
        torch.onnx.export(network, example, str(path), input_names=names, dynamo=False, opset_version=17)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def step(*given: Tensor) -> list[Tensor]:
        feed = {name: tensor.numpy() for name, tensor in zip(names, given, strict=True)}
        return [torch.from_numpy(array) for array in session.run(None, feed)]

    return step
