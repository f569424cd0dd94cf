"""Uploaded pictures: what is kept of them, and what is refused before it costs anything."""

import io
import os
import stat
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from engine.control import references
from engine.control.references import KEPT, SIDE, References
from xdancer.errors import UserError


def picture(width: int = 64, height: int = 48, kind: str = "PNG", colour: int = 90, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (colour, 20, 60)).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_kept_under_a_name_of_its_own(kind: str) -> None:
    kept = References()
    name = kept.add(picture(kind=kind))
    assert name in kept and name == kept.add(picture(kind=kind))
    with Image.open(kept.path(name)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (64, 48))
    folder = kept.path(name).parent
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    kept.close()
    assert not folder.exists()


def test_it_stands_upright_is_not_too_large_and_keeps_no_secrets() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lay the camera on its side
    exif[0x010E] = "where I live"
    kept = References()
    name = kept.add(picture(3000, 1000, "JPEG", exif=exif))
    with Image.open(kept.path(name)) as image:
        assert image.height == SIDE and image.width < image.height and not image.getexif()
    kept.close()


def bomb() -> bytes:
    """A PNG of some kB that claims 100 000 x 100 000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(2**20))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", bomb(), picture()[:60], picture(kind="GIF"), picture(kind="BMP"), b"<svg/>", bytes(2**24)],
    ids=["empty", "text", "bomb", "cut", "gif", "bmp", "svg", "large"],
)  # fmt: skip
def test_what_is_no_picture_is_refused_in_one_line(data: bytes) -> None:
    kept = References()
    with pytest.raises(UserError) as caught:
        kept.add(data)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("reference: ")
    kept.close()


def test_pixels_are_counted_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "MOST_PIXELS", 64 * 48)
    kept = References()
    kept.add(picture(64, 48))
    with pytest.raises(UserError, match="megapixels"):
        kept.add(picture(64, 49))
    kept.close()


def test_the_longest_unused_goes() -> None:
    kept = References()
    names = [kept.add(picture(colour=k)) for k in range(KEPT)]
    kept.path(names[0])  # in use
    last = kept.add(picture(colour=200))
    assert names[0] in kept and last in kept and names[1] not in kept
    assert len(list(Path(kept.path(last)).parent.iterdir())) == KEPT
    with pytest.raises(UserError, match="upload it"):
        kept.path(names[1])
    kept.close()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "", "http://x/y.png"])
def test_a_name_is_never_a_path(name: str) -> None:
    kept = References()
    with pytest.raises(UserError):
        kept.path(name)
    kept.close()
