"""Pictures to latents and back, in one size or two."""

import torch
from diffusers import AutoencoderTiny
from diffusion_fixtures import shaken, tiny_autoencoder_shape

from xdancer.renderer.diffusion.autoencoder import SmallAutoencoder, StableAutoencoder


def test_latents_are_an_eighth_and_pictures_come_in_two_sizes() -> None:
    net = shaken(SmallAutoencoder(tiny_autoencoder_shape()))
    latents = net.encode(torch.rand(2, 3, 64, 40) * 2 - 1)
    assert latents.shape == (2, 4, 8, 5)
    assert net.decode(latents).shape == (2, 3, 64, 40)
    assert net.decode(latents, sharp=True).shape == (2, 3, 128, 80)


def test_latents_are_standardised_and_the_decoder_knows() -> None:
    net = shaken(SmallAutoencoder(tiny_autoencoder_shape()))
    pictures = torch.rand(8, 3, 64, 40) * 2 - 1
    with torch.no_grad():
        before = net.decode(net.encode(pictures))
        net.standardise(pictures)
        latents = net.encode(pictures)
        torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
        torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
        torch.testing.assert_close(net.decode(latents), before, atol=1e-3, rtol=1e-3)


def test_a_picture_is_coded_by_itself() -> None:
    net = shaken(SmallAutoencoder(tiny_autoencoder_shape()))
    pictures = torch.rand(3, 3, 64, 40) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(net.encode(pictures)[1:2], net.encode(pictures[1:2]), atol=1e-4, rtol=1e-4)


def test_the_tiny_autoencoder_of_stable_diffusion_fits_too() -> None:
    net = StableAutoencoder(AutoencoderTiny(encoder_block_out_channels=(4,) * 4, decoder_block_out_channels=(4,) * 4))
    latents = net.encode(torch.rand(2, 3, 64, 40) * 2 - 1)
    assert latents.shape == (2, 4, 8, 5) and net.decode(latents).shape == (2, 3, 64, 40)


def test_colours_pass_whatever_the_networks_have_learned() -> None:
    """Without what the networks add, a picture comes back as the mean colours of its 8 x 8 pixels, blended."""
    net = SmallAutoencoder(tiny_autoencoder_shape())
    for last in (net.encoder[-1], net.plain[0], net.sharp[0]):
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    colour = torch.tensor([0.1, 0.7, -0.4])[None, :, None, None].expand(1, 3, 64, 40)
    for made in net.decode_both(net.encode(colour)):
        torch.testing.assert_close(made, colour[:, :, :1, :1].expand_as(made))
