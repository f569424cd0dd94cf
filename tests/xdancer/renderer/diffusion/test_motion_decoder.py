"""What leads the UNet: the motion decoder's maps, and drawn skeletons."""

import numpy as np
import pytest
import torch
from diffusion_fixtures import shaken, tiny_motion_shape, tiny_unet_shape

from xdancer.pose.layout import CANVAS_HEIGHT, CANVAS_WIDTH, INDEX, N_JOINTS
from xdancer.renderer.diffusion.guider import PoseGuider, skeletons
from xdancer.renderer.diffusion.motion import JointMaps, MotionDecoder, normalised
from xdancer.renderer.diffusion.unet import UNet


def motion(batch: int = 2, frames: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    joints = rng.uniform(0, 1, (batch, frames, N_JOINTS, 3)) * [CANVAS_WIDTH - 1, CANVAS_HEIGHT - 1, 1]
    return torch.from_numpy(rng.integers(0, 512, (batch, frames, 30))), torch.from_numpy(joints).float()


@pytest.mark.parametrize("size", [(8, 6), (9, 5)])
def test_maps_fit_every_level_of_the_unet(size: tuple[int, int]) -> None:
    unet, shape = shaken(UNet(tiny_unet_shape())), tiny_motion_shape()
    decoder = shaken(MotionDecoder(shape, unet.shape.entries))
    maps = decoder(*motion(), *size)
    assert len(maps) == 3 and maps[0].shape == (2, 4, 8, *size)
    latents, timesteps = torch.randn(2, 4, 4, *size), torch.randint(1000, (2, 4))
    with torch.no_grad():
        assert (unet(latents, timesteps, maps) - unet(latents, timesteps)).abs().max() > 1e-3


def test_an_untrained_decoder_leaves_the_unet_alone() -> None:
    decoder = MotionDecoder(tiny_motion_shape(), (8, 8, 16)).eval()
    assert all((m == 0).all() for m in decoder(*motion(), 8, 6))


@pytest.mark.parametrize("positions", [False, True])
def test_tokens_and_joints_of_a_frame_both_tell(positions: bool) -> None:
    decoder = shaken(MotionDecoder(tiny_motion_shape(positions=positions), (8, 8, 16)))
    tokens, joints = motion()
    with torch.no_grad():
        plain = decoder(tokens, joints, 8, 6)
        other_tokens, other_joints = tokens.clone(), joints.clone()
        other_tokens[0, 1, 7] = (other_tokens[0, 1, 7] + 1) % 512
        other_joints[0, 1, 4, 0] += 100
        for changed in (decoder(other_tokens, joints, 8, 6), decoder(tokens, other_joints, 8, 6)):
            assert all((a[0, 1] - b[0, 1]).abs().max() > 1e-5 for a, b in zip(plain, changed, strict=True))
            # The window hears of it through the temporal modules, the other window does not.
            assert (plain[0][0, 3] - changed[0][0, 3]).abs().max() > 1e-7
            torch.testing.assert_close(plain[0][1], changed[0][1])


def test_a_window_that_lost_its_tokens_in_training_is_one_drawn_without() -> None:
    shape = tiny_motion_shape(token_dropout=1.0)
    decoder = shaken(MotionDecoder(shape, (8, 8, 16)))
    tokens, joints = motion()
    with torch.no_grad():
        without = decoder(None, joints, 8, 6)
        assert (decoder(tokens, joints, 8, 6)[0] - without[0]).abs().max() > 1e-4
        torch.testing.assert_close(decoder.train()(tokens, joints, 8, 6)[0], without[0])


def test_a_joint_marks_its_place_and_only_as_far_as_it_is_seen() -> None:
    maps = JointMaps(1)
    torch.nn.init.zeros_(maps.channels.weight)
    wrist = INDEX["right_wrist"]
    maps.channels.weight.data[0, wrist] = 1.0
    pose = torch.zeros(2, N_JOINTS, 3)
    pose[0, wrist] = torch.tensor([16 * 5 - 0.5, 16 * 13 - 0.5, 1.0])  # in a grid of 16 px cells: column 5, row 13
    pose[1, wrist] = torch.tensor([16 * 5 - 0.5, 16 * 13 - 0.5, 0.5])
    with torch.no_grad():
        out = maps(normalised(pose), CANVAS_HEIGHT // 16, CANVAS_WIDTH // 16)[:, 0]
    corner = out[0, 12:14, 4:6]  # the joint is where these four cells meet
    assert torch.allclose(corner, corner.mean().expand(2, 2), atol=1e-5) and out[0].max() == corner.max()
    torch.testing.assert_close(out[1], 0.5 * out[0])
    assert out[0, :6].abs().max() < 1e-6
    with torch.no_grad():
        assert (maps(normalised(torch.zeros(1, N_JOINTS, 3)), 8, 6) == 0).all()


def test_decoder_and_unet_must_have_as_many_levels() -> None:
    with pytest.raises(ValueError, match="3 levels for a UNet of 2"):
        MotionDecoder(tiny_motion_shape(), (8, 16))


def test_skeletons_are_drawn_where_the_joints_are() -> None:
    pose = np.zeros((2, N_JOINTS, 3), dtype=np.float32)
    pose[0, INDEX["neck"]], pose[0, INDEX["nose"]] = (256, 300, 0.9), (256, 200, 0.9)
    pose[1] = pose[0] * [1, 1, 0.1]  # hardly seen
    drawn = skeletons(pose, 224, 128)
    assert drawn.shape == (2, 3, 224, 128) and drawn.max() <= 1 and drawn.min() == 0
    rows, columns = torch.nonzero(drawn[0].sum(0) > 0.3, as_tuple=True)
    assert 47 <= rows.min() <= 50 and 75 <= rows.max() <= 78 and columns.min() >= 62 and columns.max() <= 66
    assert (drawn[1] == 0).all()


def test_guider_brings_pictures_to_the_latents() -> None:
    guider = PoseGuider(8, (2, 3, 4, 5))
    drawn = torch.rand(2, 3, 64, 40)
    assert guider(drawn).shape == (2, 8, 8, 5) and (guider(drawn) == 0).all()
    assert shaken(guider)(drawn).std() > 0
