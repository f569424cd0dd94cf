"""Dancing with the flat model: what is known of a segment in one pass, then token after token behind a cache."""

import copy
import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch.nn import functional as F

from xdancer.choreographer.flat import layout
from xdancer.choreographer.flat.network import FlatNetwork, Past, Shape
from xdancer.errors import UserError
from xdancer.pose.layout import CODEBOOK_SIZE, TOKENS_PER_FRAME

Precision = Literal["fp32", "bf16", "int8"]
Net = TypeVar("Net", bound=torch.nn.Module)
Pick = Callable[[int, np.ndarray], int]


class Segment:
    """The state of a dance: keys and values of the positions passed, and the token that is read next.

    On a GPU also the step, recorded on that very memory: a segment that has ended is begun again rather than left.
    """

    def __init__(self, network: FlatNetwork, device: str, dtype: torch.dtype) -> None:
        space = (1, network.shape.heads, layout.LENGTH, network.shape.width // network.shape.heads)
        self.past: list[Past] = [
            (torch.zeros(space, dtype=dtype, device=device), torch.zeros(space, dtype=dtype, device=device))
            for _ in range(network.shape.layers)
        ]
        self.graph = None if device == "cpu" else _Graph(network, self.past)
        self.position = 0
        self.name = 0


def quantised(network: Net) -> Net:
    """A copy whose matrices are int8, and round what goes through them as well."""
    with warnings.catch_warnings():  # torch means to move this elsewhere one day
        warnings.simplefilter("ignore")
        made: Net = torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear}, dtype=torch.qint8)
    return made


class Decoder:
    """The network ready to dance, without state.

    precision: "bf16" halves the weights; "int8" (CPU only) holds the matrices in a byte a number and rounds what goes
    through them as well. On a GPU a step is one CUDA graph.
    """

    def __init__(self, network: FlatNetwork, precision: Precision = "fp32", device: str = "cpu") -> None:
        if precision == "int8" and device != "cpu":
            raise UserError(f"int8 runs on the CPU only, not on {device}")
        network = network.to(device).eval().requires_grad_(False)
        self.shape, self.device = network.shape, device
        self.table = network.wte.weight.float().view(TOKENS_PER_FRAME, CODEBOOK_SIZE, -1)
        if precision == "int8":
            network = quantised(network)
        elif precision == "bf16":
            network = copy.deepcopy(network).to(torch.bfloat16)
        self.network = network
        self.dtype = network.wpe.weight.dtype

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray], config: dict[str, Any]) -> "Decoder":
        network = FlatNetwork(Shape(**config["shape"]))
        network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        return cls(network, device="cuda" if torch.cuda.is_available() else "cpu")

    @torch.inference_mode()
    def begin(
        self, heard: np.ndarray, context: np.ndarray, told: np.ndarray, rows: np.ndarray, *,
        again: Segment | None = None,
    ) -> Segment:  # fmt: skip
        """A segment of which n >= 0 frames are known: heard (64, inputs), context (8, 30), told (n, inputs), rows
        (n, 30). `again`: one that has ended, whose memory it takes."""
        known = layout.names(np.concatenate([context, rows]))
        names = torch.from_numpy(known)[None].to(self.device)
        before, danced = names[:, : len(context)], names[:, len(context) :]
        x = self.network.embed(self._music(heard), before, self._music(told), danced)
        segment = again or Segment(self.network, self.device, self.dtype)
        self.network(x, segment.past)
        segment.position, segment.name = x.shape[1], int(known[-1, -1])
        return segment

    @torch.inference_mode()
    def frame(self, segment: Segment, told: np.ndarray, pick: Pick) -> np.ndarray:
        """The next row (30,) int16 of the segment, of which the frame is told (inputs,); `pick(slot, logits (512,))`
        chooses each token. Raises IndexError past the segment's 64 frames."""
        music = self.network.told(self._music(told[None]))
        row = np.empty(TOKENS_PER_FRAME, np.int16)
        for slot in range(TOKENS_PER_FRAME):
            hidden = self._step(segment, music)
            row[slot] = pick(slot, F.linear(hidden, self.table[slot]).cpu().numpy())
            segment.name = int(row[slot]) + CODEBOOK_SIZE * slot
        return row

    def _step(self, segment: Segment, music: torch.Tensor) -> torch.Tensor:
        """Read the token that comes next: the hidden row (width,) float32 that foretells the one after it."""
        at = segment.position
        x = self.network.wte.weight[segment.name] + self.network.wpe.weight[at] + music
        hidden = segment.graph(x, at) if segment.graph else self.network(x, segment.past, at)
        segment.position += 1
        return hidden[0, 0].float()

    def _music(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(rows.astype(np.float32))[None].to(self.device, self.dtype)


class _Graph:
    """One step as a CUDA graph, on the same memory each time."""

    def __init__(self, network: FlatNetwork, past: list[Past]) -> None:
        self.x = torch.zeros_like(network.wpe.weight[:1])[None]
        self.position = torch.zeros(1, dtype=torch.int64, device=self.x.device)
        aside = torch.cuda.Stream()  # a graph is recorded after some runs beside the main stream
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                network(self.x, past, self.position)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.hidden = network(self.x, past, self.position)

    def __call__(self, x: torch.Tensor, position: int) -> torch.Tensor:
        self.x.copy_(x)
        self.position.fill_(position)
        self.graph.replay()
        return self.hidden
