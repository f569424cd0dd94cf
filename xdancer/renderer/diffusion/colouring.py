"""The likeliest colours of what a picture does not show of a person.

Trousers go on behind, hair is round a head, one shoe is like the other: how people are coloured over the cells of the
body is kept as its principal components (Tipping and Bishop, Probabilistic Principal Component Analysis, 1999), those
of heads by themselves, for hair says nothing of trousers. What they say of the cells that are hidden, given those that
are seen, is a small linear system away.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xdancer.renderer.diffusion.cells import CELLS, ENOUGH, HIGH, LOW, filled
from xdancer.weights.sizes import Sizes

CHIN = 0.855  # statures: above are heads
TOGETHER = 300.0, 30.0  # cells that lie together say much the same: so many of bodies, and of heads, count as one
KNOWN = 1.0  # weight of pixels from which a cell has the colour that it shows
LIGHTS = (1.0, 0.6)  # of people who are learned from
LEAST = 1e-4  # of the variance that is left unexplained


@dataclass(frozen=True)
class ColouringShape(Sizes):
    """cells: so many hold bodies, an even number. components: principal ones that are kept, of bodies and of heads."""

    cells: int = 11_000
    components: int = 32


class Colouring(nn.Module):
    """The components, learned at once from people who are known all round, and not by steps."""

    cells: Tensor
    mean: Tensor
    components: Tensor
    unexplained: Tensor

    def __init__(self, shape: ColouringShape) -> None:
        super().__init__()
        self.register_buffer("cells", torch.arange(shape.cells, dtype=torch.int32))  # numbered as they lie in memory
        self.register_buffer("mean", torch.zeros(3, shape.cells))
        self.register_buffer("components", torch.zeros(shape.components, shape.cells))  # of deviation 1
        self.register_buffer("unexplained", torch.full((2,), LEAST))  # variance

    @property
    def learned(self) -> bool:
        return bool(self.components.any())

    @torch.no_grad()
    def learn(self, people: Tensor) -> None:
        """From colours in [-1, 1] summed up in cells, and their weights last: (N, 4, Z, Y, X). People are as likely the
        other way round."""
        self.cells.copy_(_inhabited(people[:, 3] > ENOUGH, len(self.cells)))
        cells, half = self.cells.long(), len(self.cells) // 2
        each = [filled(one[None, :3], one[None, 3:])[0].flatten(1)[:, cells] for one in people.to(self.mean)]
        colours = torch.stack(each)
        colours = torch.cat([colours, colours.roll(half, -1)])
        colours = torch.cat([(colours + 1) * light - 1 for light in LIGHTS])
        self.mean.copy_(colours.mean(0))
        self.components.zero_()
        for k, part in enumerate(self._parts()):
            apart = (colours - self.mean)[..., part].flatten(0, 1)
            power, ways = torch.linalg.eigh(apart @ apart.T)
            kept = min(len(self.components), len(power))
            self.components[:kept, part] = ways[:, -kept:].T @ apart / len(apart) ** 0.5
            self.unexplained[k] = (power[:-kept].sum() / max(apart.numel(), 1)).clamp_min(LEAST)

    def forward(self, sums: Tensor, weight: Tensor) -> Tensor:
        """Colours summed up in cells (B, 3, Z, Y, X), and their weights (B, 1, Z, Y, X) -> the colours of all cells;
        before anything was learned, those of the cells around."""
        if not self.learned:
            return filled(sums, weight)
        with torch.autocast(sums.device.type, enabled=False):
            sums, weight = sums.float(), weight.float()
            own, cells = sums / weight.clamp_min(1e-6), self.cells.long()
            told, there = torch.zeros_like(own).flatten(2), torch.zeros_like(weight).flatten(2)
            there[..., cells] = 1
            told[..., cells] = self._likeliest(own.flatten(2)[..., cells], weight.flatten(2)[..., cells])
            around = filled(told.view_as(own), there.view_as(weight))
            return torch.lerp(around, own, (weight / KNOWN).clamp_max(1))

    def _likeliest(self, seen: Tensor, weight: Tensor) -> Tensor:
        """The colours (B, 3, cells) of all that hold bodies, `seen` as far as their `weight` (B, 1, cells) goes."""
        mean, components = self.mean.float(), self.components.float()
        counts = (weight / ENOUGH).clamp_max(1)
        apart = torch.zeros_like(seen)
        for part, together, unexplained in zip(self._parts(), TOGETHER, self.unexplained.float(), strict=True):
            ways = components[:, part]
            weighed = ways * counts[..., part]
            doubt = together * unexplained * torch.eye(len(ways)).to(ways)
            given = weighed @ (seen - mean)[..., part].transpose(1, 2)
            apart[..., part] = torch.linalg.solve(weighed @ ways.T + doubt, given).transpose(1, 2) @ ways
        return mean + apart

    def _parts(self) -> tuple[Tensor, Tensor]:
        """Which cells (cells,) are of bodies, and which of heads."""
        across, up, _ = CELLS
        height = LOW[1] + (HIGH[1] - LOW[1]) * (self.cells // across % up + 0.5) / up
        return height < CHIN, height >= CHIN


def _inhabited(there: Tensor, count: int) -> Tensor:
    """The cells where most people are (N, Z, Y, X): numbers of `count` cells, the second half of them being the first
    half the other way round."""
    across = CELLS[0]
    often = there.float().sum(0)
    left = (often + often.flip(-1))[..., : across // 2].flatten().topk(count // 2).indices.sort().values
    row, column = left // (across // 2), left % (across // 2)
    return torch.cat([row * across + column, row * across + across - 1 - column]).int()
