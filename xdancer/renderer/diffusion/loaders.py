"""Weights of others: a Stable Diffusion 1.5 folder, and a folder laid out as Moore-AnimateAnyone lays it out.

Every key is accounted for: one that is missing, left over or of another shape is named. Nothing that could run code is
ever unpickled.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xdancer.errors import UserError
from xdancer.renderer.diffusion.autoencoder import StableAutoencoder
from xdancer.renderer.diffusion.model import DiffusionModel, ModelShape
from xdancer.renderer.diffusion.motion import MotionShape
from xdancer.renderer.diffusion.unet import UNetShape

State = dict[str, Tensor]

MOORE = ("denoising_unet.pth", "reference_unet.pth", "pose_guider.pth", "motion_module.pth")
MOORE_NOISE = {"curve": "linear", "zero_terminal": True, "prediction": "v"}
STABLE_NOISE = {"curve": "scaled_linear", "zero_terminal": False, "prediction": "epsilon"}
NET_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
ENCODER_FILES = ("model.safetensors", "pytorch_model.bin")
VAE_FOLDERS = ("vae", "sd-vae-ft-mse")
HEAD = ("conv_norm_out.", "conv_out.")  # a ReferenceNet has none, though its file may
# Attention in autoencoders, as diffusers called it before 0.17.
RENAMED = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def is_moore(folder: Path) -> bool:
    return any((folder / name).exists() for name in MOORE)


def is_stable_diffusion(folder: Path) -> bool:
    return (folder / "unet" / "config.json").exists()


def moore(folder: Path, size: tuple[int, int]) -> DiffusionModel:
    """A renderer on drawn skeletons, from the four files, Stable Diffusion's autoencoder and CLIP's image encoder.

    Raises UserError naming the file or the key that is wrong.
    """
    missing = next((name for name in MOORE if not (folder / name).exists()), None)
    if missing:
        raise UserError(f"{folder}: no {missing}; such a folder holds {', '.join(MOORE)}")
    denoising, reference, guider, motion = (read(folder / name) for name in MOORE)
    shape = unet_shape({**motion, **denoising}, folder / MOORE[0])
    widths = _guider_widths(guider, folder / MOORE[2])
    whole = ModelShape(size=size, unet=shape, guider=widths, autoencoder=None, noise=MOORE_NOISE)
    model = DiffusionModel(whole, autoencoder(folder), image_encoder(folder, shape.context))
    fill(model.unet, {**motion, **denoising}, f"{folder / MOORE[0]} with {MOORE[3]}")
    fill(model.reference, reference, folder / MOORE[1], extra=HEAD)
    assert model.guider is not None
    fill(model.guider, guider, folder / MOORE[2])
    return model.eval()


def stable_diffusion(folder: Path, size: tuple[int, int], motion: MotionShape) -> DiffusionModel:
    """A renderer to be trained: UNet and ReferenceNet begin as the folder's UNet; the motion decoder and the temporal
    modules begin by changing nothing. CLIP's image encoder is used where the folder has one.

    Raises UserError naming the file or the key that is wrong.
    """
    path = _file(folder / "unet", NET_FILES)
    state = read(path)
    config = _json(folder / "unet" / "config.json")
    heads = config.get("attention_head_dim", 8)  # diffusers' name for it; the file means the number of heads
    if not isinstance(heads, int):
        raise UserError(f"{folder}/unet/config.json: attention_head_dim: not a Stable Diffusion 1.5 UNet")
    shape = unet_shape(state, path, heads)
    whole = ModelShape(size=size, unet=shape, motion=motion, autoencoder=None, noise=STABLE_NOISE)
    model = DiffusionModel(whole, *companions(folder, whole))
    temporal = tuple(k for k in model.unet.state_dict() if ".motion_modules." in k)
    fill(model.unet, state, path, missing=temporal)
    fill(model.reference, state, path, extra=HEAD)
    return model.eval()


def companions(folder: Path, shape: ModelShape) -> tuple[nn.Module, nn.Module | None]:
    """The autoencoder of a Stable Diffusion folder, and CLIP's image encoder, where the folder has one."""
    known = (folder / "image_encoder").is_dir()
    return autoencoder(folder), image_encoder(folder, shape.unet.context) if known else None


