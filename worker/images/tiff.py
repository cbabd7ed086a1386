"""Reads the directories of a TIFF structure (EXIF is one, too) without trusting any count.

Pillow turns every value of a directory into Python objects, so that a few megabytes of numbers become gigabytes. Here
only the tags that are asked for are read, and at most ``MOST_VALUES`` numbers of each.
Source: TIFF 6.0, section 2; BigTIFF as in libtiff's "BigTIFF Design".
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

MOST_VALUES: Final = 1 << 16
MOST_ENTRIES: Final = (1 << 16) - 1  # all that a classic directory can hold

_SIZES: Final = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8, 129: 1
}  # fmt: skip
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_RATIONALS: Final = {5: "I", 10: "i"}
_TEXTS: Final = frozenset((2, 129))  # ASCII; UTF-8, since Exif 3.0
_ERASED: Final = b"\xff"  # what memory holds that nobody wrote to


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One tag of a directory: where its values are, not what they are."""

    kind: int  # TIFF field type
    count: int  # of values, as claimed
    offset: int  # of the first value, from the start of the data

    @property
    def size(self) -> int:
        """Bytes that all values take, as claimed."""
        return self.count * _SIZES[self.kind]


@dataclass(frozen=True, kw_only=True, slots=True)
class Directory:
    """An image file directory."""

    entries: Mapping[int, Entry]  # by tag; the first of a repeated tag, unknown types left out
    claimed: int  # entries, as claimed
    complete: bool  # False: the data end inside this directory
    volume: int = 0  # bytes of all values that are in the data, also of repeated tags: values may overlap


@dataclass(frozen=True, kw_only=True, slots=True)
class Tiff:
    """A TIFF structure in memory. No method raises, whatever the bytes are."""

    data: bytes
    order: str  # "<" or ">"
    big: bool  # BigTIFF: 64-bit counts and offsets
    first: int  # offset of the first directory

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """The structure after a TIFF header; None if there is no such header."""
        order = {b"II": "<", b"MM": ">"}.get(data[:2])
        if order is None or len(data) < 8:  # noqa: PLR2004 - the shortest header
            return None
        (version,) = struct.unpack_from(f"{order}H", data, 2)
        if version == 42:  # noqa: PLR2004 - TIFF's own magic number
            return cls(data=data, order=order, big=False, first=struct.unpack_from(f"{order}I", data, 4)[0])
        if version == 43 and len(data) >= 16:  # noqa: PLR2004 - BigTIFF's
            return cls(data=data, order=order, big=True, first=struct.unpack_from(f"{order}Q", data, 8)[0])
        return None

    def directory(self, offset: int) -> Directory:
        """The directory at ``offset``, as far as the data go."""
        start, claimed, step = self._frame(offset)
        entries: dict[int, Entry] = {}
        volume = 0
        for at in range(start, min(start + step * min(claimed, MOST_ENTRIES), len(self.data)), step):
            if (found := self._entry(at)) is not None:
                tag, entry = found
                volume += entry.size if entry.offset + entry.size <= len(self.data) else 0
                entries.setdefault(tag, entry)
        complete = claimed > 0 and bool(self._unpack(self._pointer, start + step * claimed))
        return Directory(entries=entries, claimed=claimed, complete=complete, volume=volume)

    def count_directories(self, most: int) -> int:
        """Length of the chain of directories, at most ``most`` and none twice."""
        offset, seen = self.first, set[int]()
        while offset and offset not in seen and len(seen) < most:
            start, claimed, step = self._frame(offset)
            if claimed == 0:
                break
            seen.add(offset)
            offset = next(iter(self._unpack(self._pointer, start + step * claimed)), 0)
        return len(seen)

    def next_directory(self, offset: int) -> int:
        """Where the directory after the one at ``offset`` is; 0 if there is none."""
        start, claimed, step = self._frame(offset)
        return next(iter(self._unpack(self._pointer, start + step * claimed)), 0) if claimed else 0

    def child(self, directory: Directory, tag: int) -> Directory:
        """The directory that a tag of another one points to; empty if there is none."""
        offsets = self.integers(directory.entries.get(tag))
        return self.directory(offsets[0]) if offsets else Directory(entries={}, claimed=0, complete=False)

    def integers(self, entry: Entry | None) -> tuple[int, ...]:
        """The values of an integer tag; empty if it is absent, of another type or out of bounds."""
        if entry is None or entry.kind not in _INTEGERS:
            return ()
        return self._unpack(f"{min(entry.count, MOST_VALUES)}{_INTEGERS[entry.kind]}", entry.offset)

    def rationals(self, entry: Entry | None) -> tuple[tuple[int, int], ...]:
        """Numerators and denominators of a rational tag; empty if it is absent, of another type or out of bounds."""
        if entry is None or entry.kind not in _RATIONALS:
            return ()
        values = self._unpack(f"{2 * min(entry.count, MOST_VALUES)}{_RATIONALS[entry.kind]}", entry.offset)
        return tuple(zip(values[::2], values[1::2], strict=True))

    def text(self, entry: Entry | None) -> str | None:
        """The first string of an ASCII tag, printable characters only; None if it is absent, empty or not text."""
        if entry is None or entry.kind not in _TEXTS:
            return None
        raw = self.data[entry.offset : entry.offset + min(entry.count, MOST_VALUES)].lstrip(b"\0 ")
        decoded = _decoded(raw.partition(b"\0")[0])
        return "".join(character for character in decoded if character.isprintable()).strip() or None

    @property
    def _pointer(self) -> str:
        return "Q" if self.big else "I"

    def _frame(self, offset: int) -> tuple[int, int, int]:
        """Where a directory's entries start, how many it claims, and the bytes from one to the next."""
        count = self._unpack("Q" if self.big else "H", offset)
        start, step = (offset + 8, 20) if self.big else (offset + 2, 12)
        return start, count[0] if count else 0, step

    def _entry(self, at: int) -> tuple[int, Entry] | None:
        fields = self._unpack("HH" + self._pointer, at)
        if not fields or fields[1] not in _SIZES:
            return None
        tag, kind, count = fields
        where, inline = (at + 12, 8) if self.big else (at + 8, 4)
        if count * _SIZES[kind] > inline:
            pointed = self._unpack(self._pointer, where)
            if not pointed:
                return None
            where = pointed[0]
        return tag, Entry(kind=kind, count=count, offset=where)

    def _unpack(self, code: str, offset: int) -> tuple[int, ...]:
        if offset < 0:  # would count from the end
            return ()
        try:
            return struct.unpack_from(self.order + code, self.data, offset)
        except (struct.error, OverflowError, ValueError):
            return ()


def _decoded(raw: bytes) -> str:
    """Text as UTF-8, or as Latin-1 if it is none: cameras and editors write both, and EXIF's own ASCII is part of both.

    UTF-8 that was cut in the middle of a character, as fields of a fixed length cut it, loses that character.
    """
    raw = raw.strip(_ERASED)
    with suppress(UnicodeDecodeError):
        return raw.decode()
    with suppress(UnicodeDecodeError):
        whole = codecs.getincrementaldecoder("utf-8")().decode(raw)
        if not whole.isascii():  # otherwise the bytes at the end may as well be one character of Latin-1
            return whole
    return raw.decode("latin-1")
