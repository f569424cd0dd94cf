"""What is told of hidden colours, of people whose colours go by rules that can be checked."""

from pathlib import Path

import cv2
import numpy as np
import torch

from xdancer.renderer.diffusion.cells import CELLS, HIGH, LOW
from xdancer.renderer.diffusion.colouring import Colouring, ColouringShape
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.renderer.colours import worn
from xdancer.training.renderer.scenes import Scenes

ACROSS, UP, DEEP = CELLS
BODY = (slice(8, 14), slice(10, 64), slice(25, 45))  # deep, up, across: 6480 cells, the upper 8 rows of them the head
CELLS_OF_BODY = 6 * 54 * 20
BACK, FRONT, HEAD = slice(8, 11), slice(11, 14), slice(56, 64)


def people(*colours: tuple[float, float, float, float]) -> torch.Tensor:
    """(N, 4, Z, Y, X): the front, the back, one side and the head of each, in grey of that lightness."""
    out = torch.zeros(len(colours), 4, DEEP, UP, ACROSS)
    for one, (front, back, side, head) in zip(out, colours, strict=True):
        one[3][BODY] = 1
        one[:3, FRONT, 10:64, 25:45] = front
        one[:3, BACK, 10:64, 25:45] = back
        one[:3, 8:14, 20:50, 25:28] = side
        one[:3, 8:14, HEAD, 25:45] = head
    return out


def crowd(count: int = 24) -> torch.Tensor:
    """People whose back is as their front; their sides and heads are of any colour."""
    drawn = torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) * 1.6 - 0.8
    return people(*((float(a), float(a), float(b), float(c)) for a, b, c in drawn))


def taught(crowd: torch.Tensor, components: int = 8) -> Colouring:
    colouring = Colouring(ColouringShape(cells=CELLS_OF_BODY, components=components))
    colouring.learn(crowd)
    return colouring


def told(colouring: Colouring, one: torch.Tensor, *seen: tuple[slice, slice, slice], weight: float = 0.5):
    """The colours (3, Z, Y, X) of somebody (1, 4, ..) who is seen in these parts, as a picture sums them up."""
    mask = torch.zeros(1, 1, DEEP, UP, ACROSS)
    for part in seen:
        mask[0, 0][part] = weight
    return colouring(one[:, :3] * mask, mask)[0]


def test_the_back_follows_from_the_front() -> None:
    colouring = taught(crowd())
    for front in (-0.6, 0.1, 0.7):
        made = told(colouring, people((front, front, 0.0, 0.3)), (FRONT, slice(10, 56), slice(30, 45)))
        assert (made[:, BACK, 12:54, 32:43] - front).abs().max() < 0.08


def test_one_side_is_like_the_other() -> None:
    """Nobody of the crowd is coloured at the right; who is so is told from those with a coloured left."""
    colouring, right = taught(crowd()), (slice(8, 14), slice(22, 48), slice(42, 45))
    one = people((0.2, 0.2, 0.9, 0.3)).flip(-1)
    made = told(colouring, one, (FRONT, slice(10, 56), slice(25, 45)))
    assert (made[:, BACK, 24:46, 43:45] - 0.9).abs().mean() < 0.15
    plain = told(colouring, people((0.2, 0.2, 0.2, 0.3)), right, (FRONT, slice(10, 56), slice(25, 45)))
    assert (plain[:, BACK, 24:46, 26:28] - 0.2).abs().mean() < 0.15


def test_heads_and_bodies_say_nothing_of_each_other() -> None:
    colouring, person = taught(crowd()), people((0.5, 0.5, 0.0, -0.7))
    without = told(colouring, person, (FRONT, slice(10, 56), slice(25, 45)))
    with_head = told(colouring, person, (FRONT, slice(10, 64), slice(25, 45)))
    assert torch.equal(without[:, BACK, 12:50, 25:45], with_head[:, BACK, 12:50, 25:45])
    assert (with_head[:, BACK, 58:63, 27:43] + 0.7).abs().max() < 0.1
    assert (without[:, BACK, 58:63, 27:43] + 0.7).abs().min() > 0.2


