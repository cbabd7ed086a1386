"""Periods of the camera's wall clock: ``2024``, ``2024-06``, ``2024-06-01``, or from one to another. Pure functions."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_MOMENT = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?)?)?)?")
_FIRST = (1, 1, 1, 0, 0, 0)  # year, month, day, hour, minute, second
_DECEMBER = 12
_WRITE = (
    "write a year, month, day or minute, such as 2024, 2024-06, 2024-06-01 or 2024-06-01T12:30, without an offset: it "
    "is compared with the camera's clock"
)


def parse(text: str) -> tuple[datetime | None, datetime | None]:
    """The beginning and the end (exclusive) of a period; ``2024..2025-03`` ends with March, ``2024..`` never.

    Raises:
        ValueError: says what to write.
    """
    first, dots, last = text.partition("..")
    if not dots:
        return begin(text), end(text)
    if not (first.strip() or last.strip()):
        raise ValueError(f"{text!r} has neither a beginning nor an end: {_WRITE}")
    return begin(first) if first.strip() else None, end(last) if last.strip() else None


def begin(text: str) -> datetime:
    """The first moment of a year, month, day, minute or second.

    Raises:
        ValueError: says what to write.
    """
    return _parsed(text)[0]


def end(text: str) -> datetime:
    """The first moment behind a year, month, day, minute or second.

    Raises:
        ValueError: says what to write.
    """
    start, parts = _parsed(text)
    try:
        return _next(start, parts)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is too late: {_WRITE}") from None


def _parsed(text: str) -> tuple[datetime, int]:
    """The beginning, and how many parts of it were given."""
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is no date: {_WRITE}")
    numbers = [int(each) for each in found.groups() if each is not None]
    year, month, day, hour, minute, second = (*numbers, *_FIRST[len(numbers) :])
    try:
        return datetime(year, month, day, hour, minute, second), len(numbers)  # noqa: DTZ001  # a wall clock
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is no date ({error}): {_WRITE}") from None


def _next(start: datetime, parts: int) -> datetime:
    match parts:
        case 1:
            return start.replace(year=start.year + 1)
        case 2:
            is_last = start.month == _DECEMBER
            return start.replace(year=start.year + is_last, month=1 if is_last else start.month + 1)
        case 3:
            return start + timedelta(days=1)
        case 5:
            return start + timedelta(minutes=1)
        case _:
            return start + timedelta(seconds=1)
