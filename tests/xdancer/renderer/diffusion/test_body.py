"""What is learned of bodies: poses to surfaces, against the surfaces that the darkroom knows."""

from pathlib import Path

import torch
from diffusion_fixtures import TINY_BODY, standing_pose
from torch.nn import functional as F

from xdancer.renderer.diffusion.body import SIZE, BodyNetwork, BodyShape, Surface
from xdancer.renderer.diffusion.carry import looks
from xdancer.renderer.diffusion.figure import LIMBS, Figure
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.renderer import objectives
from xdancer.training.renderer.darkroom import Darkroom
from xdancer.training.renderer.scenes import Scenes, all_poses, gathered, only_references

SMALL = BodyShape(widths=(16, 16, 32), fine=16, edges=16, lift=64, motion=32, groups=4)


def network() -> BodyNetwork:
    torch.manual_seed(0)
    return BodyNetwork(BodyShape.from_dict(TINY_BODY))


def test_a_pose_says_what_is_seen_of_it_whoever_is_beside() -> None:
    net = network().eval()
    poses = torch.stack([standing_pose(), standing_pose(left_wrist=(420, 260)), torch.zeros(60, 3)])
    told = net(poses)
    assert told.shown.shape == (3, 1, *SIZE) and told.places.shape == (3, 3, *SIZE)
    assert told.shown.isfinite().all() and told.places.isfinite().all()
    alone = net(poses[1:2])
    assert torch.allclose(told.shown[1], alone.shown[0], atol=1e-5)
    assert not torch.allclose(told.shown[0], told.shown[1], atol=1e-3)


def test_surfaces_come_by_windows() -> None:
    told = network().eval()(torch.stack([standing_pose(nose=(240 + k, 180)) for k in range(6)]))
    windows = told.windows(2)
    assert windows.places.shape == (2, 3, 3, *SIZE) and torch.equal(windows.places[1, 2], told.places[5])


def test_the_darkroom_knows_which_place_of_the_body_a_pixel_shows(corpus: Path, tokenizer: PoseTokenizer) -> None:
    scenes = Scenes(corpus, "train", 2, tokenizer)
    scene = gathered([scenes[0], scenes[1]])
    darkroom = Darkroom(scenes.wardrobe, 112, 64, torch.device("cpu"), fine=1)
    (places, shown), (_, person) = darkroom.surfaces(scene), darkroom.draw(scene)
    assert torch.equal(shown, person)
    inside = shown.expand_as(places) > 0
    assert not places[~inside].any()
    heights = places[:, :, 1][shown[:, :, 0] > 0]
    assert heights.min() > -0.05 and 0.5 < heights.max() <= 1.0
    # In each of these pictures people stand upright: higher up in the picture is higher up on the body.
    for frame, there in zip(places.flatten(0, 1), shown.flatten(0, 1), strict=True):
        rows = [frame[1, y][there[0, y] > 0].mean() for y in range(112) if (there[0, y] > 0).any()]
        upper, lower = torch.stack(rows[: len(rows) // 4]).mean(), torch.stack(rows[-len(rows) // 4 :]).mean()
        assert upper > lower


def learned(
    net: BodyNetwork, poses: torch.Tensor, *shown: torch.Tensor, steps: int = 120, rate: float = 0.01
) -> list[float]:
    """Train on one batch; the losses on the way."""
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    losses = []
    for step in range(steps):
        loss = objectives.surface(net, poses, *shown, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def test_bodies_are_learned(corpus: Path, tokenizer: PoseTokenizer) -> None:
    scenes = Scenes(corpus, "train", 1, tokenizer)
    scene = gathered([scenes[k] for k in range(2)])
    darkroom = Darkroom(scenes.wardrobe, *SIZE, torch.device("cpu"), 1)
    (places, shown), (pictures, _) = darkroom.surfaces(scene), darkroom.draw(only_references(scene))
    assert pictures.shape == (2, 1, 3, *SIZE)
    torch.manual_seed(0)
    net, poses = BodyNetwork(SMALL), all_poses(scene)
    losses = learned(net, poses, places, shown, pictures[:, 0], rate=0.005)
    assert losses[-1] < 0.5 * losses[0]
    share = shown.mean()
    blind = -(share * share.log() + (1 - share) * (1 - share).log())  # who only knows how large people are
    told = net(poses.flatten(0, 1))
    assert F.binary_cross_entropy_with_logits(told.shown, shown.flatten(0, 1)) < 0.6 * blind


def test_a_picture_tells_how_wide_somebody_is() -> None:
    poses = standing_pose().expand(2, 2, -1, -1)
    near = Figure.of(poses).maps(*SIZE)[:, :, : len(LIMBS)].amax(2, keepdim=True)
    shown = (near > torch.tensor([0.7, 0.3]).reshape(2, 1, 1, 1, 1)).float()  # one is slim, one is not
    places = torch.zeros(2, 2, 3, *SIZE)
    pictures = shown[:, 0].expand(-1, 3, -1, -1) - 0.5
    torch.manual_seed(0)
    net = BodyNetwork(SMALL)
    learned(net, poses, places, shown, pictures, rate=0.005)
    guess = net(poses[:, 0])
    read = net(poses[:, 0], looks(pictures, guess))
    wrong, wrong_read = (
        float(F.binary_cross_entropy_with_logits(told.shown, shown[:, 0]).detach()) for told in (guess, read)
    )
    assert wrong_read < 0.7 * wrong


class Knows:
    """A network that has seen the surfaces (B, 1 + F, ..), its places being off by so much in the first pose and in the
    others."""

    def __init__(self, places: torch.Tensor, shown: torch.Tensor, first: float, others: float) -> None:
        logits = torch.where(shown > 0, 12.0, -12.0)
        self.first = Surface(logits[:, 0], places[:, 0] + first)
        self.others = Surface(logits[:, 1:].flatten(0, 1), places[:, 1:].flatten(0, 1) + others)

    def __call__(self, poses: torch.Tensor, looks: torch.Tensor | None = None) -> Surface:
        return self.first if len(poses) == len(self.first.shown) else self.others


def test_carrying_forgives_what_is_off_alike(corpus: Path, tokenizer: PoseTokenizer) -> None:
    scenes = Scenes(corpus, "train", 2, tokenizer)
    scene = gathered([scenes[k] for k in range(2)])
    places, shown, pictures = Darkroom(scenes.wardrobe, *SIZE, torch.device("cpu"), 1).both(scene)
    poses, generator = all_poses(scene), torch.Generator().manual_seed(0)

    def added(first: float, others: float) -> float:
        """What the picture adds to the loss of the surfaces."""
        net = Knows(places, shown, first, others)
        asked = objectives.carrying(net, poses, places, shown, pictures, generator)
        return float(asked - objectives.surface(net, poses, places, shown, pictures[:, 0], generator))

    exact, alike, apart = added(0, 0), added(0.04, 0.04), added(0, 0.04)
    assert exact < apart and abs(alike - exact) < 0.3 * (apart - exact)


def test_surfaces_and_pictures_in_one_go_are_those_of_each(corpus: Path, tokenizer: PoseTokenizer) -> None:
    scenes = Scenes(corpus, "train", 1, tokenizer)
    scene = gathered([scenes[0]])
    for fine in (1, 2):
        darkroom = Darkroom(scenes.wardrobe, 112, 64, torch.device("cpu"), fine)
        places, shown, pictures = darkroom.both(scene)
        assert all(torch.equal(a, b) for a, b in zip((places, shown), darkroom.surfaces(scene), strict=True))
        assert torch.equal(pictures, darkroom.draw(scene)[0])
