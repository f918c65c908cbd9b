"""Pictures as arrays. Pillow reads and writes them, and is needed only by services that use them."""

import base64
import io
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from helpers.errors import UserError
from helpers.wire.errors import invalid

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MOST_PIXELS = 50_000_000  # a small file can say that it is a huge picture


def decode(data: bytes | memoryview, mode: str, field: str) -> NDArray[np.uint8]:
    """The pixels, in the wanted mode."""
    image = _pillow()
    try:
        with image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise invalid(field, f"{picture.width} × {picture.height} pixels", f"at most {MOST_PIXELS:,} in all")
            if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
                picture = image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            return np.array(picture.convert(mode), np.uint8)
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError):  # each from another of Pillow's readers
        raise invalid(field, "no picture that can be read", f"a whole {', '.join(FORMATS)}") from None


def encode(pixels: NDArray[Any]) -> bytes:
    """A PNG."""
    written = io.BytesIO()
    _pillow().fromarray(np.asarray(pixels, np.uint8)).save(written, "PNG")
    return written.getvalue()


def from_json(raw: msgspec.Raw, field: str) -> bytes:
    """A picture's bytes from {"b64": "…"}, or from the text alone."""
    try:
        told = msgspec.json.decode(raw, type=str | dict[str, str])
        return base64.b64decode(told if isinstance(told, str) else told["b64"], validate=True)
    except (KeyError, ValueError):  # msgspec's errors are some of the latter
        raise invalid(field, "no picture", 'a file in base64: {"b64": "…"}') from None


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise UserError("A service with images needs Pillow.", "python3 -m pip install pillow") from None
    return Image
