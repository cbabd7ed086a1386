"""Small pictures made on the spot."""

from __future__ import annotations

import io

from PIL import Image


def picture(colour: str = "red", size: tuple[int, int] = (64, 48), kind: str = "JPEG") -> bytes:
    """An image file of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()
