"""The time of an event according to its notification. Informational only: an unreadable time counts as absent."""

from __future__ import annotations

from datetime import UTC, datetime

from worker.events.fields import Field


def iso_time(of: Field, name: str) -> datetime | None:
    """The time in member ``name``: ISO 8601, in UTC if it has no offset. Aware; None if it is not a time."""
    found = of.optional(name)
    if found is None or not isinstance(found.value, str):
        return None
    try:
        time = datetime.fromisoformat(found.value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
