"""The UNet against diffusers' own, temporal modules against diffusers' AnimateDiff, and the reference's cached keys."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from diffusion_fixtures import shaken, tiny_unet_shape

from xdancer.renderer.diffusion import attention
from xdancer.renderer.diffusion.attention import Attention, fastest
from xdancer.renderer.diffusion.blocks import TemporalModule
from xdancer.renderer.diffusion.unet import UNet, UNetShape


def stable(**changes) -> UNet2DConditionModel:
    """diffusers' UNet at tiny widths."""
    sizes = {"block_out_channels": (8, 16, 16, 16), "cross_attention_dim": 12, "attention_head_dim": 2}
    return shaken(UNet2DConditionModel(norm_num_groups=4, **{**sizes, **changes}))


STABLE = UNetShape(channels=(8, 16, 16, 16), context=12, heads=2, temporal_heads=2, groups=4)


def test_names_and_shapes_are_those_of_stable_diffusion() -> None:
    with torch.device("meta"):
        ours = UNet(UNetShape(), temporal=False).state_dict()
        theirs = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize("size", [(16, 8), (13, 9)])
def test_computes_what_diffusers_computes(size: tuple[int, int]) -> None:
    theirs, ours = stable(), UNet(STABLE).eval()
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not unexpected and all(".motion_modules." in key for key in missing)
    latents, context, timesteps = torch.randn(3, 4, *size), torch.randn(1, 5, 12), torch.tensor([999, 500, 3])
    with torch.no_grad():
        said = ours(latents[None], timesteps[None], context=context)[0]
        torch.testing.assert_close(said, theirs(latents, timesteps, context.expand(3, -1, -1)).sample)


def test_temporal_modules_compute_what_animatediff_computes() -> None:
    ours = shaken(TemporalModule(16, heads=2, groups=4, longest=8))
    theirs = AnimateDiffTransformer3D(
        2, 8, 16, norm_num_groups=4, positional_embeddings="sinusoidal", num_positional_embeddings=8,
        attention_bias=False, double_self_attention=True, activation_fn="geglu", cross_attention_dim=None,
    ).eval()  # fmt: skip
    names = {
        "attention_blocks.0.": "attn1.", "attention_blocks.1.": "attn2.", "norms.0.": "norm1.", "norms.1.": "norm2.",
        "ff_norm.": "norm3.", "temporal_transformer.": "",
    }  # fmt: skip
    state = {}
    for key, value in ours.state_dict().items():
        for old, new in names.items():
            key = key.replace(old, new)
        state[key.replace("attn1.pos_encoder", "pos_embed").replace("attn2.pos_encoder", "pos_embed")] = value
    theirs.load_state_dict(state)
    # diffusers normalises a window as a whole, AnimateDiff each frame; where frames differ by a shift only, it is one.
    window = torch.randn(2, 1, 16, 3, 4)
    x = torch.cat([window.roll(k, -1) for k in range(4)] + [window.roll(1, -2)], dim=1).flatten(0, 1)
    with torch.no_grad():
        torch.testing.assert_close(ours(x, 5), theirs(x, num_frames=5))


def test_cached_keys_and_values_give_what_recomputed_ones_give(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = tiny_unet_shape()
    unet, net = shaken(UNet(shape)), shaken(UNet(shape, temporal=False, head=False), seed=1)
    latents, timesteps = torch.randn(2, 3, 4, 8, 5), torch.randint(1000, (2, 3))
    with torch.no_grad():
        bank = net.observe(torch.randn(2, 4, 8, 5))
        cached = unet(latents, timesteps, memory=unet.remember(bank))
        alone = unet(latents, timesteps)
        assert not torch.allclose(cached, alone, atol=1e-3)
        again = iter(bank)
        forward = Attention.forward

        def recomputed(self, x, context=None, memory=None):
            # As the public code does it: the reference's features join the frame's own before keys are made of them.
            if type(self) is Attention:
                context = torch.cat([x, next(again).repeat_interleave(3, 0)], dim=1)
            return forward(self, x, context)

        monkeypatch.setattr(Attention, "forward", recomputed)
        torch.testing.assert_close(unet(latents, timesteps), cached, atol=1e-5, rtol=1e-4)
    assert next(again, None) is None, "some of what the ReferenceNet saw was not read"


def test_every_frame_has_its_own_noise_level() -> None:
    unet = UNet(tiny_unet_shape()).eval()  # its temporal modules still do nothing, so frames are by themselves
    latents = torch.randn(1, 4, 4, 8, 5)
    mixed = torch.tensor([[0, 999, 250, 700]])
    with torch.no_grad():
        together = unet(latents, mixed)
        for frame in range(4):
            alone = unet(latents[:, frame : frame + 1], mixed[:, frame : frame + 1])
            torch.testing.assert_close(together[:, frame : frame + 1], alone, atol=1e-5, rtol=1e-4)


def test_windows_of_a_batch_do_not_see_each_other_and_frames_of_a_window_do() -> None:
    unet = shaken(UNet(tiny_unet_shape()))
    latents, timesteps = torch.randn(2, 3, 4, 8, 5), torch.randint(1000, (2, 3))
    changed = latents.clone()
    changed[0, 0] += 1
    with torch.no_grad():
        before, after = unet(latents, timesteps), unet(changed, timesteps)
    torch.testing.assert_close(before[1], after[1])
    assert (before[0, 2] - after[0, 2]).abs().max() > 1e-3


def test_maps_are_added_where_a_level_begins() -> None:
    shape = tiny_unet_shape()
    unet = shaken(UNet(shape))
    latents, timesteps = torch.randn(1, 2, 4, 8, 6), torch.randint(1000, (1, 2))
    sizes = [(8, 6), (4, 3), (2, 2)]
    maps = [torch.zeros(1, 2, c, *size) for c, size in zip(shape.entries, sizes, strict=True)]
    with torch.no_grad():
        plain = unet(latents, timesteps)
        torch.testing.assert_close(unet(latents, timesteps, maps), plain)
        for index in range(3):
            led = [m + (i == index) for i, m in enumerate(maps)]
            assert (unet(latents, timesteps, led) - plain).abs().max() > 1e-3, index


def test_the_fastest_kernel_that_runs_is_taken() -> None:
    def broken(q, k, v):
        raise RuntimeError("no such kernel on this card")

    times = {"slow": 2.0, "quick": 1.0}

    def seconds(run):
        run(None, None, None)
        return times[run.__name__]

    def slow(q, k, v): ...

    def quick(q, k, v): ...

    assert fastest({"slow": slow, "broken": broken, "quick": quick}, seconds) == "quick"
    assert attention.kernel("cpu", torch.float32) is torch.nn.functional.scaled_dot_product_attention
