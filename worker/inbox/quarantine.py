"""The quarantine: what could not be enriched, seen, retried, dropped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection

_SELECTED = """
    (CAST(:reason AS text) IS NULL OR q.reason = :reason)
    AND (CAST(:bucket AS text) IS NULL OR i.bucket = :bucket)
    AND (CAST(:prefix AS text) IS NULL OR starts_with(i.key, :prefix))
    AND (CAST(:key AS text) IS NULL OR i.key = :key)
    AND q.since <= now() - make_interval(secs => :older_than)
"""
_NEWEST = text(f"""
    SELECT i.bucket, i.key, q.reason, q.message, q.etag, q.size, q.first_bytes, q.attempts, q.since
    FROM quarantine q JOIN inbox i ON i.id = q.inbox_id
    WHERE {_SELECTED} ORDER BY q.since DESC, i.bucket, i.key LIMIT :limit
""")  # noqa: S608  # a constant
_COUNTS = text(f"""
    SELECT q.reason, count(*) AS n FROM quarantine q JOIN inbox i ON i.id = q.inbox_id
    WHERE {_SELECTED} GROUP BY q.reason ORDER BY n DESC, q.reason
""")  # noqa: S608
# Locked in key order, as everywhere. The entry stays until the work has an outcome: a retry that fails again shows its
# new reason, and until then the old one explains what is pending.
_RETRY = text(f"""
    WITH chosen AS (
        SELECT i.id FROM quarantine q JOIN inbox i ON i.id = q.inbox_id
        WHERE {_SELECTED} AND i.done = i.wanted ORDER BY i.bucket, i.key FOR UPDATE OF i
    )
    UPDATE inbox i SET wanted = i.wanted + 1, attempts = 0, lane = 1, visible_at = now(), hinted_at = now(),
                       source = 'quarantine'
    FROM chosen c WHERE i.id = c.id
""")  # noqa: S608
# Dropped objects stay accounted for: they are excluded, until an event names them again.
_DROP = text(f"""
    WITH chosen AS (
        SELECT i.id FROM quarantine q JOIN inbox i ON i.id = q.inbox_id
        WHERE {_SELECTED} AND i.done = i.wanted ORDER BY i.bucket, i.key FOR UPDATE OF i
    ), dropped AS (
        DELETE FROM quarantine q USING chosen c WHERE q.inbox_id = c.id
    )
    UPDATE inbox i SET outcome = 'excluded' FROM chosen c WHERE i.id = c.id
""")  # noqa: S608


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which entries; everything given must hold, nothing given means all."""

    reason: str | None = None  # a code of worker.types.Reason
    bucket: str | None = None
    prefix: str | None = None  # of the key
    key: str | None = None
    older_than: float = 0.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantined:
    """An object that cannot be enriched."""

    bucket: str
    key: str
    reason: str  # a code of worker.types.Reason
    message: str
    etag: str | None
    size: int | None
    first_bytes: bytes | None
    attempts: int
    since: datetime


def quarantined(
    connection: Connection,
    selection: Selection = Selection(),
    *,
    limit: int = 50,  # frozen
) -> list[Quarantined]:
    """The newest entries, newest first."""
    rows = connection.execute(_NEWEST, {**_parameters(selection), "limit": limit})
    return [
        Quarantined(**{**row._mapping, "first_bytes": row.first_bytes and bytes(row.first_bytes)})  # noqa: SLF001
        for row in rows
    ]


def quarantine_counts(
    connection: Connection,
    selection: Selection = Selection(),  # frozen
) -> dict[str, int]:
    """How many entries there are by reason, most first."""
    return {row.reason: int(row.n) for row in connection.execute(_COUNTS, _parameters(selection))}


def retry_quarantined(connection: Connection, selection: Selection) -> int:
    """Make selected entries pending work with all their attempts, behind live uploads.

    Returns:
        How many; entries that are pending already are not counted.
    """
    return connection.execute(_RETRY, _parameters(selection)).rowcount


def drop_quarantined(connection: Connection, selection: Selection) -> int:
    """Give selected entries up: they count as excluded from now on.

    Returns:
        How many.
    """
    return connection.execute(_DROP, _parameters(selection)).rowcount


def _parameters(selection: Selection) -> dict[str, object]:
    return {
        "reason": selection.reason,
        "bucket": selection.bucket,
        "prefix": selection.prefix,
        "key": selection.key,
        "older_than": selection.older_than,
    }
