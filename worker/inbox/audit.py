"""Comparing the ledger with a listing of the bucket, page by page, in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection

# Stores list in different orders (AWS by bytes, SeaweedFS by folder), so this cannot be a merge: the rows met are
# remembered, and what was never met is found at the end. A temporary table belongs to its connection and is not logged.
_BEGIN = text("CREATE TEMPORARY TABLE IF NOT EXISTS audit_met (id bigint PRIMARY KEY) ON COMMIT PRESERVE ROWS")
_CLEAR = text("TRUNCATE audit_met")
_PAGE = text("""
    WITH listed AS (
        SELECT key, etag FROM unnest(CAST(:keys AS text[]), CAST(:etags AS text[])) AS l (key, etag)
    ), known AS (
        SELECT l.key, l.etag AS listed_etag, i.id, i.done < i.wanted AS pending, i.outcome, i.etag
        FROM listed l LEFT JOIN inbox i ON i.bucket = :bucket AND i.key = l.key COLLATE "C"
    ), met AS (
        INSERT INTO audit_met SELECT id FROM known WHERE id IS NOT NULL ON CONFLICT DO NOTHING
    )
    SELECT key, listed_etag, pending, outcome, etag FROM known
""")
_UNMET = text("""
    SELECT i.key, i.outcome, i.etag FROM inbox i
    WHERE i.bucket = :bucket AND i.key >= CAST(:prefix AS text) COLLATE "C" AND starts_with(i.key, :prefix)
      AND i.done = i.wanted AND i.outcome <> 'gone' AND NOT EXISTS (SELECT FROM audit_met m WHERE m.id = i.id)
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One key, as the store lists it and as the ledger knows it."""

    key: str
    listed_etag: str | None  # None: the store does not list it
    pending: bool = False
    outcome: str | None = None  # None: no finished work
    etag: str | None = None  # of what was read when the work was finished; None where nothing was read


def begin_audit(connection: Connection) -> None:
    """Forget what an earlier audit met on this connection. Later calls must use the same connection."""
    connection.execute(_BEGIN)
    connection.execute(_CLEAR)


def compare(connection: Connection, bucket: str, listed: Sequence[tuple[str, str]]) -> list[Compared]:
    """One page of a listing, as (key, etag), beside what the ledger knows."""
    rows = connection.execute(
        _PAGE, {"bucket": bucket, "keys": [key for key, _ in listed], "etags": [etag for _, etag in listed]}
    )
    return [
        Compared(key=r.key, listed_etag=r.listed_etag, pending=bool(r.pending), outcome=r.outcome, etag=r.etag)
        for r in rows
    ]


def unmet(connection: Connection, bucket: str, *, prefix: str = "") -> Iterator[Compared]:
    """Finished objects that no page named: the catalog has them, the store does not."""
    rows = connection.execution_options(stream_results=True).execute(_UNMET, {"bucket": bucket, "prefix": prefix})
    for row in rows:
        yield Compared(key=row.key, listed_etag=None, outcome=row.outcome, etag=row.etag)
