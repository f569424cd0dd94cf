"""The decoder as an ONNX file, for pages and programs without Python: token rows and state in, poses and state out.

`python -m xdancer.tokenizer.export FOLDER` writes FOLDER/decoder.onnx; needs the package onnx (the `dev` extra).

Inputs: `tokens` int32 (T, 5, 6), T >= 1, and `state` int32 (decoder_field - 1, 5, 6), the rows before them, oldest
first; before the first frame, its own row over and over. Outputs: `pose` float32 (T, 60, 3) and `next_state`.
"""

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from xdancer import weights
from xdancer.errors import UserError
from xdancer.pose.layout import CODE_DIM, CODEBOOK_SIZE, N_JOINTS, N_PARTS, SEEN, TOKENS_PER_FRAME, TOKENS_PER_PART
from xdancer.tokenizer import frame

FILE = "decoder.onnx"
OPSET, IR_VERSION = 17, 8
END = 2**31 - 1


class Graph:
    """Collects nodes and constants; `add` names the result of a node after its place."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, array: np.ndarray) -> str:
        """Stored as float16, which holds nearly all bfloat16 weights exactly in half the space of float32."""
        return self.add("Cast", self.constant(array.astype(np.float16)), to=1)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def slice(self, x: str, start: int, stop: int, axis: int) -> str:
        return self.add("Slice", x, self.ints(start), self.ints(stop), self.ints(axis))

    def silu(self, x: str) -> str:
        return self.add("Mul", x, self.add("Sigmoid", x))


def export(folder: Path) -> Path:
    """Write `decoder.onnx` beside the weights in `folder`; its path. Raises UserError where onnx is not installed."""
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise UserError("exporting needs the package onnx: pip install onnx") from error
    arrays, config = weights.load_arrays(folder)
    graph = Graph()
    rows = graph.add("Concat", "state", "tokens", axis=0)
    outputs = _stack(graph, _embedded(graph, rows, arrays, config), arrays, config["shape"]["decoder_dilations"])
    pose = _placed(graph, outputs)
    past = config["decoder_field"] - 1
    state = graph.slice(rows, -past, END, 0)
    graph.nodes.append(helper.make_node("Identity", [pose], ["pose"]))
    graph.nodes.append(helper.make_node("Identity", [state], ["next_state"]))
    row = [N_PARTS, TOKENS_PER_PART]
    made = helper.make_graph(
        graph.nodes,
        "pose decoder",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT32, ["T", *row]),
            helper.make_tensor_value_info("state", TensorProto.INT32, [past, *row]),
        ],
        [
            helper.make_tensor_value_info("pose", TensorProto.FLOAT, ["T", N_JOINTS, 3]),
            helper.make_tensor_value_info("next_state", TensorProto.INT32, [past, *row]),
        ],
        graph.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.producer_name = "xdancer"
    onnx.checker.check_model(model)
    path = Path(folder) / FILE
    path.write_bytes(model.SerializeToString())
    return path


def _embedded(graph: Graph, rows: str, arrays: dict[str, np.ndarray], config: dict[str, Any]) -> str:
    """Token rows (N, 5, 6) -> latents (1, latents, N)."""
    books = graph.weight(arrays["quantiser.codebooks"].reshape(-1, CODE_DIM))
    first = np.arange(TOKENS_PER_FRAME, dtype=np.int32).reshape(N_PARTS, TOKENS_PER_PART) * CODEBOOK_SIZE
    codes = graph.add("Gather", books, graph.add("Add", rows, graph.constant(first)), axis=0)
    stages = config["shape"]["stages"]
    steps = graph.add("Reshape", codes, graph.ints(-1, N_PARTS, stages, TOKENS_PER_PART // stages * CODE_DIM))
    summed = graph.add("ReduceSum", steps, graph.ints(2), keepdims=0)
    flat = graph.add("Reshape", summed, graph.ints(1, -1, N_PARTS * TOKENS_PER_PART // stages * CODE_DIM))
    return graph.add("Transpose", flat, perm=[0, 2, 1])


def _stack(graph: Graph, x: str, arrays: dict[str, np.ndarray], dilations: list[int]) -> str:
    """`runtime.Stack` over (1, C, N)."""

    def layer(x: str, name: str, inputs: int, dilation: int = 1) -> str:
        matrix = arrays[f"decoder.{name}.weight"]
        kernel = matrix.reshape(len(matrix), -1, inputs).transpose(0, 2, 1)
        tensors = [graph.weight(kernel)]
        if f"decoder.{name}.bias" in arrays:
            tensors.append(graph.weight(arrays[f"decoder.{name}.bias"]))
        return graph.add("Conv", x, *tensors, dilations=[dilation], kernel_shape=[kernel.shape[2]])

    width, latents = len(arrays["decoder.stem.weight"]), arrays["decoder.line.weight"].shape[1]
    eaten = 2 * (1 + sum(dilations))
    newest = graph.slice(x, eaten, END, 2)
    x = layer(x, "stem", latents)
    for i, dilation in enumerate(dilations):
        y = layer(graph.silu(x), f"taps.{i}", width, max(dilation, 1))
        y = layer(graph.silu(y), f"mix.{i}", width)
        x = graph.add("Add", graph.slice(x, 2 * dilation, END, 2), y)
    return graph.add("Add", layer(graph.silu(x), "head", width), layer(newest, "line", latents))


def _placed(graph: Graph, outputs: str) -> str:
    """`frame.finished` over (1, 180, T)."""
    rows = graph.add("Reshape", graph.add("Transpose", outputs, perm=[0, 2, 1]), graph.ints(-1, N_JOINTS, 3))
    joints = graph.add("Gather", rows, graph.constant(frame.PLACE.astype(np.int64)), axis=1)
    local = graph.add("Mul", graph.slice(joints, 0, 2, 2), graph.constant(frame.SCALE))
    body = graph.add("Add", graph.slice(local, 0, 18, 1), graph.constant(frame.OFFSET))
    neck = graph.slice(body, frame.NECK, frame.NECK + 1, 1)
    body = graph.add("Add", body, graph.add("Mul", neck, graph.constant(frame.HANGS_ON_NECK)))
    hands = [
        graph.add("Add", graph.slice(local, first, first + 21, 1), graph.slice(body, wrist, wrist + 1, 1))
        for first, wrist in ((18, frame.LEFT_WRIST), (39, frame.RIGHT_WRIST))
    ]
    px = graph.add("Concat", body, *hands, axis=1)
    confidence = graph.add("Sigmoid", graph.slice(joints, 2, 3, 2))
    least, sure = (graph.constant(np.array(value, dtype=np.float32)) for value in (frame.VISIBLE, SEEN))
    bounds = (0, frame.NECK, frame.NECK + 1, END)
    before, neck, after = (graph.slice(confidence, *pair, 1) for pair in pairwise(bounds))
    shoulders = graph.add("Min", *(graph.slice(confidence, k, k + 1, 1) for k in frame.SHOULDERS))
    neck = graph.add("Where", graph.add("Less", neck, sure), graph.add("Max", neck, shoulders), neck)
    confidence = graph.add("Concat", before, neck, after, axis=1)
    unseen = graph.add("Less", confidence, least)
    pose = graph.add("Concat", px, confidence, axis=2)
    return graph.add("Where", unseen, graph.constant(np.array(0, dtype=np.float32)), pose)


if __name__ == "__main__":
    try:
        print(export(Path(sys.argv[1])))
    except UserError as error:
        sys.exit(str(error))
