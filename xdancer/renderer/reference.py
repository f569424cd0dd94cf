"""Whatever a person hands over as a picture of themselves, made into one of the size that is drawn."""

import io
import json
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from xdancer.errors import UserError
from xdancer.pose.layout import N_JOINTS

LEAST = 64  # px, the shorter side: below that there is nobody to be seen
MOST = 150_000_000  # pixels: a larger picture would take half a gigabyte to open
ENOUGH = (4 * 512, 4 * 896)  # px across and down: a JPEG is decoded no larger than it need be for the canvas
OWN = "reference.png"  # the person that a folder of weights brings along
BEHIND = (128, 128, 128)  # what shines through a transparent picture

Picture = str | Path | bytes | np.ndarray | Image.Image


def load(source: Picture, height: int, width: int) -> np.ndarray:
    """The picture, upright, RGB, uint8 (height, width, 3): a path, the bytes of a file, a PIL image, or an array uint8
    (H, W, 3).

    All of its height is kept: a wider one loses its sides, a narrower one is continued there. Raises UserError as
    `opened` does.
    """
    return _fitted(opened(source), height, width)


def opened(source: Picture) -> Image.Image:
    """The picture as `load` reads it, upright and RGB, for whoever needs it in several sizes. Raises UserError where it
    is no picture, or too small or too large to be used."""
    name = str(source) if isinstance(source, (str, Path)) else "the reference picture"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours, below
            image = _opened(source)
            _check(image, name)
            image.draft("RGB", ENOUGH)
            return _flat(ImageOps.exif_transpose(image))
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: the picture is too large; at most {MOST // 1_000_000} megapixels") from error
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file; give a picture of a person, such as a JPEG or PNG") from error
    except Exception as error:  # Pillow raises many kinds for what is not a picture
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{name}: not a picture that can be read ({reason}); give a JPEG, PNG or WebP") from error


def _opened(source: Picture) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray):
        if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8:
            raise UserError(f"the reference is an array {source.dtype} {source.shape}; expected uint8 (H, W, 3)")
        return Image.fromarray(source)
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _check(image: Image.Image, name: str) -> None:
    across, down = image.size
    if min(across, down) < LEAST:
        raise UserError(f"{name}: {across} x {down} px is too small to show a person; at least {LEAST} px a side")
    if across * down > MOST:
        raise UserError(f"{name}: {across} x {down} px is too large; at most {MOST // 1_000_000} megapixels")


def _flat(image: Image.Image) -> Image.Image:
    """The image in RGB, over grey where it is transparent."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        ground = Image.new("RGBA", clear.size, (*BEHIND, 255))
        return Image.alpha_composite(ground, clear).convert("RGB")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def _fitted(image: Image.Image, height: int, width: int) -> np.ndarray:
    across = max(round(image.width * height / image.height), 1)
    small = np.asarray(image.resize((across, height), Image.Resampling.LANCZOS, reducing_gap=3.0))
    if across >= width:
        left = (across - width) // 2
        return np.ascontiguousarray(small[:, left : left + width])
    left = (width - across) // 2
    return np.pad(small, ((0, 0), (left, width - across - left), (0, 0)), mode="edge")


def own(folder: Path) -> tuple[Path, np.ndarray]:
    """The person that a folder of weights brings along: a picture, and the pose (60, 3) in it. Raises UserError where
    there is none."""
    try:
        config = json.loads((folder / "config.json").read_text())
        pose = np.array(config["reference"]["pose"], np.float32).reshape(N_JOINTS, 3)
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder}: brings no person along; name a picture of one by `reference`") from None
    return folder / OWN, pose
