"""TIFFs built to take minutes or gigabytes. Source: TIFF 6.0."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from tests.fuzz.giants import HIGH, SQUARE, WIDE, Build, zeros
from tests.unit.images.corpus import tiff


def _entries(width: int, height: int, **more: int) -> dict[int, tuple[int, int, int]]:
    """Grey of eight bits; further tags as ``t322=16``."""
    own = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 277: 1}
    return {tag: (4, 1, value) for tag, value in (own | {int(tag[1:]): value for tag, value in more.items()}).items()}


def strip(packed: bytes, compression: int, width: int = WIDE, height: int = HIGH, **more: int) -> bytes:
    entries = _entries(width, height, t278=height, t279=len(packed), **more) | {259: (4, 1, compression)}
    entries[273] = (4, 1, 8 + 2 + 12 * (len(entries) + 1) + 4)
    return tiff(entries, rest=packed)


def _tiff_overlapping() -> bytes:
    """Fifty thousand tags that share their values."""
    packed = b"".join(struct.pack("<HHII", 33_000 + number % 15_000, 7, 600_000, 8) for number in range(50_000))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 50_000) + packed + bytes(4) + bytes(16)


def _tiff_rows(rows: int) -> bytes:
    """One row to a strip, and all strips the same bytes."""
    entries = _entries(8, rows, t278=1)
    at = 8 + 2 + 12 * (len(entries) + 2) + 4
    lists = {273: (4, rows, at), 279: (4, rows, at + 4 * rows)}
    return tiff(entries | lists, rest=struct.pack("<I", 8) * rows + struct.pack("<I", 8) * rows)


def tiles(count: int, *, compression: int = 8) -> bytes:
    """Tiles of 16 × 16 that are all the same bytes."""
    side = int(count**0.5) * 16
    count = (side // 16) ** 2
    packed = zlib.compress(bytes(256), 9)
    entries = _entries(side, side, t322=16, t323=16) | {259: (4, 1, compression)}
    at = 8 + 2 + 12 * (len(entries) + 2) + 4
    lists = {324: (4, count, at), 325: (4, count, at + 4 * count)}
    data = struct.pack("<I", at + 8 * count) * count + struct.pack("<I", len(packed)) * count + packed
    return tiff(entries | lists, rest=data)


def _tiff_directories(length: int) -> bytes:
    """A chain of directories, each of one tag."""
    first = strip(bytes(64), 1, 8, 8)
    count = length // 18
    chain = b"".join(struct.pack("<HHHIII", 1, 256, 4, 1, 8, len(first) + 18 * (number + 1)) for number in range(count))
    (entries,) = struct.unpack_from("<H", first, 8)
    at = 10 + 12 * entries
    return first[:at] + struct.pack("<I", len(first)) + first[at + 4 :] + chain


def _tiff_nested() -> bytes:
    """EXIF, GPS and interoperability directories that are the first one again, in each other."""
    return strip(bytes(64), 1, 8, 8, t34665=8, t34853=8, t40965=8, t330=8)


def _tiff_many_values(length: int) -> bytes:
    """Tags of as many values as one may have."""
    count = 200_000
    tags = {40_000 + number: (3, count, 4_096 + number * 2 * count) for number in range(length // (2 * count))}
    return (
        strip(bytes(64), 1, 8, 8)[:8]
        + tiff(
            {256: (4, 1, 8), 257: (4, 1, 8), 258: (4, 1, 8), 262: (4, 1, 1), 273: (4, 1, 8), 279: (4, 1, 64)} | tags,
            rest=bytes(length),
        )[8:]
    )


def _group4() -> bytes:
    return strip(b"\xff" * 64 + bytes(64), 4, WIDE, HIGH).replace(
        struct.pack("<HHII", 258, 4, 1, 8), struct.pack("<HHII", 258, 4, 1, 1)
    )


TIFF: Final[dict[str, Build]] = {
    "tiff large tile": lambda _: tiff(
        _entries(16, 16, t322=WIDE, t323=HIGH, t324=8, t325=64) | {259: (4, 1, 8)}, rest=bytes(64)
    ),
    "tiff large raw tile": lambda _: tiff(_entries(16, 16, t322=WIDE, t323=HIGH, t324=8, t325=64), rest=bytes(64)),
    "tiff giant tile": lambda _: tiff(
        _entries(16, 16, t322=1 << 30, t323=1 << 30, t324=8, t325=64) | {259: (4, 1, 8)}, rest=bytes(64)
    ),
    "tiff overlapping tags": lambda _: _tiff_overlapping(),
    "tiff raw rows": lambda _: _tiff_rows(65_000),
    "tiff tiles": lambda _: tiles(900_000),
    "tiff 250,000 tiles": lambda _: tiles(250_000),
    "tiff 250,000 raw tiles": lambda _: tiles(250_000, compression=1),
    "tiff deflate": lambda _: strip(zeros(WIDE * HIGH), 8),
    "tiff deflate cmyk": lambda _: strip(zeros(4 * SQUARE**2), 8, SQUARE, SQUARE, t262=5, t277=4),
    "tiff deflate deep": lambda _: strip(zeros(4 * SQUARE**2), 8, SQUARE, SQUARE, t258=32, t339=3),
    "tiff packbits": lambda _: strip(b"\x81\0" * (WIDE * HIGH // 128), 32_773),
    "tiff group 4": lambda _: _group4(),
    "tiff directories": _tiff_directories,
    "tiff nested directories": lambda _: _tiff_nested(),
    "tiff many values": _tiff_many_values,
}
