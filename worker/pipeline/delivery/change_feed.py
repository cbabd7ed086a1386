"""The change feed, page by page."""

from __future__ import annotations

from dataclasses import dataclass

from worker import outbox
from worker.db import Engine, transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedPage:
    """A page of the change feed."""

    changes: tuple[outbox.FeedEntry, ...]
    next: str | None  # where to continue; None: nothing has ever changed


def changes(engine: Engine, *, after: str | None, limit: int) -> FeedPage:
    """The change feed after a cursor; ``after="end"`` returns its end.

    Raises:
        CursorError: ``after`` is no cursor.
        FeedGoneError: the feed no longer has everything that comes after it.
    """
    with transaction(engine) as connection:
        if after == outbox.END:
            return FeedPage(changes=(), next=outbox.end(connection))
        found = outbox.read(connection, after=after, limit=limit)
    return FeedPage(changes=tuple(found), next=found[-1].id if found else after)
