"""Notifications that could not be parsed, kept for inspection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection, storable

_KEPT = 1_000
_BODY_BYTES = 64 << 10

_REJECT = text("INSERT INTO rejected_events (source, reason, body) VALUES (:source, :reason, :body) RETURNING id")
_KNOWN = text(
    "SELECT EXISTS (SELECT FROM rejected_events WHERE source = :source AND reason = :reason AND body = :body)"
)
# Counted, not computed: transactions that were rolled back have used up numbers, too.
_PRUNE = text("""
    DELETE FROM rejected_events WHERE id <= (SELECT id FROM rejected_events ORDER BY id DESC OFFSET :kept LIMIT 1)
""")
_COUNT = text("SELECT count(*) FROM rejected_events")
_NEWEST = text("SELECT id, source, reason, body, received FROM rejected_events ORDER BY id DESC LIMIT :limit")


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedEvent:
    """A notification that could not be parsed, or that needs a person."""

    id: int
    source: str
    reason: str
    body: bytes  # the first 64 KiB
    received: datetime


def reject(connection: Connection, *, source: str, reason: str, body: bytes) -> int:
    """Keep a rejected notification; the oldest beyond 1,000 go.

    Returns:
        Its id, for the answer to the sender.
    """
    newest: int = connection.execute(
        _REJECT, {"source": source, "reason": storable(reason), "body": body[:_BODY_BYTES]}
    ).scalar_one()
    connection.execute(_PRUNE, {"kept": _KEPT})
    return newest


def reject_once(connection: Connection, *, source: str, reason: str, body: bytes) -> bool:
    """Keep a rejected notification unless it is kept already, as one is that a queue delivers again and again.

    Returns:
        Whether it was new.
    """
    same = {"source": source, "reason": storable(reason), "body": body[:_BODY_BYTES]}
    if connection.execute(_KNOWN, same).scalar_one():
        return False
    reject(connection, source=source, reason=reason, body=body)
    return True


def recent(connection: Connection, *, limit: int = 20) -> list[RejectedEvent]:
    """The newest rejected notifications, newest first."""
    rows = connection.execute(_NEWEST, {"limit": limit})
    return [
        RejectedEvent(id=r.id, source=r.source, reason=r.reason, body=bytes(r.body), received=r.received) for r in rows
    ]


def count(connection: Connection) -> int:
    """How many are kept."""
    return int(connection.execute(_COUNT).scalar_one())
