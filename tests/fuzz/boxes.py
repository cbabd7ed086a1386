"""HEIF and AVIF files put together box by box, of pictures coded once and used often. Source: ISO/IEC 23008-12."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Final

from PIL import Image

from tests.fuzz.containers import Part, join_boxes, split_boxes
from tests.unit.images.corpus import encode

_CODED: Final = {"HEIF": (b"hvc1", b"hvcC"), "AVIF": (b"av01", b"av1C")}
_BRAND: Final = {"HEIF": b"heic\0\0\0\0mif1heic", "AVIF": b"avif\0\0\0\0avifmif1miaf"}


def box(kind: bytes, *contents: bytes) -> bytes:
    """One box."""
    return join_boxes(b"", [Part(kind, b"".join(contents))])


@cache
def _coded(format_name: str, side: int) -> tuple[bytes, bytes]:
    """The configuration and the bytes of a flat square."""
    options: dict[str, int] = {"speed": 10} if format_name == "AVIF" else {"quality": 10}
    data = encode(Image.new("RGB", (side, side), (90, 120, 30)), format_name, **options)
    _, boxes = split_boxes(data)
    meta = next(part.payload for part in boxes if part.kind == b"meta")
    _, inside = split_boxes(meta[4:])
    properties = next(part.payload for part in inside if part.kind == b"iprp")
    _, containers = split_boxes(properties)
    _, own = split_boxes(next(part.payload for part in containers if part.kind == b"ipco"))
    configuration = next(part.payload for part in own if part.kind == _CODED[format_name][1])
    return configuration, next(part.payload for part in boxes if part.kind == b"mdat")


def _file(
    format_name: str,
    *,
    side: int,
    derived: tuple[bytes, bytes, tuple[int, int]] | None = None,
    items: int = 1,
    before: bytes = b"",
    exif: bytes = b"",
) -> bytes:
    """Items 1 to ``items`` are one coded square; the last may be of another kind and use them all."""
    kind, configuration_kind = _CODED[format_name]
    configuration, coded = _coded(format_name, side)
    kinds = [kind] * items + ([derived[0]] if derived else []) + ([b"Exif"] if exif else [])
    contents = [coded] * items + ([derived[1]] if derived else []) + ([exif] if exif else [])
    primary = items + 1 if derived else 1
    infe = b"".join(box(b"infe", b"\2\0\0\0", struct.pack(">HH", n, 0), each, b"\0") for n, each in enumerate(kinds, 1))
    sizes = [(side, side), derived[2] if derived else (side, side)]
    ipco = box(
        b"ipco",
        box(configuration_kind, configuration),
        *(box(b"ispe", bytes(4), struct.pack(">II", *s)) for s in sizes),
    )
    links = b"".join(struct.pack(">HBBB", n, 2, 0x81, 2) for n in range(1, items + 1))
    links += struct.pack(">HBB", primary, 1, 3) if derived else b""
    ipma = box(b"ipma", bytes(4), struct.pack(">I", items + bool(derived)), links)
    references = [struct.pack(f">HH{items}H", primary, items, *range(1, items + 1))] if derived else []
    iref = box(b"iref", bytes(4), *(box(b"dimg", each) for each in references))
    meta_of = _located(contents, items, coded)

    def meta(start: int) -> bytes:
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", bytes(4), struct.pack(">H", primary)),
            box(b"iinf", bytes(4), struct.pack(">H", len(kinds)), infe),
            iref,
            box(b"iprp", ipco, ipma),
            meta_of(start),
        )

    head = box(b"ftyp", _BRAND[format_name]) + before
    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", coded, *contents[items:])


def _located(contents: list[bytes], items: int, coded: bytes) -> Callable[[int], bytes]:
    def iloc(start: int) -> bytes:
        places, at = [(start, len(coded))] * items, start + len(coded)
        for each in contents[items:]:
            places.append((at, len(each)))
            at += len(each)
        packed = b"".join(struct.pack(">HHHII", n, 0, 1, *place) for n, place in enumerate(places, 1))
        return box(b"iloc", bytes(4), b"\x44\0", struct.pack(">H", len(places)), packed)

    return iloc


def grid(format_name: str, across: int, *, side: int = 64) -> bytes:
    """A square of as many tiles across as down, all of them the same bytes."""
    total = across * side
    derived = b"\0\1" + bytes([across - 1, across - 1]) + struct.pack(">II", total, total)
    return _file(format_name, side=side, derived=(b"grid", derived, (total, total)), items=across**2)


def overlay(format_name: str, count: int, *, side: int = 64) -> bytes:
    """As many pictures of the same bytes, one over the other."""
    places = struct.pack(">ii", 0, 0) * count
    derived = b"\0\1" + bytes(8) + struct.pack(">II", side, side) + places
    return _file(format_name, side=side, derived=(b"iovl", derived, (side, side)), items=count)


def with_items(format_name: str, count: int) -> bytes:
    """As many pictures, all of them the same bytes."""
    return _file(format_name, side=64, items=count)


def with_boxes(format_name: str, length: int) -> bytes:
    """Empty boxes in front of those that matter."""
    return _file(format_name, side=64, before=box(b"free") * (length // 8))


def with_metadata(format_name: str, length: int) -> bytes:
    """EXIF of any size."""
    return _file(format_name, side=64, exif=bytes(4) + b"MM\0*\0\0\0\x08" + bytes(length))
