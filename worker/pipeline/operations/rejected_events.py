"""The use case: notifications that were rejected, for people to look into."""

from __future__ import annotations

from dataclasses import dataclass

from worker import ledger
from worker.db import Engine, transaction
from worker.errors import NotFoundError
from worker.ledger.rejected_events import BODY_BYTES, RejectedEvent, RejectedEventHead
from worker.pipeline.common import cursors

_LIST = "rejected-events"


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedPage:
    """A page of rejected notifications, newest first."""

    events: tuple[RejectedEventHead, ...]
    total: int  # that are kept
    next: str | None  # cursor of the next page; None: this is the last


def listing(engine: Engine, *, limit: int, after: str | None = None) -> RejectedPage:
    """A page of the notifications that are kept, without their bodies.

    Raises:
        CursorError: ``after`` is not the ``next`` of an earlier page.
    """
    before = None if after is None else cursors.decode(after, _LIST, int)[0]
    with transaction(engine) as connection:
        found = ledger.rejected_events.heads(connection, limit=limit + 1, before=before)
        total = ledger.rejected_events.count(connection)
    following = cursors.encode(_LIST, found[limit - 1].id) if len(found) > limit else None
    return RejectedPage(events=tuple(found[:limit]), total=total, next=following)


def get(engine: Engine, number: int) -> RejectedEvent:
    """One notification with its body.

    Raises:
        NotFoundError: it is not kept.
    """
    with transaction(engine) as connection:
        found = ledger.rejected_events.get(connection, number)
    if found is None:
        raise NotFoundError(
            f"there is no rejected notification {number}: only the newest 1,000 are kept; "
            "GET /v1/rejected-events lists them"
        )
    return found


def is_whole(event: RejectedEvent) -> bool:
    """Whether all of the body is kept."""
    return len(event.body) < BODY_BYTES
