"""Counting the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection
from worker.inbox.counts import is_counted
from worker.inbox.floors import NONE, Floors
from worker.types import Lane, ObjectRef

# One statement, so that the counts are of one moment and add up, whatever commits meanwhile. By the counters, so that
# finished rows are not read: what is pending is, by the partial indexes, for its age and for what is in hand.
BY_COUNTERS = text("""
    WITH counted AS (
        SELECT state, sum(objects) AS n FROM (
            SELECT bucket, state, objects FROM ledger_counts UNION ALL SELECT bucket, state, objects FROM ledger_deltas
        ) AS c WHERE CAST(:bucket AS text) IS NULL OR bucket = :bucket GROUP BY state
    ), n AS (
        SELECT coalesce(sum(n) FILTER (WHERE state = 'enriched'), 0)::bigint AS enriched,
               coalesce(sum(n) FILTER (WHERE state = 'excluded'), 0)::bigint AS excluded,
               coalesce(sum(n) FILTER (WHERE state = 'quarantined'), 0)::bigint AS quarantined,
               coalesce(sum(n) FILTER (WHERE state = 'gone'), 0)::bigint AS gone,
               coalesce(sum(n) FILTER (WHERE state = 'live'), 0)::bigint AS pending_live,
               coalesce(sum(n) FILTER (WHERE state = 'retry'), 0)::bigint AS pending_retry,
               coalesce(sum(n) FILTER (WHERE state = 'backfill'), 0)::bigint AS pending_backfill
        FROM counted
    ), pending AS (
        SELECT bucket, hinted_at, false AS in_flight FROM inbox WHERE done < wanted AND token IS NULL
        UNION ALL SELECT bucket, hinted_at, true FROM inbox WHERE done < wanted AND token IS NOT NULL
    )
    SELECT n.enriched, n.excluded, n.quarantined, n.gone,
           n.pending_live + n.pending_retry + n.pending_backfill AS pending,
           n.pending_live, n.pending_retry, n.pending_backfill, p.in_flight, p.oldest_pending_seconds
    FROM n, (
        SELECT count(*) FILTER (WHERE in_flight) AS in_flight,
               greatest(coalesce(extract(epoch FROM now() - min(hinted_at)), 0), 0)::float8 AS oldest_pending_seconds
        FROM pending WHERE CAST(:bucket AS text) IS NULL OR bucket = :bucket
    ) AS p
""")
# The same, until the rows that were there before the counters are counted.
BY_COUNTING = text("""
    SELECT count(*) FILTER (WHERE done = wanted AND outcome = 'enriched') AS enriched,
           count(*) FILTER (WHERE done = wanted AND outcome = 'excluded') AS excluded,
           count(*) FILTER (WHERE done = wanted AND outcome = 'quarantined') AS quarantined,
           count(*) FILTER (WHERE done = wanted AND outcome = 'gone') AS gone,
           count(*) FILTER (WHERE done < wanted) AS pending,
           count(*) FILTER (WHERE done < wanted AND lane = 0) AS pending_live,
           count(*) FILTER (WHERE done < wanted AND lane = 1) AS pending_retry,
           count(*) FILTER (WHERE done < wanted AND lane = 2) AS pending_backfill,
           count(*) FILTER (WHERE done < wanted AND token IS NOT NULL) AS in_flight,
           greatest(coalesce(extract(epoch FROM now() - min(hinted_at) FILTER (WHERE done < wanted)), 0), 0)::float8
               AS oldest_pending_seconds
    FROM inbox WHERE CAST(:bucket AS text) IS NULL OR bucket = :bucket
""")
_STANDING = text("""
    SELECT i.done < i.wanted AS pending, i.attempts, i.last_error, i.outcome, i.etag, q.reason, q.message
    FROM inbox i LEFT JOIN quarantine q ON q.inbox_id = i.id WHERE i.bucket = :bucket AND i.key = :key
""")
# These two in two halves, each the condition of a partial index, so that finished rows are not read.
_BY_LANE = text("""
    SELECT lane, count(*) AS n FROM (
        SELECT lane FROM inbox WHERE done < wanted AND token IS NULL
        UNION ALL SELECT lane FROM inbox WHERE done < wanted AND token IS NOT NULL
    ) AS pending GROUP BY lane
""")
_RETRYING = text("""
    SELECT retry_reason AS reason, count(*) AS objects, min(last_error) AS example FROM (
        SELECT bucket, retry_reason, last_error FROM inbox WHERE done < wanted AND token IS NULL
        UNION ALL SELECT bucket, retry_reason, last_error FROM inbox WHERE done < wanted AND token IS NOT NULL
    ) AS pending
    WHERE retry_reason IS NOT NULL AND (CAST(:bucket AS text) IS NULL OR bucket = :bucket)
    GROUP BY retry_reason ORDER BY objects DESC, reason
""")
_CLAIMABLE = text("""
    SELECT EXISTS (SELECT FROM inbox WHERE done < wanted AND token IS NULL AND lane = 0 AND visible_at <= now()
                   AND visible_at >= coalesce(CAST(:from_live AS timestamptz), '-infinity'))
        OR EXISTS (SELECT FROM inbox WHERE done < wanted AND token IS NULL AND lane = 1 AND visible_at <= now()
                   AND visible_at >= coalesce(CAST(:from_retries AS timestamptz), '-infinity'))
        OR EXISTS (SELECT FROM inbox WHERE done < wanted AND token IS NULL AND lane = 2 AND visible_at <= now()
                   AND visible_at >= coalesce(CAST(:from_backfill AS timestamptz), '-infinity'))
        OR EXISTS (SELECT FROM inbox WHERE done < wanted AND token IS NOT NULL AND visible_at <= now()
                   AND visible_at >= coalesce(CAST(:from_leased AS timestamptz), '-infinity'))
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
class Retrying:
    """Objects that are tried again, for one reason."""

    reason: str  # a code of worker.types.RetryReason
    objects: int
    example: str  # one of their errors


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
    """Count the ledger, of one bucket or of all. Reads what is pending: for people, not for hot paths."""
    statement = BY_COUNTERS if is_counted(connection) else BY_COUNTING
    row = connection.execute(statement, {"bucket": bucket}).one()
    return Totals(**row._mapping)  # noqa: SLF001  # Row's public mapping view


def retrying(connection: Connection, *, bucket: str | None = None) -> list[Retrying]:
    """Why objects are tried again, the most frequent reason first. Reads what is pending, once: for people."""
    return [Retrying(**row._mapping) for row in connection.execute(_RETRYING, {"bucket": bucket})]  # noqa: SLF001


def pending_by_lane(connection: Connection) -> dict[Lane, int]:
    """How many objects wait in each lane. Reads the partial indexes only; grows with what is pending."""
    rows = connection.execute(_BY_LANE)
    return {Lane(row.lane): int(row.n) for row in rows}


def claimable(connection: Connection, floors: Floors | None = None) -> bool:
    """Whether a claim would return anything now. Four index probes, whatever the size of the ledger."""
    parameters = NONE if floors is None else floors.now(connection)
    return bool(connection.execute(_CLAIMABLE, parameters).scalar_one())
