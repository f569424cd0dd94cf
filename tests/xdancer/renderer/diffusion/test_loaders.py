"""Folders of others' weights, made here at tiny widths from modules with the same key names."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from diffusion_fixtures import shaken
from stable_fixtures import MOTION, SHAPE, write_parts
from transformers import CLIPVisionModelWithProjection

from xdancer.errors import UserError
from xdancer.renderer.diffusion import loaders
from xdancer.renderer.diffusion.guider import PoseGuider
from xdancer.renderer.diffusion.renderer import load
from xdancer.renderer.diffusion.unet import UNet


@pytest.fixture(scope="session")
def made_moore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moore")
    torch.manual_seed(0)
    denoising = shaken(UNet(SHAPE)).state_dict()
    motion = {k: v for k, v in denoising.items() if ".motion_modules." in k}
    torch.save({k: v for k, v in denoising.items() if k not in motion}, folder / "denoising_unet.pth")
    torch.save(motion, folder / "motion_module.pth")
    torch.save(shaken(UNet(SHAPE, temporal=False), seed=1).state_dict(), folder / "reference_unet.pth")
    torch.save(shaken(PoseGuider(32, (2, 3, 4, 5)), seed=2).state_dict(), folder / "pose_guider.pth")
    write_parts(folder)
    return folder


@pytest.fixture
def stable(made_stable: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_stable, tmp_path / "sd15"))


@pytest.fixture
def moore(made_moore: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_moore, tmp_path / "moore"))


def changed(path: Path, change) -> None:
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def test_a_stable_diffusion_folder_computes_what_diffusers_computes(stable: Path) -> None:
    model = loaders.stable_diffusion(stable, (64, 96), MOTION)
    unet = UNet2DConditionModel.from_pretrained(stable / "unet")
    vae = AutoencoderKL.from_pretrained(stable / "vae")
    pictures, timesteps, context = torch.rand(2, 3, 64, 96) * 2 - 1, torch.tensor([900, 20]), torch.randn(1, 1, 12)
    with torch.no_grad():
        latents = model.autoencoder.encode(pictures)
        torch.testing.assert_close(latents, vae.encode(pictures).latent_dist.mode() * vae.config.scaling_factor)
        torch.testing.assert_close(model.autoencoder.decode(latents), vae.decode(latents / 0.18215).sample)
        maps = model.lead(None, torch.rand(1, 2, 60, 3), 8, 12)
        said = model.unet(latents[None], timesteps[None], maps, context=context)[0]
        torch.testing.assert_close(said, unet(latents, timesteps, context.expand(2, -1, -1)).sample)
        # The ReferenceNet is the same network: on a clean picture it attends to what diffusers' attends to.
        seen: list[torch.Tensor] = []
        block = unet.up_blocks[1].attentions[0].transformer_blocks[0].norm1
        block.register_forward_hook(lambda module, inputs, output: seen.append(output))
        unet(latents, 0, context.expand(2, -1, -1))
        bank = model.reference.observe(latents, context.expand(2, -1, -1))
        assert any(b.shape == seen[0].shape and torch.allclose(b, seen[0], atol=1e-4) for b in bank)


def test_a_moore_folder_computes_what_its_parts_compute(moore: Path) -> None:
    model = load(moore, (64, 40)).model
    plain = UNet(SHAPE)
    plain.load_state_dict({**loaders.read(moore / "denoising_unet.pth"), **loaders.read(moore / "motion_module.pth")})
    net = UNet(SHAPE, temporal=False)
    net.load_state_dict(loaders.read(moore / "reference_unet.pth"))
    encoder = CLIPVisionModelWithProjection.from_pretrained(moore / "image_encoder")
    picture, latents, timesteps = torch.rand(1, 3, 64, 40) * 2 - 1, torch.randn(1, 3, 4, 8, 5), torch.tensor([[9] * 3])
    poses = torch.rand(1, 3, 60, 3) * torch.tensor([511, 895, 1.0])
    with torch.no_grad():
        sight = model.look(picture)
        assert sight.context is not None and sight.context.shape == (1, 1, 12)
        torch.testing.assert_close(sight.context, model.describe(picture))
        maps = model.lead(None, poses, 8, 5)
        assert len(maps) == 1 and maps[0].abs().max() > 0
        want = plain(
            latents, timesteps, maps, plain.remember(net.observe(model.autoencoder.encode(picture), sight.context)),
            sight.context,
        )  # fmt: skip
        torch.testing.assert_close(model.predict(latents, timesteps, maps, sight), want)
        # Guidance goes from the answer without a reference to the one with it, and further.
        without = plain(latents, timesteps, maps, context=torch.zeros(1, 1, 12))
        torch.testing.assert_close(
            model.predict(latents, timesteps, maps, sight, guidance=3.5), without + 3.5 * (want - without)
        )
        even = torch.zeros(1, 3, 224, 224)  # grey, so that enlarging changes nothing
        pixels = (even + 0.5 - torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]) / torch.tensor(
            [0.26862954, 0.26130258, 0.27577711]
        )[:, None, None]
        torch.testing.assert_close(model.describe(torch.zeros(1, 3, 64, 40)), encoder(pixels).image_embeds[:, None])


def test_older_names_in_an_autoencoder(stable: Path) -> None:
    before = loaders.autoencoder(stable)
    old = {new: name for name, new in loaders.RENAMED.items()}
    state = {}
    for key, value in before.net.state_dict().items():
        if ".attentions." in key:
            for new, name in old.items():
                key = key.replace(new, name)
        state[key] = value
    (stable / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(state, stable / "vae" / "diffusion_pytorch_model.bin")
    after = loaders.autoencoder(stable)
    torch.testing.assert_close(after.net.state_dict(), before.net.state_dict())


def test_the_tiny_autoencoder_may_stand_in(stable: Path) -> None:
    shutil.rmtree(stable / "vae")
    AutoencoderTiny(encoder_block_out_channels=(4,) * 4, decoder_block_out_channels=(4,) * 4).save_pretrained(
        stable / "sd-vae-ft-mse"
    )
    assert (
        loaders.stable_diffusion(stable, (64, 40), MOTION).autoencoder.encode(torch.zeros(1, 3, 64, 40)).shape[1] == 4
    )


KEY = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("denoising_unet.pth", lambda s: s.pop(KEY), f"no {KEY}"),
        ("denoising_unet.pth", lambda s: s.update({"lora.up": torch.zeros(1)}), "lora.up is not a part"),
        ("denoising_unet.pth", lambda s: s.update({KEY: torch.zeros(64, 7)}), rf"{KEY} has shape \(64, 7\)"),
        ("reference_unet.pth", lambda s: s.pop(KEY), f"no {KEY}"),
        ("motion_module.pth", lambda s: s.popitem(), "no .*motion_modules"),
        ("pose_guider.pth", lambda s: s.pop("blocks.5.weight"), "no blocks.5.weight"),
        ("pose_guider.pth", lambda s: s.pop("conv_out.bias"), "no conv_out.bias"),
    ],
)
def test_every_key_is_accounted_for(moore: Path, file: str, change, says: str) -> None:
    changed(moore / file, change)
    with pytest.raises(UserError, match=says) as raised:
        load(moore, (64, 40))
    assert file in str(raised.value) and "\n" not in str(raised.value)


def test_a_file_that_is_missing_is_named(moore: Path, stable: Path) -> None:
    (moore / "pose_guider.pth").unlink()
    with pytest.raises(UserError, match=r"no pose_guider\.pth"):
        load(moore)
    shutil.rmtree(stable / "vae")
    with pytest.raises(UserError, match="no autoencoder"):
        load(stable)


class Trap:
    def __reduce__(self):
        return os.mkdir, (str(self.path),)

    def __init__(self, path: Path) -> None:
        self.path = path


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(moore: Path, tmp_path: Path) -> None:
    torch.save({"conv_in.weight": Trap(tmp_path / "sprung")}, moore / "reference_unet.pth")
    with pytest.raises(UserError, match=r"reference_unet\.pth: damaged, or more than weights"):
        load(moore)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"not weights"])
def test_a_damaged_file_is_named(moore: Path, content: bytes) -> None:
    (moore / "motion_module.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"motion_module\.pth: damaged"):
        load(moore)


def test_weights_of_another_family_are_named(stable: Path, moore: Path) -> None:
    config = json.loads((stable / "unet" / "config.json").read_text())
    (stable / "unet" / "config.json").write_text(json.dumps({**config, "attention_head_dim": [5, 10]}))
    with pytest.raises(UserError, match="attention_head_dim"):
        load(stable)
    torch.save({"weight": torch.zeros(3)}, moore / "denoising_unet.pth")
    with pytest.raises(UserError, match="not a UNet of Stable Diffusion"):
        load(moore)