def test_what_is_seen_stays_as_it_is_seen_and_who_is_not_seen_is_like_anybody() -> None:
    colouring = taught(crowd())
    odd = people((0.5, -0.9, 0.0, 0.3))  # a back that nobody has
    made = told(colouring, odd, (FRONT, slice(10, 64), slice(25, 45)), (BACK, slice(30, 40), slice(30, 40)), weight=1.0)
    assert torch.allclose(made[:, BACK, 30:40, 30:40], odd[0, :3, BACK, 30:40, 30:40])
    nobody = told(colouring, odd)
    cells = colouring.cells.long()
    assert torch.allclose(nobody.flatten(1)[:, cells], colouring.mean, atol=1e-5) and nobody.isfinite().all()


def test_cells_are_paired_with_those_of_the_other_side() -> None:
    cells = taught(crowd()).cells.long()
    half = len(cells) // 2
    assert len(cells.unique()) == CELLS_OF_BODY
    assert torch.equal(cells[:half] // ACROSS, cells[half:] // ACROSS)
    assert (cells[:half] % ACROSS + cells[half:] % ACROSS == ACROSS - 1).all()
    mask = torch.zeros(DEEP, UP, ACROSS)
    mask[BODY] = 1
    assert mask.flatten()[cells].all()


def test_several_at_once_are_each_told_by_themselves() -> None:
    colouring, two = taught(crowd()), people((0.5, 0.5, 0.0, 0.3), (-0.6, -0.6, 0.4, 0.1))
    mask = torch.zeros(2, 1, DEEP, UP, ACROSS)
    mask[:, 0, FRONT, 10:64, 25:45] = 1
    together = colouring(two[:, :3] * mask, mask)
    for k in range(2):
        assert torch.allclose(together[k], colouring(two[k : k + 1, :3] * mask[:1], mask[:1])[0], atol=1e-5)


def test_who_has_learned_nothing_goes_by_what_is_around() -> None:
    colouring = Colouring(ColouringShape(cells=CELLS_OF_BODY, components=8))
    made = told(colouring, people((0.4, -0.9, 0.4, 0.4)), (FRONT, slice(10, 64), slice(25, 45)))
    assert not colouring.learned and (made - 0.4).abs().max() < 1e-4


def test_fewer_people_than_components_are_no_harm() -> None:
    colouring = taught(crowd(1), components=30)
    assert colouring.components.isfinite().all() and not colouring.components[12:].any()
    assert told(colouring, crowd(1), (FRONT, slice(10, 64), slice(25, 45))).isfinite().all()


def test_skins_are_summed_up_where_they_are(corpus: Path, tokenizer: PoseTokenizer) -> None:
    scenes = Scenes(corpus, "train", 1, tokenizer)
    summed = worn(scenes)
    assert summed.shape == (sum(len(outfits) for _, outfits in scenes.people), 4, DEEP, UP, ACROSS)
    for one, (_, (number,)) in zip(summed, scenes.people, strict=True):
        mesh = scenes.wardrobe[number]
        colour = cv2.imdecode(np.frombuffer(mesh.texture, np.uint8), cv2.IMREAD_COLOR)[0, 0, ::-1] / 127.5 - 1
        there = one[3] > 0.5
        assert (one[:3, there] / one[3, there] - torch.tensor(colour.copy())[:, None]).abs().max() < 1e-4
        height = LOW[1] + (HIGH[1] - LOW[1]) * (torch.nonzero(there)[:, 1] + 0.5) / UP
        places = mesh.vertices[:, 1] / mesh.vertices[:, 1].max()
        assert abs(float(height.min()) - max(places.min(), LOW[1])) < 0.03 and abs(float(height.max()) - 1) < 0.03
