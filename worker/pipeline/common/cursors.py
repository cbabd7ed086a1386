"""Opaque cursors: where a reader is in a list, in a form that goes into any address. Pure functions."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.errors import CursorError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_YEARS = range(1900, 9001)  # so that ages, up to a hundred years, can be subtracted
_BIGINT = range(-(1 << 63), 1 << 63)


def encode(kind: str, *parts: int | str | datetime) -> str:
    """A cursor of the list ``kind``; times are kept to the microsecond, as PostgreSQL has them."""
    values = [(part - _EPOCH) // _MICROSECOND if isinstance(part, datetime) else part for part in parts]
    return base64.urlsafe_b64encode(json.dumps([kind, *values], ensure_ascii=False).encode()).decode().rstrip("=")


def decode(cursor: str, kind: str, *shape: type[int | str | datetime]) -> tuple[Any, ...]:
    """The parts of a cursor, of these types.

    Raises:
        CursorError: it is not one that ``encode`` made for this list.
    """
    try:
        values = _read(cursor, kind)
        return tuple(_part(value, wanted) for value, wanted in zip(values, shape, strict=True))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CursorError(
            f"{cursor[:80]!r} is not a cursor of this list: pass `next` of an earlier answer, as it was given"
        ) from error


def _read(cursor: str, kind: str) -> Sequence[object]:
    read: list[object] = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    if not isinstance(read, list) or read[:1] != [kind]:
        raise ValueError(read)
    return read[1:]


def _part(value: object, wanted: type[int | str | datetime]) -> int | str | datetime:
    if wanted is str and isinstance(value, str) and "\0" not in value:
        value.encode()  # no lone surrogates
        return value
    if type(value) is not int or value not in _BIGINT or wanted is str:
        raise ValueError(value)
    if wanted is not datetime:
        return value
    moment = _EPOCH + value * _MICROSECOND
    if moment.year not in _YEARS:
        raise ValueError(moment)
    return moment
