"""The perceptual hash: 64 bits that stay mostly the same when a picture is scaled, recompressed or slightly changed."""

from __future__ import annotations

from typing import Final

import imagehash
from PIL import Image

#: Pixels of the shorter side that averaging blocks leaves at least: ``imagehash`` resizes to 32 × 32 from there.
_LEAST_SIDE: Final = 128


def phash(pixels: Image.Image) -> int:
    """``imagehash.phash``, the first bit the most significant, as the signed integer that Postgres' bigint holds.

    Averaging blocks first is a third of the work, and leaves the slow waves that the hash is made of as they are.
    """
    factor = min(pixels.size) // _LEAST_SIDE
    smaller = pixels.reduce(factor) if factor > 1 else pixels
    return int.from_bytes(bytes.fromhex(str(imagehash.phash(smaller))), "big", signed=True)
