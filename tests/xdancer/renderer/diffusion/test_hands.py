"""Fingers from the joints of a hand: where they cover a picture, what they show, and what is between them."""

import math

import pytest
import torch
from diffusion_fixtures import standing_pose

from xdancer.pose.layout import INDEX, LEFT_HAND, RIGHT_HAND, mirror
from xdancer.renderer.diffusion.hands import draw_fingers

HEIGHT, WIDTH = 448, 256
HAND, TRUNK = (0.45, 0.8, 0.0), (0.05, 0.7, 0.1)  # places on the body, statures; the left hand
REACH = 60  # canvas px from wrist to finger tips


def waving(at: tuple[float, float] = (400.0, 300.0)) -> torch.Tensor:
    """(60, 3) of a person whose left hand is spread out above its wrist, which is `at` canvas px."""
    pose = standing_pose(left_wrist=at, left_elbow=(at[0] - 20, at[1] + 100))
    pose[LEFT_HAND, 2] = 1
    pose[LEFT_HAND.start, :2] = torch.tensor(at)
    for finger in range(5):
        angle = math.radians(-60 + 30 * finger)
        for k in range(4):
            far = REACH * (0.55 + 0.15 * k)
            place = at[0] + far * math.sin(angle), at[1] - far * math.cos(angle)
            pose[LEFT_HAND.start + 1 + 4 * finger + k, :2] = torch.tensor(place)
    return pose


def told(pose: torch.Tensor, behind: bool = False, seen: bool = True) -> torch.Tensor:
    """(1, 4, H, W): a mitten, 40 px wide, over a left hand that is `seen`, before the room or before a trunk `behind`
    it."""
    x, y = (torch.arange(n) + 0.5 for n in (WIDTH, HEIGHT))
    middle = (pose[LEFT_HAND, :2].mean(0) + 0.5) / 2
    mitten = (torch.hypot(x - middle[0], y[:, None] - middle[1]) < 20) & seen
    place = torch.where(mitten, torch.tensor(HAND)[:, None, None], torch.tensor(TRUNK)[:, None, None])
    return torch.cat([torch.where(mitten | behind, 9.0, -9.0)[None], place])[None]


def pixel(pose: torch.Tensor, *joints: str) -> tuple[int, int]:
    """Row and column between joints."""
    x, y = ((pose[[INDEX[j] for j in joints], k] + 0.5).mean() / 2 for k in (0, 1))
    return int(y), int(x)


TIPS = [f"left_{finger}_4" for finger in ("thumb", "index", "middle", "ring", "little")]


def test_a_mitten_before_the_room_becomes_five_fingers() -> None:
    pose = waving()
    before = told(pose)
    changed = before.clone()
    fingers = draw_fingers(changed, pose[None])
    person = fingers.outlined(torch.sigmoid(before[:, :1]))[0, 0]
    assert all(person[pixel(pose, tip)] > 0.9 for tip in TIPS)  # those too that the mitten left out
    assert all(person[pixel(pose, *pair)] < 0.1 for pair in zip(TIPS, TIPS[1:], strict=False))
    assert person[pixel(pose, "left_middle_1", "left_hand_wrist")] > 0.9  # the palm
    for tip in TIPS:
        row, column = pixel(pose, tip)
        assert torch.allclose(changed[0, 1:, row, column], torch.tensor(HAND), atol=0.01)
    far = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    far[90:200, 150:250] = False
    assert torch.equal(person[far], torch.sigmoid(before[0, 0])[far]) and torch.equal(
        changed[..., far], before[..., far]
    )


def test_between_fingers_before_somebody_is_what_is_around_the_hand() -> None:
    pose = waving()
    changed = told(pose, behind=True)
    fingers = draw_fingers(changed, pose[None])
    person = fingers.outlined(torch.ones(1, 1, HEIGHT, WIDTH))
    assert person.min() > 0.99
    row, column = pixel(pose, "left_index_3", "left_middle_3")
    assert torch.allclose(changed[0, 1:, row, column], torch.tensor(TRUNK), atol=0.02)
    row, column = pixel(pose, "left_index_3")
    assert torch.allclose(changed[0, 1:, row, column], torch.tensor(HAND), atol=0.02)


@pytest.mark.parametrize("gone", ["hidden", "unseen"])
def test_a_hand_that_is_hidden_or_not_known_stays_as_it_is(gone: str) -> None:
    pose = waving()
    before = told(pose, behind=True, seen=gone != "hidden")
    if gone == "unseen":
        pose[INDEX["left_ring_3"], 2] = 0
    changed = before.clone()
    fingers = draw_fingers(changed, pose[None])
    assert torch.equal(changed, before) and not any(part.any() for part in fingers.parts)


def test_hands_are_drawn_alike_whoever_is_beside() -> None:
    poses = torch.stack([waving(), waving((300.0, 500.0)), standing_pose(), waving((410.0, 310.0))])
    pictures = torch.cat([told(pose) for pose in poses])
    together = pictures.clone()
    fingers = draw_fingers(together, poses)
    for k in range(len(poses)):
        alone = pictures[k : k + 1].clone()
        own = draw_fingers(alone, poses[k : k + 1])
        assert torch.equal(alone[0], together[k])
        assert all(torch.equal(a[0], b[k]) for a, b in zip(own.parts, fingers.parts, strict=True))


def test_right_hands_are_left_ones_in_a_mirror() -> None:
    pose = waving()
    picture = told(pose)
    turned = picture.flip(-1) * torch.tensor([1.0, -1, 1, 1])[:, None, None]
    other = torch.from_numpy(mirror(pose[None].numpy())).float()
    assert other[0, RIGHT_HAND, 2].all()
    left, right = draw_fingers(picture, pose[None]), draw_fingers(turned, other)
    for a, b in zip(left.parts, right.parts, strict=True):
        assert torch.allclose(a, b.flip(-1), atol=1e-3)


@pytest.mark.parametrize(
    ("at", "tips"), [((470.0, 10.0), 0), ((20.0, 200.0), 3), ((256.0, 890.0), 5), ((256.0, -300.0), 0)]
)
def test_hands_that_leave_the_picture_are_cut_off_there(at: tuple[float, float], tips: int) -> None:
    pose = waving(at)
    fingers = draw_fingers(told(pose), pose[None])
    inside = [pixel(pose, tip) for tip in TIPS if (pose[INDEX[tip], :2] > 0).all()]
    assert [bool(fingers.cover[0, 0, row, column] > 0.9) for row, column in inside] == [True] * tips
    assert bool(fingers.cover.any()) == (at[1] > -REACH)


def test_colours_are_darker_where_a_finger_ends() -> None:
    pose = waving()
    fingers = draw_fingers(told(pose), pose[None])
    colours = torch.zeros(1, 3, HEIGHT, WIDTH)
    shaded = fingers.shaded(colours)
    assert shaded.min() < -0.05 and shaded.max() == 0
    row, column = pixel(pose, "left_middle_1", "left_hand_wrist")
    assert shaded[0, :, row, column].abs().max() < 0.01
