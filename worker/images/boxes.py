"""Boxes and items of ISO base media files (HEIF and AVIF), without trusting any count.

Sources: ISO/IEC 14496-12, 4.2, 8.7.5, 8.11.3 and 8.11.6; ISO/IEC 23008-12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from worker.errors import ImageRejectedError
from worker.types import Reason

_T = TypeVar("_T")

#: Boxes of one kind of list, items, and pieces of items; a grid of 100 tiles has some hundred.
_MOST_PARTS: Final = 4_096


def boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each box, and start and end of its contents."""
    while at + 8 <= end:
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        stop = min(at + size, end) if size else end
        if stop < at + head:
            return
        yield kind, at + head, stop
        at = stop


def item_pieces(data: bytes, start: int, end: int, kinds: frozenset[bytes]) -> Iterator[tuple[int, int, int]]:
    """Where the items of these kinds are, by a meta box's contents: number, position and length of each piece.

    A length of 0 is to the end of the data.

    Raises:
        ImageRejectedError: ``CORRUPT``; more parts than any encoder writes.
    """
    found = {kind: (at, stop) for kind, at, stop in few(boxes(data, start, end))}
    if b"iinf" not in found or b"iloc" not in found:
        return
    coded = _coded_items(data, *found[b"iinf"], kinds)
    inside, _ = found.get(b"idat", (0, 0))
    yield from (piece for piece in few(_locations(_Reader(data, *found[b"iloc"]), inside)) if piece[0] in coded)


def require_readable_types(data: bytes) -> None:
    """Refuse items whose type is not text: pi_heif treats it as text, and crashes.

    Raises:
        ImageRejectedError: ``CORRUPT``; it is not, or there are more items than any encoder writes.
    """
    for outer, start, end in few(boxes(data, 0, len(data))):
        lists = few(boxes(data, start + 4, end)) if outer == b"meta" else ()
        for kind, at, stop in lists:
            if kind == b"iinf" and not all(map(_is_text, _item_types(data, at, stop))):
                message = "the type of an item of the file is no text; it was damaged on its way, upload it again"
                raise ImageRejectedError(Reason.CORRUPT, message)


def few(parts: Iterable[_T]) -> Iterator[_T]:
    """The parts, up to as many as encoders write.

    Raises:
        ImageRejectedError: ``CORRUPT``; there are more.
    """
    for number, part in enumerate(parts):
        if number == _MOST_PARTS:
            message = "the file has more boxes, items or pieces than any encoder writes; save it again"
            raise ImageRejectedError(Reason.CORRUPT, message)
        yield part


def _coded_items(data: bytes, start: int, end: int, kinds: frozenset[bytes]) -> set[int]:
    """Numbers of the items of these kinds."""
    return {number for number, told in _items(data, start, end) if told[:4] in kinds}


def _items(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Of each entry of a list of items: its number, and its type with what follows."""
    count = 2 if data[start : start + 1] == b"\0" else 4
    for kind, at, stop in few(boxes(data, start + 4 + count, end)):
        number = 4 if data[at : at + 1] == b"\3" else 2
        type_ = at + 4 + number + 2
        if kind == b"infe" and type_ + 4 <= stop:
            yield int.from_bytes(data[at + 4 : at + 4 + number], "big"), data[type_:stop]


def _item_types(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """Types, and types of the contents; names are left out, because nothing reads them."""
    for _, told in _items(data, start, end):
        yield told[:4]
        yield from told[4:].split(b"\0")[1:]


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


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


class _Reader:
    """Consecutive integers."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data, self._at, self._end = data, at, end

    def integer(self, size: int) -> int:
        if self._at + size > self._end:
            raise EOFError
        value = int.from_bytes(self._data[self._at : self._at + size], "big")
        self._at += size
        return value
