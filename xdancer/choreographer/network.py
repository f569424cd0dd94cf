"""The choreographer in torch, one pass over whole windows, for training. `runtime` runs the same weights step by step.

One causal transformer step a frame, then a small depth transformer over the frame's 30 tokens (the split of
RQ-Transformer, arXiv 2203.01941, as Moshi, arXiv 2410.00037, uses it live), in X-Dancer's part order (arXiv 2502.17414,
section 3.3).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xdancer.choreographer import plan
from xdancer.choreographer.inputs import CONTEXT_FRAMES, N_BODY, N_CLOCK, QUICK, by_slot
from xdancer.pose.layout import CODEBOOK_SIZE, N_JOINTS, N_PARTS, TOKENS_PER_FRAME, TOKENS_PER_PART

LATER = (4, 8, 15)  # frames past the next one that training asks the frame part to foretell as well


@dataclass(frozen=True)
class Shape:
    """Sizes. inputs: columns of a frame's vector; code: numbers of a part's latent; window: frames a layer sees; order:
    the order in which the parts' tokens are chosen."""

    inputs: int
    code: int
    width: int = 256
    layers: int = 4
    heads: int = 8
    hidden: int = 768
    window: int = 64
    depth_width: int = 128
    depth_layers: int = 2
    depth_heads: int = 4
    depth_hidden: int = 512
    order: tuple[int, ...] = tuple(range(N_PARTS))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def norm(x: Tensor) -> Tensor:
    """RMSNorm without weights, over the last axis."""
    return F.rms_norm(x, (x.shape[-1],), eps=1e-6)


