"""Time filters: an age such as ``2d``, or a time. Pure functions; ages are relative to the database's clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

#: How long ago, or when.
TimeFilter = timedelta | datetime

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,7}}){unit})?" for unit in _UNITS))
_LONGEST = timedelta(days=36_500)
_EARLIEST, _LATEST = 1900, 9000  # years that PostgreSQL and Python both support, with any offset


def parse(text: str) -> TimeFilter:
    """``90s``, ``15m``, ``12h``, ``2d``, ``1w`` or several in that order (``1d12h``); or a time with its offset.

    Raises:
        ValueError: says what to write.
    """
    found = _DURATION.fullmatch(text)
    if text and found:
        ago = timedelta(**{_UNITS[unit]: int(number) for unit, number in found.groupdict(default="0").items()})
        if ago > _LONGEST:
            raise ValueError(f"{text!r} is longer than a hundred years")
        return ago
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not _EARLIEST <= moment.year <= _LATEST:
        raise ValueError(
            f"{text!r} is neither a duration, such as 2d or 12h, nor a time with its offset, such as "
            "2026-01-31T12:00:00Z (a + in an address is %2B)"
        )
    return moment.astimezone(UTC)  # PostgreSQL supports offsets below 16 hours only


def at(moment: TimeFilter | None, *, now: datetime) -> datetime | None:
    """The time, relative to ``now``."""
    return now - moment if isinstance(moment, timedelta) else moment
