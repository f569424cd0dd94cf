"""The space that bodies stand in with arms stretched out, in cells; and, there or in a picture, what is around: holes
filled from it, the highest and the mean of it."""

import torch
from torch import Tensor
from torch.nn import functional as F

LOW, HIGH = (-0.54, -0.02, -0.16), (0.54, 1.04, 0.20)  # of the space, statures: left and right, up, front
CELLS = (70, 68, 24)  # across, up and deep: of about 1/65 of a stature
ENOUGH = 0.05  # weight of pixels from which a cell is known


def in_space(places: Tensor) -> Tensor:
    """Places (N, 3, ..) in statures to the space of cells, -1 to 1."""
    low, high = (places.new_tensor(v).reshape(3, *[1] * (places.ndim - 2)) for v in (LOW, HIGH))
    return (places - low) / (high - low) * 2 - 1


def gathered(places: Tensor, values: Tensor) -> Tensor:
    """Values (B, C, H, W) at places (B, 3, H, W) summed up in cells (B, C, Z, Y, X), each shared by the eight around
    it."""
    size = places.new_tensor(CELLS)[:, None]
    at = ((in_space(places.flatten(2)) + 1) / 2 * size - 0.5).clamp_min(0)
    at = torch.minimum(at, size - 1.001)
    first = at.floor()
    part, first = at - first, first.long()
    across, up, deep = CELLS
    values = values.flatten(2)
    out = values.new_zeros(len(values), values.shape[1], deep * up * across)
    for corner in range(8):
        step = [(corner >> axis) & 1 for axis in range(3)]
        share = torch.stack([part[:, k] if step[k] else 1 - part[:, k] for k in range(3)]).prod(0)
        x, y, z = (first[:, k] + step[k] for k in range(3))
        cell = ((z * up + y) * across + x)[:, None].expand_as(values)
        out.scatter_add_(2, cell, values * share[:, None])
    return out.unflatten(2, (deep, up, across))


def filled(sums: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums (N, C, ..) over weights (N, 1, ..), in two or three dimensions; where these are small filled from
    around, coarser the wider the hole. In a picture sooner from beside than from above or below, for rooms have floors.
    """
    spread = tuple(range(2, sums.ndim))
    out = sums.sum(spread, keepdim=True) / weight.sum(spread, keepdim=True).clamp_min(1e-6)
    levels = [(sums, weight)]
    while min(levels[-1][0].shape[2:]) > 1:
        levels.append((_halved(levels[-1][0], len(levels)), _halved(levels[-1][1], len(levels))))
    mode = "trilinear" if sums.ndim == 5 else "bilinear"
    for sums, weight in reversed(levels):
        around = F.interpolate(out, sums.shape[2:], mode=mode, align_corners=False)
        share = (weight / ENOUGH).clamp_max(1)
        out = torch.lerp(around, sums / weight.clamp_min(1e-6), share)
    return out


def _halved(values: Tensor, level: int) -> Tensor:
    """Half as many values along each axis; of a picture, in rows always and in columns at every second level."""
    if values.ndim == 5:
        return F.avg_pool3d(values, 2, ceil_mode=True)
    return F.avg_pool2d(values, (1 if level % 2 else 2, 2), ceil_mode=True)


def middles(height: int, width: int, like: Tensor) -> Tensor:
    """Where the pixels of a picture are, (2, height, width), across and down from -1 to 1 as `grid_sample` counts."""
    x, y = ((torch.arange(n, device=like.device) + 0.5) / n * 2 - 1 for n in (width, height))
    return torch.stack(torch.broadcast_tensors(x, y[:, None])).to(like)


def reach_of(share: float, width: int) -> int:
    """A share of a picture's width, px: 1 at least."""
    return max(1, round(share * width))


def highest(values: Tensor, share: float) -> Tensor:
    """The highest of the values (N, 1, H, W) up to a `share` of the width to every side."""
    reach = reach_of(share, values.shape[-1])
    columns = F.max_pool2d(values, (2 * reach + 1, 1), 1, (reach, 0))  # one way after the other is far cheaper
    return F.max_pool2d(columns, (1, 2 * reach + 1), 1, (0, reach))


def mean_around(values: Tensor, reach: int) -> Tensor:
    """The mean of the values (N, C, H, W) up to so many pixels to every side, 0 beyond the edge. By running sums, which
    cost the same however wide it is."""
    side = 2 * reach + 1
    for axis, pad in ((-1, (reach + 1, reach)), (-2, (0, 0, reach + 1, reach))):
        sums = F.pad(values, pad).cumsum(axis)
        length = values.shape[axis]
        values = (sums.narrow(axis, side, length) - sums.narrow(axis, 0, length)) / side
    return values
