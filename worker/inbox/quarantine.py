"""Reading the quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection

_NEWEST = text("""
    SELECT i.bucket, i.key, q.reason, q.message, q.etag, q.size, q.first_bytes, q.attempts, q.since
    FROM quarantine q JOIN inbox i ON i.id = q.inbox_id
    WHERE CAST(:bucket AS text) IS NULL OR i.bucket = :bucket
    ORDER BY q.since DESC, i.key LIMIT :limit
""")


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


def quarantined(connection: Connection, *, bucket: str | None = None, limit: int = 50) -> list[Quarantined]:
    """The newest entries, newest first."""
    rows = connection.execute(_NEWEST, {"bucket": bucket, "limit": limit})
    return [
        Quarantined(**{**row._mapping, "first_bytes": row.first_bytes and bytes(row.first_bytes)})  # noqa: SLF001
        for row in rows
    ]
