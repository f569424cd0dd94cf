"""The reference carried limb by limb: what has to come out where, worked out by hand."""

from dataclasses import replace

import numpy as np
import torch
from diffusion_fixtures import tiny_model

from xdancer.pose.layout import INDEX
from xdancer.renderer.diffusion.carry import LIMBS, carried, cut_out

STANDING = {
    "nose": (256, 180), "right_eye": (246, 170), "left_eye": (266, 170), "neck": (256, 250),
    "right_shoulder": (190, 255), "left_shoulder": (322, 255), "right_elbow": (170, 360), "left_elbow": (342, 360),
    "right_wrist": (165, 460), "left_wrist": (347, 460), "right_hip": (215, 470), "left_hip": (297, 470),
    "right_knee": (210, 640), "left_knee": (302, 640), "right_ankle": (208, 800), "left_ankle": (304, 800),
}  # fmt: skip
HEIGHT, WIDTH = 224, 128


def pose(**moved: tuple[float, float]) -> torch.Tensor:
    """(60, 3) of a person who stands before the camera, some joints elsewhere."""
    joints = np.zeros((60, 3), np.float32)
    for name, place in {**STANDING, **moved}.items():
        joints[INDEX[name]] = (*place, 1)
    return torch.from_numpy(joints)


def picture() -> torch.Tensor:
    """(3, H, W): red rises to the right, green downwards, so that a colour tells its place; the person is bluer."""
    x, y = torch.linspace(-1, 1, WIDTH), torch.linspace(-1, 1, HEIGHT)
    room = torch.stack([x.expand(HEIGHT, -1), y[:, None].expand(-1, WIDTH), torch.full((HEIGHT, WIDTH), -1.0)])
    limbs = cut_out(room[None], pose()[None]).limbs[0]
    room[2][limbs >= 0] = 1.0
    return room


def carry(then: torch.Tensor, *now: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pictures, masks, _ = carried(cut_out(picture()[None], then[None]), torch.stack(now)[None])
    return pictures[0], masks[0]


def at(image: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """The colours of (C, H, W) at a place of the canvas."""
    return image[:, round(y / 4), round(x / 4)]


def test_in_its_own_pose_a_person_stays_as_they_are() -> None:
    (made,), (masks,) = carry(pose(), pose())
    inside = masks[0] > 0.2
    assert inside.float().mean() > 0.1
    assert (made - picture()).abs()[:, inside].max() < 0.02
    assert (masks[1] == 1)[inside].all() and (masks[2] == 1)[inside].all()


def test_a_raised_arm_is_the_arm_that_hung_down() -> None:
    raised = pose(left_elbow=(427, 255), left_wrist=(527, 255))
    (made,), (masks,) = carry(pose(), raised)
    halfway = at(picture(), (342 + 347) / 2, (360 + 460) / 2)  # the middle of the forearm, where it was
    assert torch.allclose(at(made, 477, 255), halfway, atol=0.05)
    assert at(masks, 477, 255)[0] > 0.9 and at(masks, 477, 255)[2] == 0
    assert at(masks, 345, 410)[0] == 0 and at(masks, 345, 410)[2] == 1  # where it is no more


def test_who_comes_nearer_is_carried_larger() -> None:
    then, now = pose(), pose()
    now[:, :2] = torch.where(now[:, 2:] > 0, (now[:, :2] - 256) * 1.3 + 256, 0.0)
    (made,), _ = carry(then, now)
    aside = at(made, (256 - 256) * 1.3 + 256 + 26, (360 - 256) * 1.3 + 256)  # 20 px beside the middle of the body
    assert torch.allclose(aside, at(picture(), 276, 360), atol=0.05)


def test_limbs_that_are_not_seen_are_left_out_without_a_hole_in_the_numbers() -> None:
    nobody = torch.zeros(60, 3)
    half = pose()
    half[[INDEX["left_knee"], INDEX["left_ankle"]]] = 0
    made, masks = carry(pose(), nobody, half)
    assert made.isfinite().all() and masks.isfinite().all()
    assert masks[0, :2].max() == 0  # nobody is in the first
    assert at(masks[1], 303, 720)[0] == 0 and at(masks[1], 209, 720)[0] > 0.9
    made, masks = carry(nobody, pose())
    assert made.isfinite().all() and masks[0, :2].max() == 0
    assert torch.allclose(made[0], picture())  # no person known: the room is all of the picture


def test_the_room_is_filled_from_around_the_person() -> None:
    cutout = cut_out(picture()[None], pose()[None])
    hidden = cutout.limbs[0] >= 0
    assert hidden.any() and len(cutout.limbs.unique()) > len(LIMBS) // 2
    far = torch.nn.functional.max_pool2d(hidden[None].float(), 31, 1, 15)[0] == 0
    assert far.any() and torch.equal(cutout.room[0][:, far], picture()[:, far])
    assert (cutout.room[0] - picture())[:2, hidden].abs().mean() < 0.15  # a slope goes on behind them
    assert (cutout.room[0][2] < -0.9).all()  # and nothing is left of them
    shoe = picture()
    shoe[2, 200:204, 58:64] = 1.0  # beside the right ankle, beyond any limb
    assert (cut_out(shoe[None], pose()[None]).room[0][2] < -0.9).all()


def test_frames_do_not_depend_on_their_neighbours() -> None:
    other = pose(right_knee=(150, 600), right_ankle=(90, 700))
    together, _ = carry(pose(), other, pose())
    alone, _ = carry(pose(), other)
    assert torch.equal(together[0], alone[0])


def test_detail_comes_from_the_reference_where_the_picture_shows_it() -> None:
    model = tiny_model()
    reference = picture()[None, :, ::4, ::4][..., :56, :32]
    moved = model.carried(model.look(reference, pose()[None]), pose()[None, None])[0]
    moved.trusted[:, :, :28] = 0
    latents = moved.maps[:, :4]
    moved = replace(moved, pictures=model.paint(latents) + 0.3 * torch.randn(1, 3, 56, 32))  # the same, in more detail
    plain, made = (model.paint(latents, with_it) for with_it in (None, moved))
    assert torch.equal(made[:, :, 22:28, 14:18], plain[:, :, 22:28, 14:18])  # a limb that is not the right one
    inside = (moved.trusted == 1).expand(-1, 3, -1, -1)
    nearer = (made - moved.pictures).abs()[inside].mean() / (plain - moved.pictures).abs()[inside].mean()
    assert nearer < 0.35
    room = (moved.away == 1).expand(-1, 3, -1, -1)
    assert room.any() and (made - moved.pictures).abs()[room].mean() < 0.1
    other = latents + 30  # somebody else altogether
    assert (model.paint(other, moved) - model.paint(other)).abs().max() < 0.05
    twice = model.paint(latents, moved, sharp=True), model.paint(latents, sharp=True)
    assert twice[0].shape == (1, 3, 112, 64)
    assert torch.equal(twice[0][:, :, 46:54, 30:34], twice[1][:, :, 46:54, 30:34])


def test_in_a_hurry_pictures_differ_by_a_shade() -> None:
    model = tiny_model()
    latents = torch.randn(2, 4, 7, 4)
    exact = model.paint(latents)
    model.hurries = True
    quick = model.paint(latents)
    assert quick.dtype == exact.dtype and 0 < (quick - exact).abs().max() < 0.05 * exact.abs().max()
