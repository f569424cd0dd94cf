"""Triangles to pixels in torch, all frames of a window at once, on CPU and GPU alike."""

from dataclasses import dataclass

import torch
from torch import Tensor

NEAR = 0.3  # metres: what is nearer than this is not drawn
DEPTH_STEPS = 2.0**28  # of 1 / depth, which stays below 1 / NEAR


@dataclass(frozen=True)
class Hits:
    """What the pixels of pictures see, P of them in all that see anything.

    pixel: (P,) index into the flattened (N, H, W). frame: (P,). face: (P,). weights: (P, 3) of its corners, so that
    whatever the corners carry is interpolated in perspective.
    """

    pixel: Tensor
    frame: Tensor
    face: Tensor
    weights: Tensor

    def interpolate(self, values: Tensor, faces: Tensor) -> Tensor:
        """Values at the vertices, (V, C) or one set a frame (N, V, C), at the pixels: (P, C)."""
        corners = faces[self.face]
        at = values[corners] if values.ndim == 2 else values[self.frame[:, None], corners]
        return (at * self.weights[..., None]).sum(1)


def rasterise(places: Tensor, faces: Tensor, height: int, width: int) -> Hits:
    """Vertices (N, V, 3), x and y in pixels (whole numbers are the middles of pixels) and depth in metres, and faces
    (F, 3), seen from either side, to what each pixel sees.

    Every face is laid over the pixels of its bounding box; of the faces that cover a pixel the nearest is kept.
    """
    corners = places[:, faces]  # (N, F, 3, 3)
    x, y, depth = corners.unbind(-1)
    low_x, low_y = x.amin(-1).ceil().clamp_min(0), y.amin(-1).ceil().clamp_min(0)
    high_x, high_y = x.amax(-1).floor().clamp_max(width - 1), y.amax(-1).floor().clamp_max(height - 1)
    across = (high_x - low_x + 1).clamp_min(0).long()
    counts = across * (high_y - low_y + 1).clamp_min(0).long() * (depth.amin(-1) > NEAR)
    box = torch.nonzero(counts.flatten()).squeeze(1)
    counts = counts.flatten()[box]
    owner = torch.repeat_interleave(box, counts)
    place = torch.arange(len(owner), device=places.device) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    wide = across.flatten()[owner]
    px = low_x.flatten()[owner] + place % wide
    py = low_y.flatten()[owner] + place // wide
    (ax, bx, cx), (ay, by, cy) = (c.flatten(0, 1)[owner].unbind(-1) for c in (x, y))
    a = (bx - px) * (cy - py) - (cx - px) * (by - py)
    b = (cx - px) * (ay - py) - (ax - px) * (cy - py)
    c = (ax - px) * (by - py) - (bx - px) * (ay - py)
    area = a + b + c
    flat = torch.stack([a, b, c], dim=-1) / torch.where(area == 0, 1.0, area)[:, None]
    inside = torch.nonzero((flat >= 0).all(-1) & (area != 0)).squeeze(1)
    owner, flat = owner[inside], flat[inside]
    near = flat / depth.flatten(0, 1)[owner]  # what is even on the screen is 1 / depth
    nearness = near.sum(-1)
    frame, face = owner // len(faces), owner % len(faces)
    pixel = (frame * height + py[inside].long()) * width + px[inside].long()
    # Nearness in the upper half, who it was in the lower: the maximum is the nearest, and tells who.
    key = ((nearness.double() * DEPTH_STEPS).long() << 32) | torch.arange(len(owner), device=places.device)
    best = torch.full((len(places) * height * width,), -1, dtype=torch.long, device=places.device)
    best.scatter_reduce_(0, pixel, key, "amax")
    seen = torch.nonzero(best >= 0).squeeze(1)
    winner = best[seen] & 0xFFFFFFFF
    return Hits(seen, frame[winner], face[winner], near[winner] / nearness[winner, None])
