"""Detects zeros where coded pictures cannot have them: blocks of a file that were reserved but never written.

Decoders of HEIC, AVIF and JPEG 2000 make a picture of them without a word. Arithmetic coders write no long runs of
zeros, and HEVC forbids even three bytes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from worker.images.boxes import boxes, few, item_pieces

#: The longest run of zeros that a coded item may have. HEVC: those of a length in front of a unit; ITU-T H.265, 7.4.2.
#: AV1: flat pictures of 6 megapixels, white, black and with a gradient, had fewer than 8.
_MOST_ZEROS: Final = {b"hvc1": 15, b"av01": 63}
_JPEG2000: Final = b"\xff\x4f\xff\x51"
_START_OF_DATA, _END_OF_CODESTREAM, _CODING_STYLE = b"\xff\x93", b"\xff\xd9", b"\xff\x52"
_HIGH_THROUGHPUT: Final = 0x40  # of the upper byte of Rsiz; its coder may write zeros
_SIZE_SEGMENT: Final = 42  # bytes, with one component
_SLACK: Final = 64


def has_zeros_for_data(format_name: str, data: bytes) -> bool:
    """Whether the coded picture has zeros that its format cannot have. False for formats that may have any."""
    return any(
        data.find(bytes(most + 1), start, end) >= 0 for start, end, most in _CODED.get(format_name, _nothing)(data)
    )


def _nothing(_: bytes) -> Iterator[tuple[int, int, int]]:
    yield from ()


def _of_items(data: bytes) -> Iterator[tuple[int, int, int]]:
    for kind, start, end in few(boxes(data, 0, len(data))):
        if kind == b"meta":
            for coded, most in _MOST_ZEROS.items():
                for _, at, length in item_pieces(data, start + 4, end, frozenset((coded,))):
                    yield at, at + length if length else len(data), most


def _of_jpeg2000(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The tiles of a codestream. A packet of nothing is a zero, so there may be as many as packets."""
    size = data.find(_JPEG2000) + 2
    start, end = data.find(_START_OF_DATA, size), data.rfind(_END_OF_CODESTREAM)
    style = data.find(_CODING_STYLE, size, start)
    if size < 2 or min(start, style) < size or data[size + 4] & _HIGH_THROUGHPUT:  # noqa: PLR2004
        return
    most = _packets(data[size : size + _SIZE_SEGMENT], data[style : style + 48]) + _SLACK
    if most < end - start:
        yield start, end, most


def _packets(size: bytes, style: bytes) -> int:
    """How many packets a tile has at most. Source: ITU-T T.800, A.5.1, A.6.1 and B.6."""
    width, height, left, top, tile_width, tile_height = (
        int.from_bytes(size[at : at + 4], "big") for at in range(6, 30, 4)
    )
    sides = min(width - left, tile_width), min(height - top, tile_height)
    components, layers, levels = int.from_bytes(size[38:40], "big"), int.from_bytes(style[6:8], "big"), style[9]
    exponents = style[14 : 15 + levels] if style[4] & 1 else bytes([0xFF] * (levels + 1))
    precincts = 0
    for level, packed in enumerate(exponents):
        across, down = (
            (side >> (levels - level) + exponent) + 2
            for side, exponent in zip(sides, (packed & 15, packed >> 4), strict=True)
        )
        precincts += across * down
    return components * layers * precincts


_CODED: Final[dict[str, Callable[[bytes], Iterator[tuple[int, int, int]]]]] = {
    "HEIF": _of_items,
    "AVIF": _of_items,
    "JPEG2000": _of_jpeg2000,
}
