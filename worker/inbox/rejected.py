"""Notifications that could not be parsed, kept for inspection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection

_KEPT = 1_000
_BODY_BYTES = 64 << 10

_REJECT = text("INSERT INTO rejected_events (source, reason, body) VALUES (:source, :reason, :body) RETURNING id")
_PRUNE = text("DELETE FROM rejected_events WHERE id <= :newest - :kept")
_COUNT = text("SELECT count(*) FROM rejected_events")
_NEWEST = text("SELECT id, source, reason, body, received FROM rejected_events ORDER BY id DESC LIMIT :limit")


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedEvent:
    """A request body that was answered with 400."""

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
        _REJECT, {"source": source, "reason": reason, "body": body[:_BODY_BYTES]}
    ).scalar_one()
    connection.execute(_PRUNE, {"newest": newest, "kept": _KEPT})
    return newest


def rejected_events(connection: Connection, *, limit: int = 20) -> list[RejectedEvent]:
    """The newest rejected notifications, newest first."""
    rows = connection.execute(_NEWEST, {"limit": limit})
    return [
        RejectedEvent(id=r.id, source=r.source, reason=r.reason, body=bytes(r.body), received=r.received) for r in rows
    ]


def rejected_count(connection: Connection) -> int:
    """How many are kept."""
    return int(connection.execute(_COUNT).scalar_one())
