"""Pictures of who is to dance, as performers upload them: checked, bounded, and named by us."""

import hashlib
import io
import tempfile
from collections import OrderedDict
from pathlib import Path

from PIL import Image, ImageOps

from xdancer.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP")
MOST_BYTES = 8 * 1024 * 1024
MOST_PIXELS = 25_000_000  # checked before anything is unpacked; phones say 24 megapixels of 24.5
SIDE = 2048  # px: what is kept is no larger
KEPT = 16  # pictures; the one not asked for the longest goes


class References:
    """The pictures of this show, as PNG in a folder of our own that goes when the show does."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="xdancer-", ignore_cleanup_errors=True)
        self._names: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def path(self, name: str) -> Path:
        """Where the picture `name` is, for the studio. Raises UserError where there is none."""
        if name not in self._names:
            raise UserError(f"reference: there is no picture {name[:16]!r}; upload it first, to /api/reference")
        self._names.move_to_end(name)
        return Path(self._folder.name) / f"{name}.png"

    def add(self, data: bytes) -> str:
        """Keep a JPEG, PNG or WebP; return its name, 16 hexadecimal digits that the picture alone decides.

        Raises UserError where it is none, or too large. Takes some 100 ms: not for the event loop.
        """
        picture = _decoded(data)
        kept = io.BytesIO()
        picture.save(kept, "PNG")
        name = hashlib.sha256(picture.tobytes()).hexdigest()[:16]
        (Path(self._folder.name) / f"{name}.png").write_bytes(kept.getvalue())
        self._names[name] = None
        self._names.move_to_end(name)
        while len(self._names) > KEPT:
            oldest, _ = self._names.popitem(last=False)
            (Path(self._folder.name) / f"{oldest}.png").unlink(missing_ok=True)
        return name

    def close(self) -> None:
        """Forget them all."""
        self._names.clear()
        self._folder.cleanup()


def _decoded(data: bytes) -> Image.Image:
    """RGB, upright, at most SIDE on its longer side, with nothing of the file but its pixels."""
    if len(data) > MOST_BYTES:
        raise UserError(f"reference: at most {MOST_BYTES // 2**20} MB")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise UserError(f"reference: at most {MOST_PIXELS // 10**6} megapixels")
            picture.draft("RGB", (SIDE, SIDE))  # a JPEG need not be unpacked at full size
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except UserError:
        raise
    except Exception:  # decoders trip in many ways over what strangers send
        raise UserError("reference: not a JPEG, PNG or WebP picture") from None
    upright.thumbnail((SIDE, SIDE))
    return Image.frombytes("RGB", upright.size, upright.tobytes())
