"""Damage that knows a format. Each takes a ``random.Random``, so that a case is made again from its number."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

from tests.fuzz.anywhere import ANYWHERE, LONGEST, Mutation, flip_bits, put, set_bytes, set_number
from tests.fuzz.containers import CONTAINERS, NESTED, Container, Part, join_boxes, split_boxes
from tests.fuzz.directories import change_exif, change_tiff


# -- formats made of parts ---------------------------------------------------------------------------------------------
def change_parts(container: Container) -> Mutation:
    """Parts dropped, repeated, moved, damaged inside or wrong about themselves; checksums and lengths are right."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        head, parts = container.split(data)
        if parts:
            rng.choice(_PART_CHANGES)(rng, parts, container.big_endian)
        return container.join(head, parts)

    return mutate


def _drop(rng: random.Random, parts: list[Part], _big: bool) -> None:
    del parts[rng.randrange(len(parts))]


def _repeat_part(rng: random.Random, parts: list[Part], _big: bool) -> None:
    at = rng.randrange(len(parts))
    times = min(rng.choice((1, 1, 2, 30, 2000)), LONGEST // (len(parts[at].payload) + 12))
    parts[at:at] = [parts[at]] * times


def _move(rng: random.Random, parts: list[Part], _big: bool) -> None:
    part = parts.pop(rng.randrange(len(parts)))
    parts.insert(rng.randint(0, len(parts)), part)


def _rename(rng: random.Random, parts: list[Part], _big: bool) -> None:
    part = rng.choice(parts)
    kinds = sorted({each.kind for each in parts})
    part.kind = rng.choice(kinds) if rng.random() < 0.7 else flip_bits(rng, part.kind or b"\0")


def _change_payload(rng: random.Random, parts: list[Part], big: bool) -> None:
    part = rng.choice([each for each in parts if each.payload] or parts)
    if not part.payload:
        return
    if rng.random() < 0.5:
        size = rng.choice((1, 2, 4))
        at = rng.randrange(max(1, min(len(part.payload), 40) - size + 1))
        part.payload = put(rng, part.payload, at, size, big=big)
    else:
        part.payload = rng.choice(ANYWHERE)(rng, part.payload)


def _empty(rng: random.Random, parts: list[Part], _big: bool) -> None:
    rng.choice(parts).payload = b""


_PART_CHANGES: Final = (
    *(_change_payload,) * 8, _drop, _repeat_part, _repeat_part, _move, _rename, _empty
)  # fmt: skip


def change_boxes(rng: random.Random, data: bytes) -> bytes:
    """Parts of a part of a part: what holds boxes is gone into, and the sizes around are made right."""
    return _change_level(rng, data, deepest=5)


def _change_level(rng: random.Random, data: bytes, *, deepest: int) -> bytes:
    head, parts = split_boxes(data)
    nested = [part for part in parts if part.kind in NESTED]
    if nested and deepest and rng.random() < 0.85:
        part, skipped = (chosen := rng.choice(nested)), NESTED[chosen.kind]
        part.payload = part.payload[:skipped] + _change_level(rng, part.payload[skipped:], deepest=deepest - 1)
    elif parts:
        rng.choice(_PART_CHANGES)(rng, parts, True)
    return join_boxes(head, parts)


def change_payload_of(kind: bytes) -> Mutation:
    """Damage inside the largest box of a kind, mostly near its start: the codec's own headers."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        head, parts = split_boxes(data)
        own = [part for part in parts if part.kind == kind and part.payload]
        if not own:
            return flip_bits(rng, data)
        part = max(own, key=lambda each: len(each.payload))
        near = min(len(part.payload), rng.choice((16, 64, 256, 1 << 20)))
        part.payload = rng.choice((flip_bits, set_bytes, set_number))(rng, part.payload[:near]) + part.payload[near:]
        return join_boxes(head, parts)

    return mutate


# -- one format's own --------------------------------------------------------------------------------------------------
def change_png_pixels(rng: random.Random, data: bytes) -> bytes:
    """What deflate packed: filters and samples, too few, too many, or none."""
    container = CONTAINERS["PNG"]
    head, parts = container.split(data)
    packed = b"".join(part.payload for part in parts if part.kind == b"IDAT")
    try:
        raw = zlib.decompress(packed)
    except zlib.error:
        return flip_bits(rng, data)
    changed = rng.choice(ANYWHERE)(rng, raw) if raw else bytes(99)
    first = next(number for number, part in enumerate(parts) if part.kind == b"IDAT")
    others = [part for part in parts if part.kind != b"IDAT"]
    size = rng.choice((1, 7, 1 << 20))
    again = zlib.compress(changed, rng.choice((0, 1, 9)))
    pieces = [Part(b"IDAT", again[at : at + size]) for at in range(0, len(again), size)][:4000]
    return container.join(head, others[:first] + pieces + others[first:])


def inflate_png_text(rng: random.Random, data: bytes) -> bytes:
    """A text, a profile or pixels that unpack to millions of bytes."""
    container = CONTAINERS["PNG"]
    head, parts = container.split(data)
    bomb = zlib.compress(bytes((rng.randrange(256),)) * rng.choice((1 << 16, 1 << 20, 1 << 24)), 9)
    kind, before = rng.choice(((b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"p\0\0"), (b"IDAT", b"")))
    parts.insert(rng.randint(1, len(parts)), Part(kind, before + bomb))
    return container.join(head, parts)


def grow(rng: random.Random, data: bytes) -> bytes:
    """A PNG that claims the largest picture allowed, or one more, and brings the pixels or does not."""
    container = CONTAINERS["PNG"]
    head, parts = container.split(data)
    width, height = rng.choice(((1024, 1024), (1, 1 << 14), (1 << 14, 64), (1025, 1024), (1 << 15, 1), (1, 1 << 20)))
    depth, colour = rng.choice(((1, 0), (8, 2), (16, 6), (8, 3), (16, 4)))
    parts[0] = Part(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, rng.randrange(2)))
    pixels = zlib.compress(bytes(rng.choice((0, 1 << 16, 1 << 22))), 9)
    kept = [part for part in parts if part.kind != b"IDAT"]
    return container.join(head, [*kept[:-1], Part(b"IDAT", pixels), *kept[-1:]])


def change_bmp_header(rng: random.Random, data: bytes) -> bytes:
    """Offset, sizes, planes, depth, compression, colours, masks."""
    fields = (
        (10, 4),
        (14, 4),
        (18, 4),
        (22, 4),
        (26, 2),
        (28, 2),
        (30, 4),
        (34, 4),
        (46, 4),
        (50, 4),
        (54, 4),
        (66, 4),
    )
    for at, size in rng.sample(fields, rng.choice((1, 1, 2, 3))):
        data = put(rng, data, at, size, big=False)
    return data


def change_bmp_kind(rng: random.Random, data: bytes) -> bytes:
    """Depth and compression that are legal, but not this file's."""
    depth, compression = rng.choice((1, 2, 4, 8, 16, 24, 32)), rng.choice((0, 1, 2, 3, 6))
    return data[:28] + struct.pack("<HI", depth, compression) + data[34:]


def change_gif_geometry(rng: random.Random, data: bytes) -> bytes:
    """The screen's size, a frame's place and size, its flags, and the code size of its pixels."""
    head, parts = CONTAINERS["GIF"].split(data)
    if rng.random() < 0.3:
        head = head[:6] + put(rng, head[6:], rng.choice((0, 2)), 2, big=False)
    pictures = [part for part in parts if part.kind == b"," and len(part.payload) > 9]
    for part in rng.sample(pictures, min(len(pictures), rng.choice((1, 1, 2)))):
        at, size = rng.choice(((0, 2), (2, 2), (4, 2), (6, 2), (8, 1), (9, 1), (10, 1)))
        part.payload = put(rng, part.payload, at, size, big=False)
    return CONTAINERS["GIF"].join(head, parts)


def change_jpeg_frame(rng: random.Random, data: bytes) -> bytes:
    """Precision, sides, components, sampling factors and tables of the frame, the scan, or the restart interval."""
    head, parts = CONTAINERS["JPEG"].split(data)
    wanted = {b"\xff\xc0", b"\xff\xc1", b"\xff\xc2", b"\xff\xda", b"\xff\xdd", b"\xff\xc4", b"\xff\xdb"}
    structural = [part for part in parts if part.kind in wanted and part.payload]
    if structural:
        part = rng.choice(structural)
        at = rng.randrange(min(len(part.payload), 20))
        part.payload = put(rng, part.payload, at, rng.choice((1, 1, 2)), big=True)
        if rng.random() < 0.15:
            part.kind = bytes((0xFF, rng.choice((*range(0xC0, 0xD0), 0xDA, 0xDD))))
    return CONTAINERS["JPEG"].join(head, parts)


def repeat_jpeg_scans(rng: random.Random, data: bytes) -> bytes:
    """All scans of a progressive picture again and again."""
    end = data.rfind(b"\xff\xd9")
    start = data.find(b"\xff\xda")
    scans = data[start:end]
    times = min(rng.choice((2, 50, 1000)), max(1, LONGEST // max(1, len(scans))))
    return data[:end] + scans * times + data[end:]


# -- two files ---------------------------------------------------------------------------------------------------------
def splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """The start of one file and the end of another."""
    if rng.random() < 0.5:  # at the same place: headers of one, contents of the other
        at = rng.randrange(min(len(data), len(other)))
        return data[:at] + other[at:]
    return data[: rng.randrange(1, len(data))] + other[rng.randrange(len(other)) :]


def graft(rng: random.Random, data: bytes, other: bytes, container: Container) -> bytes:
    """A part of one file inside another of the same format."""
    (head, parts), (_, strange) = container.split(data), container.split(other)
    if parts and strange:
        at = rng.randrange(len(parts))
        parts[at : at + rng.randrange(2)] = rng.sample(strange, min(len(strange), rng.choice((1, 1, 2))))
    return container.join(head, parts)


_BOXES: Final = (change_boxes, change_boxes, change_boxes, change_payload_of(b"mdat"))
OWN: Final[Mapping[str, Sequence[Mutation]]] = {
    "PNG": (change_parts(CONTAINERS["PNG"]), change_png_pixels, change_png_pixels, inflate_png_text, grow, change_exif),
    "JPEG": (
        change_parts(CONTAINERS["JPEG"]), change_jpeg_frame, change_jpeg_frame, change_exif, repeat_jpeg_scans
    ),
    "WEBP": (change_parts(CONTAINERS["WEBP"]), change_parts(CONTAINERS["WEBP"]), change_exif),
    "GIF": (change_parts(CONTAINERS["GIF"]), change_gif_geometry, change_gif_geometry),
    "TIFF": (change_tiff,) * 4,
    "BMP": (change_bmp_header, change_bmp_header, change_bmp_kind),
    "HEIF": (*_BOXES, change_exif),
    "AVIF": (*_BOXES, change_exif),
    "JPEG2000": (change_boxes, change_payload_of(b"jp2c"), change_payload_of(b"jp2c")),
}  # fmt: skip
