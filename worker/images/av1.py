"""The size of the pictures that are coded in an AVIF file, which its header need not tell.

A decoder gets memory for the size that the AV1 sequence header gives, and compares it with the container's afterwards:
some hundred bytes that claim 40 × 24 pixels outside and 65,262 × 4,113 inside cost half a gigabyte. So the sequence
headers are found and read before the decoder is asked. Source: AV1 Bitstream & Decoding Process Specification, 5.3 to
5.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Final

from worker.images.boxes import boxes, few, hidden, item_pieces

_AV1: Final = frozenset((b"av01",))
_SEQUENCE_HEADER: Final = 1
_FRAMES: Final = frozenset((3, 6))  # with a header of its own, or one in front
_HAS_SIZE, _HAS_EXTENSION, _FORBIDDEN = 0x02, 0x04, 0x80
_MOST_UNITS: Final = 64  # before the first frame of a picture; encoders write three
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
    for kind, start, end in few(boxes(data, 0, len(data))):
        if kind == b"meta":
            yield from _items(data, start + 4, end)
        elif kind in (b"stco", b"co64"):
            width = 4 if kind == b"stco" else 8
            first = int.from_bytes(data[start + 8 : start + 8 + width], "big")
            yield data[first : first + _HEAD]


def _items(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """The beginning of every coded item of a meta box."""
    for _, its in groupby(item_pieces(data, start, end, _AV1), key=itemgetter(0)):
        yield _joined(data, its)


def _joined(data: bytes, pieces: Iterable[tuple[int, int, int]]) -> bytes:
    joined = b""
    for _, at, length in pieces:
        joined += data[at : at + min(length or _HEAD, _HEAD - len(joined))]
        if len(joined) == _HEAD:
            break
    return joined


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
        raise hidden("bytes in front of a sequence header")
    return None


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
