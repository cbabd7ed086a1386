"""Estimates what decoding a picture costs, from its header, before anything is decoded.

The memory is what is reserved. The seconds decide where a picture is decoded: here, if it is certainly cheap, or in a
process that can be ended. They are for a slow core, and for the worst that a file of this size and structure can be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image

from worker.images.decoder import Header
from worker.images.jpeg import JpegStructure
from worker.images.tiff import Tiff

_NS: Final = 1e-9
_US: Final = 1e-6

#: Bytes for each pixel that Pillow's picture of a mode takes, with all copies that converting it makes (measured, and
#: rounded up); and of one that has a transparent colour.
_CONVERTED: Final = {"RGB": 5, "L": 6, "1": 7, "P": 6, "LA": 14, "PA": 14, "RGBA": 14, "RGBa": 14, "La": 18} | {
    "CMYK": 9, "LAB": 12, "YCbCr": 9, "I": 22, "F": 22
}  # fmt: skip
_KEYED: Final = 14
_DEEP: Final = 12  # of 16 bits, in any order

#: What a JPEG 2000 may take at full size: the largest part of what it is allowed to.
_SECONDS_OF_JPEG2000: Final = 3.0

_COMPRESSION, _BITS, _SAMPLES_PER_PIXEL, _STRIPS, _ROWS = 259, 258, 277, 273, 278
_MOST_SAMPLES: Final = 8  # Pillow refuses more
_TILE_WIDTH, _TILE_LENGTH, _TILES = 322, 323, 324


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """The cost of one picture."""

    memory: int  # bytes, at most
    seconds: float  # of a slow core, at most; infinite where nobody can tell


def cost(header: Header, data: bytes, format_name: str, *, min_side: int | None) -> Cost:
    """The cost of decoding and converting a picture."""
    image = header.image
    if isinstance(header.structure, JpegStructure):
        return _jpeg(image, header.structure, data, min_side)
    pixels = image.width * image.height
    codec, seconds = _COSTS[format_name](image, data)
    seconds += header.structure + 20 * _NS * pixels
    return Cost(memory=codec + _converted(image) * pixels, seconds=seconds)


def canvas_cost(data: bytes, width: int, height: int, *, min_side: int | None) -> Cost:
    """Of a WebP, whose decoder has two canvases as soon as it is opened; the picture is there twice more."""
    pixels = width * height
    shrinks = min_side is not None and min(width, height) >= 4 * min_side
    return Cost(memory=(18 if shrinks else 28) * pixels, seconds=_NS * (80 * pixels + 60 * len(data)))


def jpeg2000_reduction(data: bytes, size: tuple[int, int], *, min_side: int | None) -> int:
    """How often a JPEG 2000 is halved inside its decoder: not at all, unless decoding would take too long.

    By the file alone and not by a clock or a setting, so that the same file gives the same pixels everywhere.
    """
    seconds = _NS * (100 * size[0] * size[1] + 200 * len(data))
    halvings = range(_halvings(data) + 1 if min_side else 1)
    large_enough = [each for each in halvings if not each or min(size) >> each >= 2 * (min_side or 0)]
    return next((each for each in large_enough if seconds / 3**each <= _SECONDS_OF_JPEG2000), large_enough[-1])


def _halvings(data: bytes) -> int:
    """Levels of a codestream's wavelets. Source: ITU-T T.800, A.6.1."""
    style = data.find(b"\xff\x52", data.find(b"\xff\x4f\xff\x51"))
    return min(32, data[style + 9]) if 0 <= style < len(data) - 9 else 0


def _converted(image: Image.Image) -> int:
    if image.mode.startswith("I;16"):
        return _DEEP
    known = _CONVERTED.get(image.mode, 24)
    return max(known, _KEYED) if "transparency" in image.info else known


def _jpeg(image: Image.Image, found: JpegStructure, data: bytes, min_side: int | None) -> Cost:
    """Decoded by rows to its final size; one of several scans keeps two bytes for each sample until the last. The
    decoder gets a copy of the file where something is left out of it (`plain_jpeg`).
    """
    pixels = image.width * image.height
    shown = pixels // draft_scale(image.size, 2 * min_side) ** 2 if min_side else pixels
    seconds = _NS * (60 * shown + 10 * pixels + 25 * len(data)) + found.opening_seconds
    coefficients = 2 * found.samples if found.buffered else 0
    if found.buffered:
        seconds += found.scans * found.samples // 64 * 40 * _NS
    return Cost(
        memory=(14 if image.mode == "CMYK" else 12) * shown + coefficients + len(data),
        seconds=seconds if found.huffman else math.inf,
    )


def draft_scale(size: tuple[int, int], side: int) -> int:
    """By how much a JPEG's decoder makes it smaller, for sides of at least ``side`` pixels."""
    return max(scale for scale in (1, 2, 4, 8) if scale == 1 or min(size) >= scale * side)


def _png(image: Image.Image, data: bytes) -> tuple[int, float]:
    samples = image.width * image.height * 8  # of 16 bits, with alpha
    return 0, _NS * (5 * samples + 30 * len(data))


def _gif(image: Image.Image, data: bytes) -> tuple[int, float]:
    return 0, _NS * (30 * image.width * image.height + 10 * len(data))


def _bmp(image: Image.Image, data: bytes) -> tuple[int, float]:
    pixels = image.width * image.height
    packed = data[30:34] in {b"\1\0\0\0", b"\2\0\0\0"}  # Pillow unpacks run lengths in Python
    return (4 * pixels, 400 * _NS * pixels + 2 * _US * len(data)) if packed else (0, 20 * _NS * len(data))


def _tiff(image: Image.Image, data: bytes) -> tuple[int, float]:
    tiff = Tiff.parse(data)
    if tiff is None:
        return 0, math.inf
    entries = tiff.directory(tiff.first).entries

    def first(tag: int, default: int) -> int:
        return next(iter(tiff.integers(entries.get(tag))), default)

    wide = max(1, first(_TILE_WIDTH, image.width))
    high = max(1, first(_TILE_LENGTH, min(image.height, first(_ROWS, image.height))))
    unit = wide * high * _pixel_bytes(first(_SAMPLES_PER_PIXEL, 1), max((1, *tiff.integers(entries.get(_BITS)))))
    across, down = -(-image.width // wide), -(-image.height // high)
    coded = unit * across * down
    pieces = max((entry.count for tag in (_STRIPS, _TILES) if (entry := entries.get(tag))), default=0)
    compressed = first(_COMPRESSION, 1) != 1
    return 2 * unit, _NS * (30 if compressed else 3) * coded + 60 * _NS * len(data) * compressed + pieces * 30 * _US


def _pixel_bytes(samples: int, bits: int) -> int:
    """Bytes per pixel, at least four: libtiff converts some kinds to RGBA itself."""
    return max(4, min(samples, _MOST_SAMPLES) * -(-min(bits, 64) // 8))


def _unknown(image: Image.Image, _: bytes) -> tuple[int, float]:
    return 10 * image.width * image.height, math.inf


def _jpeg2000(image: Image.Image, _: bytes) -> tuple[int, float]:
    return 20 * image.width * image.height, math.inf


_COSTS: Final[dict[str, Callable[[Image.Image, bytes], tuple[int, float]]]] = {
    "PNG": _png,
    "GIF": _gif,
    "BMP": _bmp,
    "TIFF": _tiff,
    "HEIF": _unknown,
    "AVIF": _unknown,
    "JPEG2000": _jpeg2000,
}
