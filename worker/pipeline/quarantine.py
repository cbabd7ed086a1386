"""The use case: look into the quarantine, and empty it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker import inbox
from worker.db import Engine, transaction
from worker.inbox import Quarantined, Selection


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The newest entries of a selection, and the whole of it by reason."""

    entries: list[Quarantined]
    counts: Mapping[str, int]


def listing(engine: Engine, selection: Selection, *, limit: int) -> Listing:
    """Read, in one snapshot."""
    with transaction(engine) as connection:
        return Listing(
            entries=inbox.quarantined(connection, selection, limit=limit),
            counts=inbox.quarantine_counts(connection, selection),
        )


def retry(engine: Engine, selection: Selection, *, ring: Callable[[], None]) -> int:
    """Make entries pending work, and wake somebody. Returns how many."""
    with transaction(engine) as connection:
        count = inbox.retry_quarantined(connection, selection)
    if count:
        ring()
    return count


def drop(engine: Engine, selection: Selection) -> int:
    """Give entries up. Returns how many."""
    with transaction(engine) as connection:
        return inbox.drop_quarantined(connection, selection)
