"""GPT-2 in torch (Radford et al. 2019), told music: one pass over whole segments for training, and over what is new
behind a cache for dancing. `decoder` holds the caches and chooses tokens."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.choreographer.flat import layout
from xdancer.errors import UserError
from xdancer.pose.layout import CODEBOOK_SIZE, TOKENS_PER_FRAME


@dataclass(frozen=True)
class Shape:
    """Sizes; the defaults are GPT-2 small, medium is 1024 wide with 24 layers and 16 heads. inputs: columns of what a
    frame is told of the music."""

    inputs: int
    width: int = 768
    layers: int = 12
    heads: int = 12

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Past = tuple[Tensor, Tensor]  # keys and values of a layer (B, heads, LENGTH, size)


class Block(nn.Module):
    """Attention, then two layers with GELU, both residual behind a LayerNorm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, past: Past | None = None, first: int | Tensor = 0) -> Tensor:
        """x (B, T, width) at positions first .. first + T - 1. `past`: keys and values (B, heads, LENGTH, size) that it
        writes itself into and looks at. T is 1 where first > 0; a tensor (1,) as `first` keeps all shapes the same from
        step to step, as a CUDA graph needs."""
        batch, rows, width = x.shape
        q, k, v = self.attn(self.ln_1(x)).view(batch, rows, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mask = None
        if past is not None and isinstance(first, Tensor):
            for buffer, new in zip(past, (k, v), strict=True):
                buffer.index_copy_(2, first, new)
            k, v = past
            mask = (torch.arange(k.shape[2], device=x.device) <= first)[None]
        elif past is not None:
            for buffer, new in zip(past, (k, v), strict=True):
                buffer[:, :, first : first + rows] = new
            k, v = (buffer[:, :, : first + rows] for buffer in past)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=rows > 1)
        x = x + self.proj(seen.transpose(1, 2).reshape(batch, rows, width))
        return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))


class FlatNetwork(nn.Module):
    """Token and position tables, what is heard of the music, blocks; the token table also names what comes next."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.wte = nn.Embedding(layout.VOCABULARY, shape.width)
        self.wpe = nn.Embedding(layout.LENGTH, shape.width)
        self.heard = nn.Linear(shape.inputs, shape.width)  # what a start token is
        self.told = nn.Linear(shape.inputs, shape.width, bias=False)  # what is joined to a dance token
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width)
        for name, weight in self.named_parameters():  # as GPT-2 does
            if weight.ndim == 2:
                deep = name.endswith(("proj.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / (2 * shape.layers) ** 0.5 if deep else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def embed(self, heard: Tensor, context: Tensor, told: Tensor, tokens: Tensor) -> Tensor:
        """Segments as embeddings (B, T, width), their last token left out: nothing in the segment comes after it.

        heard (B, 64, inputs): music of the start tokens; context (B, 8, 30) names; of n >= 0 frames the music told
        (B, n, inputs) and names of the tokens (B, n, 30).
        """
        dance = self.wte(torch.cat([context, tokens], dim=1).flatten(1)[:, :-1])
        silent = layout.BEGIN - 1 - layout.MUSIC  # the last token of the context foretells the first of the dance
        music = self.told(told).repeat_interleave(TOKENS_PER_FRAME, dim=1)
        x = torch.cat([self.heard(heard), dance[:, :silent], dance[:, silent:] + music], dim=1)
        return x + self.wpe.weight[: x.shape[1]]

    def forward(self, x: Tensor, past: list[Past] | None = None, first: int | Tensor = 0) -> Tensor:
        """Embeddings (B, T, width) at positions first .. -> hidden rows (B, T, width)."""
        for i, block in enumerate(self.blocks):
            x = block(x, past[i] if past else None, first)
        return self.ln_f(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden rows (B, n 30, width), from the one before a frame's first token on -> logits (B, n, 30, 512)."""
        rows = hidden.unflatten(1, (-1, TOKENS_PER_FRAME))
        table = self.wte.weight.view(TOKENS_PER_FRAME, CODEBOOK_SIZE, -1)
        return torch.einsum("bnsw,scw->bnsc", rows, table)

    def segment(self, heard: Tensor, context: Tensor, told: Tensor, tokens: Tensor) -> Tensor:
        """Logits (B, n, 30, 512) of all tokens of n frames, each after those before it; arguments as `embed`."""
        return self.logits(self(self.embed(heard, context, told, tokens))[:, layout.BEGIN - 1 :])

    def start_from_gpt2(self, name: str) -> None:
        """Take blocks and positions of a GPT-2 of the same width and depth: a local folder or a hub id.

        Its 1024 positions are stretched over ours; token names are ours alone. Raises UserError where it does not fit.
        """
        from transformers import GPT2Model

        try:
            state = GPT2Model.from_pretrained(name, use_safetensors=True).state_dict()
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"initialise: {name}: no GPT-2 weights there ({reason})") from error
        if f"h.{self.shape.layers}.ln_1.weight" in state:
            raise UserError(f"initialise: {name}: a GPT-2 of more than {self.shape.layers} layers")
        own = {f"blocks.{i}.{ours}": f"h.{i}.{theirs}" for i in range(self.shape.layers) for ours, theirs in GPT2_NAMES}
        try:
            taken = {ours: state[theirs] for ours, theirs in own.items()}
            for ours in taken:
                if taken[ours].ndim == 2:  # its layers keep their weights the other way about
                    taken[ours] = taken[ours].T
            places = state["wpe.weight"].T[None]
            taken["wpe.weight"] = F.interpolate(places, layout.LENGTH, mode="linear", align_corners=True)[0].T
            taken |= {f"ln_f.{kind}": state[f"ln_f.{kind}"] for kind in ("weight", "bias")}
            self.load_state_dict(taken, strict=False)
        except (KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise UserError(f"initialise: {name}: not a GPT-2 of this shape ({reason})") from error


GPT2_NAMES = [
    (f"{ours}.{kind}", f"{theirs}.{kind}")
    for ours, theirs in (
        ("ln_1", "ln_1"), ("attn", "attn.c_attn"), ("proj", "attn.c_proj"),
        ("ln_2", "ln_2"), ("up", "mlp.c_fc"), ("down", "mlp.c_proj"),
    )
    for kind in ("weight", "bias")
]  # fmt: skip
