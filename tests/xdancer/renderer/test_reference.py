"""Reference pictures as people have them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdancer.errors import UserError
from xdancer.renderer import reference

RED, BLUE = (220, 30, 30), (30, 30, 220)


def halves(width: int = 140, height: int = 200) -> Image.Image:
    """Red above, blue below."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (0, height // 2, width, height))
    return image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def upright(picture: np.ndarray) -> bool:
    """Whether it shows red above and blue below."""
    assert picture.shape == (112, 64, 3) and picture.dtype == np.uint8
    above, below = picture[20, 32].astype(int), picture[90, 32].astype(int)
    return bool(np.abs(above - RED).max() < 50 and np.abs(below - BLUE).max() < 50)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_pictures_of_all_kinds_from_bytes_and_from_files(kind: str, tmp_path: Path) -> None:
    content = encoded(halves(), kind)
    assert upright(reference.load(content, 112, 64))
    path = tmp_path / "me"
    path.write_bytes(content)
    assert upright(reference.load(path, 112, 64)) and upright(reference.load(str(path), 112, 64))


def test_arrays_and_pil_images() -> None:
    assert upright(reference.load(halves(), 112, 64))
    assert upright(reference.load(np.asarray(halves()), 112, 64))
    with pytest.raises(UserError, match=r"float64 \(4, 4\)"):
        reference.load(np.zeros((4, 4)), 112, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation_by_exif(orientation: int) -> None:
    undo = {
        1: [], 2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE], 6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE], 8: [Image.Transpose.ROTATE_270],
    }  # fmt: skip
    stored = halves()
    for turn in undo[orientation]:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert upright(reference.load(encoded(stored, "JPEG", exif=exif), 112, 64))


def test_other_colours() -> None:
    assert upright(reference.load(encoded(halves().convert("CMYK"), "JPEG"), 112, 64))
    assert upright(reference.load(encoded(halves().convert("P"), "PNG"), 112, 64))
    grey = reference.load(encoded(halves().convert("L"), "PNG"), 112, 64)
    assert (grey[..., 0] == grey[..., 1]).all()
    deep = Image.fromarray(np.full((200, 140), 40000, dtype=np.uint16))
    assert abs(int(reference.load(encoded(deep, "PNG"), 112, 64)[50, 30, 0]) - 156) <= 1


def test_what_is_transparent_lies_over_grey() -> None:
    image = halves().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    assert (reference.load(encoded(image, "PNG"), 112, 64) == 128).all()
    image.putalpha(Image.new("L", image.size, 255))
    assert upright(reference.load(encoded(image, "PNG"), 112, 64))


def test_a_hundred_megapixels() -> None:
    assert upright(reference.load(encoded(halves(10000, 10000), "JPEG"), 112, 64))


def test_a_wide_picture_loses_its_sides_and_a_narrow_one_is_continued() -> None:
    wide = Image.new("RGB", (800, 200), RED)
    wide.paste(BLUE, (350, 0, 450, 200))
    assert (np.abs(reference.load(wide, 112, 64)[:, 6:-6].astype(int) - BLUE) < 8).all()
    narrow = Image.new("RGB", (80, 400), RED)
    assert (np.abs(reference.load(narrow, 112, 64).astype(int) - RED) < 8).all()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"this is a letter", "not a picture"),
        (b"", "not a picture"),
        (encoded(halves(), "JPEG")[:400], "not a picture"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "1 x 1 px is too small"),
        (encoded(Image.new("1", (14000, 14000)), "PNG"), "too large; at most 150 megapixels"),
        (encoded(Image.new("1", (12500, 12500)), "PNG"), "12500 x 12500 px is too large"),
    ],
    ids=["text", "nothing", "cut short", "one pixel", "far too large", "too large"],
)
def test_what_cannot_be_used_is_said_in_a_line(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "me.jpg"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(UserError, match=says) as raised:
            reference.load(source, 112, 64)
        assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"nobody\.jpg: no such file"):
        reference.load("nobody.jpg", 112, 64)