def autoencoder(folder: Path) -> StableAutoencoder:
    """AutoencoderKL or AutoencoderTiny from `vae` or `sd-vae-ft-mse` in the folder."""
    import diffusers

    home = next((folder / name for name in VAE_FOLDERS if (folder / name).is_dir()), None)
    if home is None:
        raise UserError(f"{folder}: no autoencoder; put Stable Diffusion's into {folder / VAE_FOLDERS[0]}")
    config = _json(home / "config.json")
    kind = config.get("_class_name", "AutoencoderKL")
    if kind not in ("AutoencoderKL", "AutoencoderTiny"):
        raise UserError(f"{home}/config.json: _class_name {kind!r} is neither AutoencoderKL nor AutoencoderTiny")
    net = getattr(diffusers, kind).from_config(config)
    path = _file(home, NET_FILES)
    state = {_renamed(key): value for key, value in read(path).items()}
    for key, value in state.items():  # the older names also had these as convolutions of one pixel
        if "attentions" in key and value.ndim == 4:
            state[key] = value[:, :, 0, 0]
    fill(net, state, path)
    return StableAutoencoder(net)


def image_encoder(folder: Path, width: int) -> nn.Module:
    """CLIP's image encoder from `image_encoder` in the folder; its embedding has `width` numbers."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    home = folder / "image_encoder"
    if not home.is_dir():
        raise UserError(f"{folder}: no image_encoder; put CLIP's image encoder there")
    config = CLIPVisionConfig.from_dict(_json(home / "config.json"))
    if config.projection_dim != width:
        raise UserError(f"{home}/config.json: projection_dim {config.projection_dim}, but the UNet reads {width}")
    net = CLIPVisionModelWithProjection(config)
    path = _file(home, ENCODER_FILES)
    fill(net, read(path), path, extra=("vision_model.embeddings.position_ids",))
    return net


def read(path: Path) -> State:
    """The tensors of a safetensors or PyTorch file. Raises UserError where it is damaged or would run code."""
    from safetensors.torch import load_file

    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # both raise many kinds for a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: damaged, or more than weights ({reason}); it was not loaded") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: not a file of named tensors")
    return state


def fill(
    module: nn.Module, state: State, where: Path | str, missing: Sequence[str] = (), extra: Sequence[str] = ()
) -> None:
    """Load `state` into `module`, every key accounted for but those that begin with one of `missing` (not in the file)
    or `extra` (not in the module). Raises UserError naming the first key that is wrong."""
    own = module.state_dict()
    for key, value in own.items():
        if key not in state and not key.startswith(tuple(missing)):
            raise UserError(f"{where}: no {key}, which the network needs")
        if key in state and state[key].shape != value.shape:
            raise UserError(
                f"{where}: {key} has shape {tuple(state[key].shape)}, but the network needs {tuple(value.shape)}"
            )
    unknown = next((key for key in state if key not in own and not key.startswith(tuple(extra))), None)
    if unknown:
        raise UserError(f"{where}: {unknown} is not a part of the network")
    module.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)


def unet_shape(state: State, where: Path | str, heads: int = 8) -> UNetShape:
    """The shape of the UNet whose weights these are. Raises UserError where they are not of this family."""
    levels, layers = _count(state, r"down_blocks\.(\d+)\."), _count(state, r"down_blocks\.0\.resnets\.(\d+)\.")
    try:
        channels = tuple(len(state[f"down_blocks.{i}.resnets.0.conv1.weight"]) for i in range(levels))
        attention = tuple(f"down_blocks.{i}.attentions.0.norm.weight" in state for i in range(levels))
        context = state["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"].shape[1]
        latent = state["conv_in.weight"].shape[1]
    except KeyError as error:
        raise UserError(f"{where}: no {error.args[0]}; not a UNet of Stable Diffusion 1.5's kind") from error
    pe = next((value for key, value in state.items() if key.endswith("pos_encoder.pe")), None)
    longest = pe.shape[1] if pe is not None else UNetShape.longest
    if not channels or not layers:
        raise UserError(f"{where}: no down_blocks; not a UNet of Stable Diffusion 1.5's kind")
    return UNetShape(latent, channels, layers, attention, heads, context=context, longest=longest)


def _guider_widths(state: State, where: Path) -> tuple[int, ...]:
    try:
        return (len(state["conv_in.weight"]), *(len(state[f"blocks.{i}.weight"]) for i in (1, 3, 5)))
    except KeyError as error:
        raise UserError(f"{where}: no {error.args[0]}; not a pose guider") from error


def _count(state: State, pattern: str) -> int:
    return 1 + max((int(match[1]) for key in state if (match := re.match(pattern, key))), default=-1)


def _renamed(key: str) -> str:
    if ".attentions." in key:
        for old, new in RENAMED.items():
            key = key.replace(old, new)
    return key


def _file(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise UserError(f"{folder}: no weights; expected {' or '.join(names)}")


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable configuration ({error})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: not a configuration")
    return values