def rotary(positions: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine (T, size / 2) of rotary position embedding (arXiv 2104.09864), base 1000."""
    frequency = 1000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angle = positions.to(torch.float64)[:, None] * frequency
    return angle.cos().float(), angle.sin().float()


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries or keys (..., T, size) turned by their position."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def additive(seen: Tensor) -> Tensor:
    """A boolean mask as what is added to attention scores."""
    return torch.zeros(seen.shape).masked_fill(~seen, -1e4)


class Block(nn.Module):
    """Attention, then two layers with squared ReLU (arXiv 2109.08668), both residual behind a norm."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor, mask: Tensor, turn: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """x (B, T, width); mask (T, T): 0 where a row may look, else very negative."""
        batch, rows, width = x.shape
        q, k, v = self.qkv(norm(x)).view(batch, rows, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if turn is not None:
            q, k = rotated(q, *turn).to(v.dtype), rotated(k, *turn).to(v.dtype)
        # Written out: on windows this short a CPU does it in half the time of the fused kernel, backward above all.
        scores = (q @ k.transpose(-1, -2)) * (width // self.heads) ** -0.5 + mask.to(q.dtype)
        seen = scores.softmax(-1).to(v.dtype) @ v
        x = x + self.out(seen.transpose(1, 2).reshape(batch, rows, width))
        return x + self.down(F.relu(self.up(norm(x))).square())


class Planner(nn.Module):
    """Draws the next plan, stage by stage, from the state of the frame before and the clock of the frame it begins at.

    It owns what a plan is made of: `mean`, `basis` and `books` of `plan.Plans`.
    """

    books: Tensor

    def __init__(self, width: int, plans: plan.Plans, hidden: int = 128) -> None:
        super().__init__()
        for name in ("mean", "basis", "books"):
            self.register_buffer(name, torch.from_numpy(getattr(plans, name)))
        inputs = width + N_CLOCK + plan.SIZE
        self.up = nn.ModuleList(nn.Linear(inputs, hidden) for _ in range(plan.STAGES))
        self.down = nn.ModuleList(nn.Linear(hidden, plan.CODES) for _ in range(plan.STAGES))

    def plans(self) -> plan.Plans:
        return plan.Plans(*(getattr(self, name).numpy() for name in ("mean", "basis", "books")))

    def forward(self, h: Tensor, clock: Tensor, codes: Tensor) -> Tensor:
        """States (N, width), clocks (N, N_CLOCK), the codes drawn (N, STAGES) -> logits (N, STAGES, CODES)."""
        so_far, logits = h.new_zeros(len(h), plan.SIZE), []
        for stage, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
            x = torch.cat([h, clock, plan.SCALE * so_far], dim=-1)
            logits.append(down(F.relu(up(x)).square()))
            so_far = so_far + self.books[stage][codes[:, stage]]
        return torch.stack(logits, dim=1)


class ChoreographerNetwork(nn.Module):
    """`frames` over time, `depth` over the tokens of a frame, `planner` every half beat.

    The frame part also foretells the next pose, and the tokenizer's encoder says which latents that would have. A
    token's logit is then a Gaussian's about what is left of those after the codes chosen so far (2 s r.c - s c.c: how
    residual quantisation chooses), plus what the depth part adds: to the point aimed at and to each token by name.
    """

    vectors: Tensor
    squares: Tensor

    def __init__(self, shape: Shape, vectors: Tensor, plans: plan.Plans) -> None:
        """vectors (30, 512, D): the tokenizer's code vectors, in units of the latents' spread."""
        super().__init__()
        self.shape = shape
        turns = by_slot(shape.order)
        self.turns, self.back = torch.from_numpy(turns), torch.from_numpy(np.argsort(turns))
        vectors = vectors[self.turns]  # from here on everything of `depth` stands in the order of choosing
        self.register_buffer("vectors", vectors, persistent=False)
        self.register_buffer("squares", vectors.square().sum(-1) / 2, persistent=False)
        d, small, code = shape.width, shape.depth_width, shape.code
        self.stem = nn.Linear(shape.inputs, d)
        self.blocks = nn.ModuleList(Block(d, shape.heads, shape.hidden) for _ in range(shape.layers))
        self.forecast = nn.Linear(d, 3 * N_JOINTS)  # movement of x and y of all joints, then their confidences
        self.outlook = nn.Linear(d, len(LATER) * 2 * N_JOINTS)  # in training only
        self.planner = Planner(d, plans)
        self.bridge = nn.Linear(d, small)
        self.slots = nn.Parameter(0.1 * torch.randn(TOKENS_PER_FRAME, small))
        self.mixers = nn.Parameter(torch.randn(TOKENS_PER_FRAME, 4 * code, small) * (4 * code) ** -0.5)
        self.depth_blocks = nn.ModuleList(
            Block(small, shape.depth_heads, shape.depth_hidden) for _ in range(shape.depth_layers)
        )
        self.aims = nn.Parameter(torch.zeros(TOKENS_PER_FRAME, small, code + 1))  # shift of the point, and sharpness
        self.sharpness = nn.Parameter(torch.full((TOKENS_PER_FRAME,), 1.5))  # log s
        self.heads = nn.Parameter(0.02 * torch.randn(TOKENS_PER_FRAME, CODEBOOK_SIZE, small))
        self.biases = nn.Parameter(torch.zeros(TOKENS_PER_FRAME, CODEBOOK_SIZE))
        nn.init.zeros_(self.forecast.weight)
        nn.init.zeros_(self.forecast.bias[: 2 * N_JOINTS])
        nn.init.constant_(self.forecast.bias[2 * N_JOINTS :], 1.5)  # mostly seen

    def frames(self, x: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
        """Vectors (B, T, inputs) -> states (B, T, width) and what is foretold (B, T, 60, 3): places and confidences."""
        rows = torch.arange(x.shape[1])
        behind = rows[:, None] - rows
        mask = additive((behind >= 0) & (behind < self.shape.window))
        turn = rotary(rows + first, self.shape.width // self.shape.heads)
        h = self.stem(x)
        for block in self.blocks:
            h = block(h, mask, turn)
        h = norm(h)
        begin = self.shape.inputs - N_BODY - N_PARTS * self.shape.code * (2 + CONTEXT_FRAMES)
        here, _, moved = x[..., begin : begin + N_BODY].split((2 * N_JOINTS, N_JOINTS, 2 * N_JOINTS), dim=-1)
        moving, certainty = self.forecast(h).float().split((2 * N_JOINTS, N_JOINTS), dim=-1)
        place = (here + (moved + moving) / QUICK).view(*x.shape[:2], N_JOINTS, 2)
        return h, torch.cat([place, certainty.sigmoid()[..., None]], dim=-1)

    def later(self, h: Tensor, foretold: Tensor) -> Tensor:
        """What `frames` returns -> places LATER frames on (B, T, len(LATER), 60, 2)."""
        return foretold[:, :, None, :, :2] + self.outlook(h).float().view(*h.shape[:2], len(LATER), N_JOINTS, 2)

    def depth(self, h: Tensor, aim: Tensor, codes: Tensor, before_codes: Tensor) -> Tensor:
        """States (N, width), the latents aimed at (N, 5, D), codes of this frame's tokens and of the last's (N, 30, D)
        -> logits (N, 30, 512)."""
        aim = aim[:, list(self.shape.order)]
        facts = slot_facts(codes[:, self.turns], aim, before_codes[:, self.turns])
        x = self.bridge(h)[:, None] + self.slots
        x = x + torch.bmm(facts.transpose(0, 1).to(x.dtype), self.mixers.to(x.dtype)).transpose(0, 1)
        mask = additive(torch.ones(TOKENS_PER_FRAME, TOKENS_PER_FRAME, dtype=torch.bool).tril())
        for block in self.depth_blocks:
            x = block(x, mask)
        x = norm(x).transpose(0, 1)  # (30, N, small)
        named = torch.bmm(x, self.heads.to(x.dtype).transpose(1, 2)) + self.biases[:, None].to(x.dtype)
        shift = torch.bmm(x, self.aims.to(x.dtype)).float()
        with torch.autocast("cpu", enabled=False):
            point = facts[..., self.shape.code : 2 * self.shape.code].transpose(0, 1) + shift[..., :-1]
            sharp = 2 * torch.exp(self.sharpness[:, None] + shift[..., -1])
            near = torch.bmm(point, self.vectors.transpose(1, 2)) - self.squares[:, None]
            return (named.float() + sharp[..., None] * near).transpose(0, 1)[:, self.back]


def slot_facts(codes: Tensor, aim: Tensor, before_codes: Tensor) -> Tensor:
    """What each slot is told: the code chosen for the slot before; what is left of the latent the part aims at after
    the codes chosen so far; the code this slot had in the frame before; the aim itself. All D wide.

    codes, before_codes (N, 30, D): of this frame's tokens and the last's. aim (N, 5, D). -> (N, 30, 4 D)
    """
    n, _, width = codes.shape
    last = torch.cat([codes.new_zeros(n, 1, width), codes[:, :-1]], dim=1)
    by_part = codes.view(n, -1, TOKENS_PER_PART, width)
    so_far = by_part.cumsum(2) - by_part
    left = (aim[:, :, None] - so_far).reshape(n, TOKENS_PER_FRAME, width)
    return torch.cat([last, left, before_codes, aim.repeat_interleave(TOKENS_PER_PART, dim=1)], dim=-1)
