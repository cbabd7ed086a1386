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


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedState:
    """Where the change feed begins and ends, and what holds it back."""

    extent: outbox.FeedExtent
    blocker: outbox.Blocker | None  # the session whose open transaction keeps changes from appearing


def state(engine: Engine) -> FeedState:
    """The state of the change feed. A few probes of an index, however long it is."""
    with transaction(engine) as connection:
        return FeedState(extent=outbox.extent(connection), blocker=outbox.blocker(connection))


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
