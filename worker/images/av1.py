"""The size of the pictures that are coded in an AVIF file, which its header need not tell.

A decoder gets memory for the size that the AV1 sequence header gives, and compares it with the container's afterwards:
some hundred bytes that claim 40 × 24 pixels outside and 65,262 × 4,113 inside cost half a gigabyte. So the sequence
headers are found and read before the decoder is asked. Sources: AV1 Bitstream & Decoding Process Specification, 5.3 to
5.5; ISO/IEC 14496-12, 4.2, 8.7.5, 8.11.3 and 8.11.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeVar

from worker.errors import ImageRejectedError
from worker.types import Reason

_T = TypeVar("_T")

_SEQUENCE_HEADER: Final = 1
_FRAMES: Final = frozenset((3, 6))  # with a header of its own, or one in front
_HAS_SIZE, _HAS_EXTENSION, _FORBIDDEN = 0x02, 0x04, 0x80
_MOST_UNITS: Final = 64  # before the first frame of a picture; encoders write three
_MOST_PARTS: Final = (
    4_096  # boxes of one kind of list, items, and pieces of items; a grid of 100 tiles has some hundred
)
_NESTED: Final = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_HEAD: Final = 1 << 16  # bytes of a picture among which its sequence header must be


def coded_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of every picture that an AVIF file has coded as an item, and of its tracks' first.

    What cannot be made out is left out: then the decoder cannot make it out either.

    Raises:
        ImageRejectedError: ``CORRUPT``; the file hides its sequence headers behind more than any encoder writes.
    """
    for picture in _pictures(data):
        header = _sequence_header(picture)
        if header is not None:
            try:
                yield _size(_Bits(header))
            except EOFError:
                continue


def _pictures(data: bytes) -> Iterator[bytes]:
    for kind, start, end in _few(_boxes(data, 0, len(data))):
        if kind == b"meta":
            yield from _items(data, start + 4, end)
        elif kind in (b"stco", b"co64"):
            width = 4 if kind == b"stco" else 8
            first = int.from_bytes(data[start + 8 : start + 8 + width], "big")
            yield data[first : first + _HEAD]


def _boxes(data: bytes, at: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the contents, also of boxes in those of `_NESTED`, each in the one before."""
    while at + 8 <= end:
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        stop = min(at + size, end) if size else end
        if stop < at + head:
            return
        yield kind, at + head, stop
        if depth < len(_NESTED) and kind == _NESTED[depth]:
            yield from _boxes(data, at + head, stop, depth + 1)
        at = stop


def _items(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """The beginning of every coded item of a meta box."""
    found = {kind: (at, stop) for kind, at, stop in _few(_boxes(data, start, end))}
    if b"iinf" not in found or b"iloc" not in found:
        return
    coded = _coded_items(data, *found[b"iinf"])
    inside, _ = found.get(b"idat", (0, 0))
    pieces = _few(_locations(_Reader(data, *found[b"iloc"]), inside))
    for item, its in groupby(pieces, key=itemgetter(0)):
        if item in coded:
            yield _joined(data, its)


def _joined(data: bytes, pieces: Iterable[tuple[int, int, int]]) -> bytes:
    joined = b""
    for _, at, length in pieces:
        joined += data[at : at + min(length or _HEAD, _HEAD - len(joined))]
        if len(joined) == _HEAD:
            break
    return joined


def _coded_items(data: bytes, start: int, end: int) -> set[int]:
    """Numbers of the items that are AV1."""
    found = set()
    count = 2 if data[start : start + 1] == b"\0" else 4
    for kind, at, stop in _few(_boxes(data, start + 4 + count, end)):
        wide = data[at : at + 1] == b"\3"
        number = 4 if wide else 2
        name = at + 4 + number + 2
        if kind == b"infe" and name + 4 <= stop and data[name : name + 4] == b"av01":
            found.add(int.from_bytes(data[at + 4 : at + 4 + number], "big"))
    return found


def _locations(reader: _Reader, inside: int) -> Iterator[tuple[int, int, int]]:
    """The pieces of each item: its number, position and length; a length of 0 is to the end."""
    try:
        version = reader.integer(4) >> 24
        sizes = reader.integer(2)
        offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
        index_size = sizes & 15 if version in (1, 2) else 0
        wide = 4 if version >= 2 else 2  # noqa: PLR2004  # of the box
        for _ in range(reader.integer(wide)):
            item = reader.integer(wide)
            inside_meta = version in (1, 2) and reader.integer(2) & 15 == 1
            reader.integer(2)
            base = reader.integer(base_size) + (inside if inside_meta else 0)
            for _ in range(reader.integer(2)):
                reader.integer(index_size)
                yield item, base + reader.integer(offset_size), reader.integer(length_size)
    except EOFError:
        return


def _sequence_header(data: bytes) -> bytes | None:
    """What is in the first sequence header before the first frame."""
    at = 0
    for _ in range(_MOST_UNITS):
        if at >= len(data):
            break
        if data[at] & _FORBIDDEN or not data[at] & _HAS_SIZE:
            return None
        kind = data[at] >> 3 & 15
        at += 2 if data[at] & _HAS_EXTENSION else 1
        size, at = _leb128(data, at)
        if kind == _SEQUENCE_HEADER:
            return data[at : at + size]
        if kind in _FRAMES:
            return None
        at += size
    if len(data) == _HEAD or at < len(data):
        raise _hidden("bytes in front of a sequence header")
    return None


def _few(parts: Iterable[_T]) -> Iterator[_T]:
    for number, part in enumerate(parts):
        if number == _MOST_PARTS:
            raise _hidden("boxes, items or pieces")
        yield part


def _hidden(what: str) -> ImageRejectedError:
    return ImageRejectedError(Reason.CORRUPT, f"the AVIF file has more {what} than any encoder writes; save it again")


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[at + index] if at + index < len(data) else 0
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, at + index + 1
    return value, at + 8


def _size(bits: _Bits) -> tuple[int, int]:
    """Of the largest frame that a sequence header allows; AV1 specification, 5.5.1."""
    bits.take(4)  # profile, still picture
    if bits.take(1):  # a reduced header
        bits.take(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = _skip_timing(bits) if bits.take(1) else 0
    has_display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:  # noqa: PLR2004  # levels above have tiers
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if has_display_delay and bits.take(1):
            bits.take(4)


def _skip_timing(bits: _Bits) -> int:
    """Returns how many bits a delay has; 0 where there is no decoder model."""
    bits.take(64)
    if bits.take(1):
        zeros = 0
        while not bits.take(1):
            zeros += 1
        bits.take(zeros)
    if not bits.take(1):
        return 0
    delay_bits = bits.take(5) + 1
    bits.take(42)
    return delay_bits


class _Bits:
    """Bits from the highest on."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data[:256], "big"), 8 * len(data[:256])

    def take(self, count: int) -> int:
        if count > self._left:
            raise EOFError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)


class _Reader:
    """Integers, one behind the other."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data, self._at, self._end = data, at, end

    def integer(self, size: int) -> int:
        if self._at + size > self._end:
            raise EOFError
        value = int.from_bytes(self._data[self._at : self._at + size], "big")
        self._at += size
        return value
