"""How the people of a corpus are coloured all round, for `Colouring` to learn from."""

import torch
from torch import Tensor
from torch.nn import functional as F

from xdancer.renderer.diffusion.cells import gathered
from xdancer.training.renderer.darkroom import Skin
from xdancer.training.renderer.scenes import Scenes

POINTS = 100_000  # looked at of a skin: about ten a cell


def worn(scenes: Scenes) -> Tensor:
    """The colours in [-1, 1] of all people of these scenes, in all they wear, summed up in the cells of the body with
    their weights last: (N, 4, Z, Y, X). Raises UserError where a skin is damaged."""
    numbers = [number for _, outfits in scenes.people for number in outfits]
    return torch.cat([_summed(Skin.of(scenes.wardrobe[k], torch.device("cpu")), k) for k in numbers])


def _summed(skin: Skin, seed: int) -> Tensor:
    """(1, 4, Z, Y, X), of points drawn evenly on a skin."""
    generator = torch.Generator().manual_seed(seed)
    corners = skin.places[skin.faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
    face = torch.multinomial(area, POINTS, replacement=True, generator=generator)
    across, along = torch.rand(2, POINTS, generator=generator)
    beyond = across + along > 1  # the other half of the parallelogram
    across, along = torch.where(beyond, 1 - across, across), torch.where(beyond, 1 - along, along)
    share = torch.stack([1 - across - along, across, along], dim=1)[..., None]
    uv = (skin.uv[skin.faces[face]] * share).sum(1).clamp(0, 1) * 2 - 1
    colours = F.grid_sample(skin.texture, uv[None, None], align_corners=False, padding_mode="border") * 2 - 1
    places = (corners[face] * share).sum(1).T[None, :, None]
    return gathered(places, torch.cat([colours, torch.ones_like(colours[:, :1])], dim=1))
