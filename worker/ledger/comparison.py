"""Compares the ledger with a listing of the bucket, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from worker.db import Connection
from worker.ledger.key_ranges import Range, after, keys_with

# Stores list in different orders (AWS by bytes, SeaweedFS by folder), and a proof must not depend on which: the rows
# met are remembered, and what was never met is found at the end. A temporary table belongs to its connection, is not
# logged, and goes with a process that is killed.
_BEGIN = text("CREATE TEMPORARY TABLE IF NOT EXISTS audit_met (id bigint PRIMARY KEY) ON COMMIT PRESERVE ROWS")
_CLEAR = text("TRUNCATE audit_met")

# Ages are by the database's clock. Rows that were finished since the audit began know more than the listing may.
_STANDING = """
    i.done < i.wanted AS pending, i.outcome, i.etag, i.finished_at >= :since AS recent,
    CASE WHEN i.done < i.wanted THEN greatest(extract(epoch FROM now() - i.hinted_at), 0)::float8 END AS waits
"""
# The fence (OFFSET 0) makes it one probe of the index for each key: a join may be planned as a scan of the whole bucket
# where statistics are old (166 ms a page instead of 20, measured with a bucket that had just been filled).
_KNOWN = f"""
    SELECT l.key, l.etag AS listed_etag, i.id, {_STANDING}
    FROM unnest(CAST(:keys AS text[]), CAST(:etags AS text[])) AS l (key, etag)
    LEFT JOIN LATERAL (SELECT * FROM inbox WHERE bucket = :bucket AND key = l.key COLLATE "C" OFFSET 0) i ON true
"""  # noqa: S608  # a constant
_PAGE = text(f"""
    WITH known AS ({_KNOWN})
    SELECT key, listed_etag, pending, outcome, etag, recent, waits FROM known
""")  # noqa: S608
_PAGE_MET = text(f"""
    WITH known AS ({_KNOWN}), met AS (
        INSERT INTO audit_met SELECT id FROM known WHERE id IS NOT NULL ON CONFLICT DO NOTHING
    )
    SELECT key, listed_etag, pending, outcome, etag, recent, waits FROM known
""")  # noqa: S608

# What the catalog may still show although the store has nothing: finished before the audit began, and not by "gone".
_FINISHED = "i.done = i.wanted AND i.outcome <> 'gone' AND i.finished_at < :since"
# In parts, so that no statement takes longer the larger the ledger is. A scalar subquery is one probe of the index for
# each row, whatever the planner thinks of a table that it has no statistics of.
_UNMET = text(f"""
    WITH part AS MATERIALIZED (
        SELECT i.id, i.key, i.outcome, i.etag, {_FINISHED} AS finished FROM inbox i
        WHERE i.bucket = :bucket AND i.key >= :start AND i.key < :stop
        ORDER BY i.key LIMIT :limit
    )
    SELECT key, outcome, etag, false AS is_end FROM part p
    WHERE finished AND (SELECT m.id FROM audit_met m WHERE m.id = p.id) IS NULL
    UNION ALL SELECT max(key), NULL, NULL, true FROM part
""")  # noqa: S608
_WITHIN = text(f"""
    SELECT i.key, i.outcome, i.etag
    FROM unnest(CAST(:starts AS text[]), CAST(:stops AS text[])) AS r (start, stop)
    JOIN inbox i ON i.bucket = :bucket AND i.key >= r.start AND i.key < r.stop
    WHERE {_FINISHED} AND i.key > :start AND i.key <> ALL(CAST(:listed AS text[]))
    ORDER BY i.key LIMIT :limit
""")  # noqa: S608
_PART = 10_000

_ESTIMATE = """
    EXPLAIN (FORMAT JSON) SELECT FROM inbox
    WHERE bucket = :bucket AND key >= :start AND key < :stop
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyComparison:
    """One key, as the store lists it and as the ledger knows it."""

    key: str
    listed_etag: str | None  # None: the store does not list it
    pending: bool = False
    outcome: str | None = None  # None: no finished work
    etag: str | None = None  # of what was read when the work was finished; None where nothing was read
    recent: bool = False  # finished since the audit began: the listing may be older than what the ledger knows
    waits: float | None = None  # seconds since the first hint of pending work


def begin(connection: Connection) -> None:
    """Reset what an earlier comparison has recorded on this connection. Later calls must use the same connection."""
    connection.execute(_BEGIN)
    connection.execute(_CLEAR)


def compare(
    connection: Connection, bucket: str, listed: Sequence[tuple[str, str]], *, since: datetime, remember: bool = False
) -> list[KeyComparison]:
    """One page of a listing, as (key, etag), beside what the ledger knows.

    Args:
        connection: with ``remember``, the one of :func:`begin`.
        bucket: of all keys.
        listed: keys that the ledger can hold (:func:`worker.ledger.key_ranges.is_storable`).
        since: when the audit began.
        remember: note what was met, for :func:`not_listed`.
    """
    rows = connection.execute(
        _PAGE_MET if remember else _PAGE,
        {"bucket": bucket, "keys": [key for key, _ in listed], "etags": [etag for _, etag in listed], "since": since},
    )
    return [
        KeyComparison(
            key=r.key, listed_etag=r.listed_etag, pending=bool(r.pending), outcome=r.outcome, etag=r.etag,
            recent=bool(r.recent), waits=r.waits,
        )
        for r in rows
    ]  # fmt: skip


def not_listed(
    connection: Connection, bucket: str, *, prefix: str = "", since: datetime, start: str | None = None
) -> tuple[list[KeyComparison], str | None]:
    """A part of the finished objects that no page listed: the catalog has them, the store does not.

    Returns:
        What was found, and the ``start`` of the next part; None after the last one.
    """
    whole = keys_with(prefix)
    parameters = {
        "bucket": bucket,
        "start": whole.start if start is None else start,
        "stop": whole.stop,
        "since": since,
        "limit": _PART,
    }
    *rows, end = connection.execute(_UNMET, parameters)
    found = [KeyComparison(key=row.key, listed_etag=None, outcome=row.outcome, etag=row.etag) for row in rows]
    return found, None if end.key is None else after(end.key)


def unlisted_within(
    connection: Connection,
    bucket: str,
    ranges: Sequence[Range],
    *,
    listed: Sequence[str],
    since: datetime,
    start: str = "",
    limit: int,
) -> list[KeyComparison]:
    """Finished objects in ranges of keys that are not among those listed, the first ``limit`` behind ``start``."""
    rows = connection.execute(
        _WITHIN,
        {
            "bucket": bucket,
            "starts": [each.start for each in ranges],
            "stops": [each.stop for each in ranges],
            "listed": list(listed),
            "since": since,
            "start": start,
            "limit": limit,
        },
    )
    return [KeyComparison(key=row.key, listed_etag=None, outcome=row.outcome, etag=row.etag) for row in rows]


def estimate(connection: Connection, bucket: str, *, prefix: str = "") -> int:
    """About how many objects the ledger knows: the planner's estimate, which is instant at any size."""
    whole = keys_with(prefix)
    [plan] = connection.execute(
        text(_ESTIMATE), {"bucket": bucket, "start": whole.start, "stop": whole.stop}
    ).scalar_one()
    return int(plan["Plan"]["Plan Rows"])
