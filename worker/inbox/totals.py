"""Counting the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection
from worker.types import Lane, ObjectRef

_TOTALS = text("""
    SELECT CASE WHEN done < wanted THEN 'pending' ELSE outcome END AS state, count(*) AS n
    FROM inbox WHERE CAST(:bucket AS text) IS NULL OR bucket = :bucket GROUP BY 1
""")
_PENDING = text("""
    SELECT count(*) FILTER (WHERE lane = 0) AS live,
           count(*) FILTER (WHERE lane = 1) AS retry,
           count(*) FILTER (WHERE lane = 2) AS backfill,
           count(*) FILTER (WHERE token IS NOT NULL) AS in_flight,
           coalesce(extract(epoch FROM now() - min(hinted_at)), 0)::float8 AS oldest
    FROM inbox WHERE done < wanted AND (CAST(:bucket AS text) IS NULL OR bucket = :bucket)
""")
_STANDING = text("""
    SELECT i.done < i.wanted AS pending, i.attempts, i.last_error, i.outcome, i.etag, q.reason, q.message
    FROM inbox i LEFT JOIN quarantine q ON q.inbox_id = i.id WHERE i.bucket = :bucket AND i.key = :key
""")
# In two halves, each the condition of a partial index, so that finished rows are not read.
_BY_LANE = text("""
    SELECT lane, count(*) AS n FROM (
        SELECT lane FROM inbox WHERE done < wanted AND token IS NULL
        UNION ALL SELECT lane FROM inbox WHERE done < wanted AND token IS NOT NULL
    ) AS pending GROUP BY lane
""")
_CLAIMABLE = text("""
    SELECT EXISTS (SELECT FROM inbox WHERE done < wanted AND token IS NULL AND lane = 0 AND visible_at <= now())
        OR EXISTS (SELECT FROM inbox WHERE done < wanted AND token IS NULL AND lane = 1 AND visible_at <= now())
        OR EXISTS (SELECT FROM inbox WHERE done < wanted AND token IS NULL AND lane = 2 AND visible_at <= now())
        OR EXISTS (SELECT FROM inbox WHERE done < wanted AND token IS NOT NULL AND visible_at <= now())
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """How many objects stand where. Every row of the ledger is in exactly one of the first five."""

    enriched: int
    excluded: int
    quarantined: int
    gone: int
    pending: int
    pending_live: int  # the next four describe the pending
    pending_retry: int
    pending_backfill: int
    in_flight: int
    oldest_pending_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What the ledger knows about one object."""

    pending: bool
    attempts: int  # of the pending work
    last_error: str | None
    outcome: str | None  # of the last finished work
    etag: str | None  # of what was read then
    reason: str | None  # with "quarantined"
    message: str | None


def standing(connection: Connection, ref: ObjectRef) -> Standing | None:
    """Where one object stands; None if no hint ever named it."""
    row = connection.execute(_STANDING, {"bucket": ref.bucket, "key": ref.key}).one_or_none()
    return None if row is None else Standing(**row._mapping)  # noqa: SLF001  # Row's public mapping view


def totals(connection: Connection, *, bucket: str | None = None) -> Totals:
    """Count the ledger, of one bucket or of all. Reads every row: for people, not for hot paths."""
    by_state = {row.state: int(row.n) for row in connection.execute(_TOTALS, {"bucket": bucket})}
    pending = connection.execute(_PENDING, {"bucket": bucket}).one()
    return Totals(
        enriched=by_state.get("enriched", 0),
        excluded=by_state.get("excluded", 0),
        quarantined=by_state.get("quarantined", 0),
        gone=by_state.get("gone", 0),
        pending=by_state.get("pending", 0),
        pending_live=pending.live,
        pending_retry=pending.retry,
        pending_backfill=pending.backfill,
        in_flight=pending.in_flight,
        oldest_pending_seconds=max(pending.oldest, 0.0),
    )


def pending_by_lane(connection: Connection) -> dict[Lane, int]:
    """How many objects wait in each lane. Reads the partial indexes only; grows with what is pending."""
    rows = connection.execute(_BY_LANE)
    return {Lane(row.lane): int(row.n) for row in rows}


def claimable(connection: Connection) -> bool:
    """Whether a claim would return anything now. Four index probes, whatever the size of the ledger."""
    return bool(connection.execute(_CLAIMABLE).scalar_one())
