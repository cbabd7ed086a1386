"""When a notification says that something happened. Only people look at it: what cannot be read counts as absent."""

from __future__ import annotations

from datetime import UTC, datetime

from worker.events.fields import Field


def iso_time(of: Field, name: str) -> datetime | None:
    """The time in member ``name``: ISO 8601, taken for UTC where it has no offset. Aware; None if it is no time."""
    found = of.optional(name)
    if found is None or not isinstance(found.value, str):
        return None
    try:
        time = datetime.fromisoformat(found.value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
