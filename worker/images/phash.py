"""The perceptual hash: 64 bits that stay mostly the same when a picture is scaled, recompressed or slightly changed.

The very bits of ``imagehash.phash``, a third of the time: https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html
"""

from __future__ import annotations

from typing import Any, Final

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

#: Sides of the picture that is transformed, how much larger it may stay before, and of the waves that are kept.
_SIDE, _SPARE, _WAVES = 32, 4, 8
#: Coefficients reach a million, and no two ways to compute them differ by a thousandth of this. Where those in the
#: middle are no further apart, rounding would decide about bits.
_CLEAR = 1e-6


def phash(pixels: Image.Image) -> int:
    """64 bits, the first the most significant, as the signed integer that Postgres' bigint holds.

    Averaging blocks first is a third of the work, and leaves the slow waves that the hash is made of as they are.
    """
    factor = min(pixels.size) // (_SPARE * _SIDE)
    pixels = pixels.reduce(factor) if factor > 1 else pixels
    grey = pixels.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    bits = _bits(np.frombuffer(grey.tobytes(), dtype=np.uint8).reshape(_SIDE, _SIDE))
    if bits is None:
        return int.from_bytes(bytes.fromhex(str(imagehash.phash(pixels))), "big", signed=True)
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)


def _bits(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_] | None:
    """Which of the slowest waves are stronger than their median; None where that is a matter of rounding.

    As two products of small matrices: a transform of the whole by FFT, of which an eighth of a quarter is kept, costs
    more, most of it in Python.
    """
    slow = (_COSINES @ grey @ _COSINES.T).ravel()
    lower, upper = np.sort(slow)[_WAVES * _WAVES // 2 - 1 :][:2]
    return slow > (lower + upper) / 2 if upper - lower > _CLEAR else None


def _cosines() -> npt.NDArray[np.float64]:
    """The first rows of the discrete cosine transform (type II, as scipy scales it)."""
    angles: Any = np.outer(np.arange(_WAVES), 2 * np.arange(_SIDE) + 1) * (np.pi / (2 * _SIDE))
    rows: npt.NDArray[np.float64] = 2 * np.cos(angles)
    return rows


_COSINES: Final = _cosines()
