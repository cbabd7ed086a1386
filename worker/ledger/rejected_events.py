"""Notifications that could not be parsed, kept for inspection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from worker.db import Connection, storable

_KEPT = 1_000
#: Bytes of a body that are kept.
BODY_BYTES = 64 << 10

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
_HEADS = text("""
    SELECT id, source, reason, octet_length(body) AS bytes, received FROM rejected_events
    WHERE CAST(:before AS bigint) IS NULL OR id < :before ORDER BY id DESC LIMIT :limit
""")
_ONE = text("SELECT id, source, reason, body, received FROM rejected_events WHERE id = :id")


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedEvent:
    """A notification that could not be parsed, or that needs a person."""

    id: int
    source: str
    reason: str
    body: bytes  # the first 64 KiB
    received: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedEventHead:
    """A rejected notification without its body."""

    id: int
    source: str
    reason: str
    bytes: int  # of the body that is kept
    received: datetime


def reject(connection: Connection, *, source: str, reason: str, body: bytes) -> int:
    """Keep a rejected notification; the oldest beyond 1,000 go.

    Returns:
        Its id, for the answer to the sender.
    """
    newest: int = connection.execute(
        _REJECT, {"source": source, "reason": storable(reason), "body": body[:BODY_BYTES]}
    ).scalar_one()
    connection.execute(_PRUNE, {"kept": _KEPT})
    return newest


def reject_once(connection: Connection, *, source: str, reason: str, body: bytes) -> bool:
    """Keep a rejected notification unless it is kept already, as one is that a queue delivers again and again.

    Returns:
        Whether it was new.
    """
    same = {"source": source, "reason": storable(reason), "body": body[:BODY_BYTES]}
    if connection.execute(_KNOWN, same).scalar_one():
        return False
    reject(connection, source=source, reason=reason, body=body)
    return True


def recent(connection: Connection, *, limit: int = 20) -> list[RejectedEvent]:
    """The newest rejected notifications, newest first."""
    return [_event(row) for row in connection.execute(_NEWEST, {"limit": limit})]


def heads(connection: Connection, *, limit: int, before: int | None = None) -> list[RejectedEventHead]:
    """The newest rejected notifications without their bodies, newest first; with ``before``, only those older."""
    rows = connection.execute(_HEADS, {"limit": limit, "before": before})
    return [RejectedEventHead(**row._mapping) for row in rows]  # noqa: SLF001  # Row's public mapping view


def get(connection: Connection, number: int) -> RejectedEvent | None:
    """One rejected notification; None if it is not kept."""
    row = connection.execute(_ONE, {"id": number}).one_or_none()
    return None if row is None else _event(row)


def _event(row: Row[Any]) -> RejectedEvent:
    return RejectedEvent(id=row.id, source=row.source, reason=row.reason, body=bytes(row.body), received=row.received)


def count(connection: Connection) -> int:
    """How many are kept."""
    return int(connection.execute(_COUNT).scalar_one())
