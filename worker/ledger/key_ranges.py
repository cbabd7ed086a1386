"""Ranges of keys, in the two orders that stores list in: pure functions over text.

``C`` collation of UTF-8 is the order of code points, as Python compares text. No key has a NUL, so the next possible
key behind ``k`` is ``k`` with U+0001.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

#: bytes: by the keys' UTF-8 (AWS and most). folders: as if "/" came before every other character (SeaweedFS).
#: any: neither, as far as was seen.
Order: TypeAlias = Literal["bytes", "folders", "any"]

_MAX_KEY_BYTES = 1024
_FIRST, _LAST = "\x01", "\U0010ffff"
_SURROGATES = range(0xD800, 0xE000)
#: Behind every key: one character more than the largest key has.
_END = _LAST * (_MAX_KEY_BYTES // 4 + 1)


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Keys from ``start`` on and before ``stop``."""

    start: str
    stop: str


def is_storable(key: str) -> bool:
    """Whether the ledger can hold a key: text without NUL and half surrogates, of at most 1,024 bytes (S3's limit)."""
    try:
        return "\0" not in key and len(key.encode()) <= _MAX_KEY_BYTES
    except UnicodeEncodeError:
        return False


def after(key: str) -> str:
    """The next possible key."""
    return key + _FIRST


def keys_with(prefix: str) -> Range:
    """All keys that begin with ``prefix``."""
    for end in range(len(prefix) - 1, -1, -1):
        if prefix[end] != _LAST:
            following = ord(prefix[end]) + 1
            character = chr(_SURROGATES.stop if following in _SURROGATES else following)
            return Range(prefix, prefix[:end] + character)
    return Range(prefix, _END)


def ascends(earlier: str, later: str, order: Order) -> bool:
    """Whether a store of this order lists ``earlier`` before ``later``."""
    return order == "any" or _rank(earlier, order) < _rank(later, order)


def between(earlier: str | None, later: str | None, *, prefix: str, order: Order) -> list[Range]:
    """The keys under a prefix that a store of this order lists behind ``earlier`` and before ``later``.

    Args:
        earlier: None: from the beginning of the listing.
        later: None: to its end.
        prefix: of both.
        order: of the listing. In "any" order the ranges are those of "bytes", and may hold keys listed elsewhere; but
            whatever way a listing goes from beginning to end, it passes every key in one of its steps.
    """
    whole = keys_with(prefix)
    found = [whole] if earlier is None else _meet(_behind(earlier, order), whole)
    if later is None:
        return found
    for gone in sorted([Range(later, after(later)), *_behind(later, order)]):
        found = [rest for each in found for rest in _without(each, gone)]
    return found


def _rank(key: str, order: Order) -> str:
    """Text that sorts as the store does; "/" comes first among folders, and no key has a NUL."""
    return key.replace("/", "\0") if order == "folders" else key


def _behind(key: str, order: Order) -> list[Range]:
    """All keys behind one, as disjoint ranges.

    Among folders these are not one range of bytes: compared at the first character that differs, "/" is least instead
    of one above ".". So what continues ``key[:i]`` with "/" comes earlier than ``key`` where its own next character is
    below "/" by bytes, and what continues it with such a character comes later where the key's own is "/".
    """
    behind = [Range(after(key), _END)]
    if order != "folders":
        return behind
    for place, character in enumerate(key):
        start = key[:place]
        if character < "/":
            behind = [rest for each in behind for rest in _without(each, Range(start + "/", start + "0"))]
        elif character == "/":
            behind.append(Range(after(start), start + "/"))
    return sorted(behind)


def _without(whole: Range, gone: Range) -> Iterable[Range]:
    if whole.start < gone.start:
        yield Range(whole.start, min(whole.stop, gone.start))
    if gone.stop < whole.stop:
        yield Range(max(whole.start, gone.stop), whole.stop)


def _meet(ranges: Sequence[Range], whole: Range) -> list[Range]:
    met = (Range(max(each.start, whole.start), min(each.stop, whole.stop)) for each in ranges)
    return [each for each in met if each.start < each.stop]
