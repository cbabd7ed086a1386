"""Files as lists of parts that can be changed and put together again, with lengths and checksums made right.

Damage that a checksum or a length gives away at once tests the checksum. What lies behind is reached only by files that
are wrong inside and right around it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class Part:
    """One chunk, segment, block or box."""

    kind: bytes
    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """How one format is taken apart. ``join(*split(data))`` is ``data``, for a file that is intact."""

    split: Callable[[bytes], tuple[bytes, list[Part]]]  # what comes before the parts, and the parts
    join: Callable[[bytes, list[Part]], bytes]
    big_endian: bool


# -- PNG: https://www.w3.org/TR/png-3/#5DataRep ------------------------------------------------------------------------
def _split_png(data: bytes) -> tuple[bytes, list[Part]]:
    parts, at = [], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        parts.append(Part(data[at + 4 : at + 8], data[at + 8 : end - 4]))
        at = end
    return data[:8], parts


def _join_png(head: bytes, parts: list[Part]) -> bytes:
    return head + b"".join(png_chunk(part.kind, part.payload) for part in parts)


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


# -- JPEG: ITU-T T.81, annex B -----------------------------------------------------------------------------------------
_WITHOUT_LENGTH: Final = frozenset((0x01, *range(0xD0, 0xDA)))


def _split_jpeg(data: bytes) -> tuple[bytes, list[Part]]:
    """Segments by marker. What follows a scan's header up to the next marker is a part without a kind."""
    parts, at = [], 0
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            end = _end_of_scan(data, at)
            parts.append(Part(b"", data[at:end]))
        elif data[at + 1] in _WITHOUT_LENGTH:
            end = at + 2
            parts.append(Part(data[at:end], b""))
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            parts.append(Part(data[at : at + 2], data[at + 4 : end]))
        at = end
    return b"", parts


def _end_of_scan(data: bytes, at: int) -> int:
    """In compressed data 0xFF is followed by 0, or by a restart marker."""
    while (at := data.find(b"\xff", at)) >= 0:
        if at + 1 < len(data) and data[at + 1] != 0 and data[at + 1] not in range(0xD0, 0xD8):
            return at
        at += 2
    return len(data)


def _join_jpeg(head: bytes, parts: list[Part]) -> bytes:
    return head + b"".join(map(_jpeg_segment, parts))


def _jpeg_segment(part: Part) -> bytes:
    if not part.kind or part.kind[1] in _WITHOUT_LENGTH:
        return part.kind + part.payload
    return part.kind + struct.pack(">H", min(len(part.payload) + 2, 65_535)) + part.payload


# -- WebP: RFC 9649 ----------------------------------------------------------------------------------------------------
def _split_webp(data: bytes) -> tuple[bytes, list[Part]]:
    parts, at = [], 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        parts.append(Part(data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return data[:12], parts


def _join_webp(head: bytes, parts: list[Part]) -> bytes:
    body = b"".join(p.kind + struct.pack("<I", len(p.payload)) + p.payload + bytes(len(p.payload) % 2) for p in parts)
    return head[:4] + struct.pack("<I", len(body) + 4) + head[8:12] + body


# -- GIF: https://www.w3.org/Graphics/GIF/spec-gif89a.txt --------------------------------------------------------------
def _split_gif(data: bytes) -> tuple[bytes, list[Part]]:
    start = 13 + _palette(data[10])
    parts, at = [], start
    while at < len(data):
        kind = data[at : at + 1]
        if kind == b",":
            body = at + 11 + _palette(data[at + 9])
        elif kind == b"!":
            body = at + 2
        else:
            parts.append(Part(kind, data[at + 1 :]))
            break
        end = _after_sub_blocks(data, body)
        parts.append(Part(kind, data[at + 1 : end]))
        at = end
    return data[:start], parts


def _palette(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, at: int) -> int:
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1


def _join_plainly(head: bytes, parts: list[Part]) -> bytes:
    return head + b"".join(part.kind + part.payload for part in parts)


# -- HEIF, AVIF, JP2: ISO/IEC 14496-12, 4.2 ----------------------------------------------------------------------------
#: Boxes that hold boxes, and how many bytes come before these.
NESTED: Final = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0} | {
    b"jp2h": 0,
    b"iref": 4,
    b"grpl": 0,
}


def split_boxes(data: bytes) -> tuple[bytes, list[Part]]:
    """The boxes of a level."""
    parts, at = [], 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big") or len(data) - at
        size = max(size, 8)
        parts.append(Part(data[at + 4 : at + 8], data[at + 8 : at + size]))
        at += size
    return b"", parts


def join_boxes(head: bytes, parts: list[Part]) -> bytes:
    """Boxes of a level, with their sizes."""
    return head + b"".join(struct.pack(">I", len(p.payload) + 8) + p.kind + p.payload for p in parts)


CONTAINERS: Final[dict[str, Container]] = {
    "PNG": Container(split=_split_png, join=_join_png, big_endian=True),
    "JPEG": Container(split=_split_jpeg, join=_join_jpeg, big_endian=True),
    "WEBP": Container(split=_split_webp, join=_join_webp, big_endian=False),
    "GIF": Container(split=_split_gif, join=_join_plainly, big_endian=False),
    "HEIF": Container(split=split_boxes, join=join_boxes, big_endian=True),
    "AVIF": Container(split=split_boxes, join=join_boxes, big_endian=True),
    "JPEG2000": Container(split=split_boxes, join=join_boxes, big_endian=True),
}
