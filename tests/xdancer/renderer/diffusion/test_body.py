"""What is learned of bodies: poses to surfaces, against the surfaces that the darkroom knows."""

from pathlib import Path

import torch
from diffusion_fixtures import TINY_BODY, standing_pose

from xdancer.renderer.diffusion.body import SIZE, BodyNetwork, BodyShape
from xdancer.tokenizer import PoseTokenizer
from xdancer.training.renderer import objectives
from xdancer.training.renderer.darkroom import Darkroom
from xdancer.training.renderer.scenes import Scenes, gathered


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


def test_bodies_are_learned(corpus: Path, tokenizer: PoseTokenizer) -> None:
    scenes = Scenes(corpus, "train", 1, tokenizer)
    scene = gathered([scenes[k] for k in range(2)])
    places, shown = (v.flatten(0, 1) for v in Darkroom(scenes.wardrobe, *SIZE, torch.device("cpu"), 1).surfaces(scene))
    poses = torch.cat([scene["posed"][:, None], scene["poses"]], dim=1).flatten(0, 1)
    torch.manual_seed(0)
    net = BodyNetwork(BodyShape(widths=(16, 16, 32), fine=16, motion=32, groups=4))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(120):
        loss = objectives.surface(net, poses, places, shown)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    share = shown.mean()
    blind = -(share * share.log() + (1 - share) * (1 - share).log())  # who only knows how large people are
    told = net(poses)
    assert torch.nn.functional.binary_cross_entropy_with_logits(told.shown, shown) < 0.6 * blind
