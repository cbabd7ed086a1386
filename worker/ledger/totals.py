"""Counts of the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import TextClause, text

from worker.db import Connection
from worker.ledger.counters import COUNTED, OF_BUCKET, PENDING, RECOUNTED, is_counted
from worker.ledger.floors import NONE, Floors
from worker.types import Lane, ObjectRef

# One statement, so that the counts are of one moment and add up, whatever commits meanwhile. Of the ledger itself only
# what is in hand is read, and for each bucket one row: the oldest that is pending.
_TOTALS = f"""
    WITH counted AS ({{counts}}), n AS (
        SELECT coalesce(sum(n) FILTER (WHERE state = 'enriched'), 0)::bigint AS enriched,
               coalesce(sum(n) FILTER (WHERE state = 'excluded'), 0)::bigint AS excluded,
               coalesce(sum(n) FILTER (WHERE state = 'quarantined'), 0)::bigint AS quarantined,
               coalesce(sum(n) FILTER (WHERE state = 'gone'), 0)::bigint AS gone,
               coalesce(sum(n) FILTER (WHERE state = 'live'), 0)::bigint AS pending_live,
               coalesce(sum(n) FILTER (WHERE state = 'retry'), 0)::bigint AS pending_retry,
               coalesce(sum(n) FILTER (WHERE state = 'backfill'), 0)::bigint AS pending_backfill
        FROM counted
    )
    SELECT n.enriched, n.excluded, n.quarantined, n.gone,
           n.pending_live + n.pending_retry + n.pending_backfill AS pending,
           n.pending_live, n.pending_retry, n.pending_backfill,
           (SELECT count(*) FROM inbox WHERE done < wanted AND token IS NOT NULL AND {OF_BUCKET}) AS in_flight,
           greatest(coalesce(extract(epoch FROM now() - (
               SELECT min(oldest.hinted_at)
               FROM (SELECT bucket FROM counted WHERE state IN ({PENDING}) GROUP BY bucket HAVING sum(n) > 0) AS b,
                    LATERAL (SELECT hinted_at FROM inbox i WHERE i.bucket = b.bucket AND done < wanted
                             ORDER BY hinted_at LIMIT 1) AS oldest
           )), 0), 0)::float8 AS oldest_pending_seconds
    FROM n
"""  # noqa: S608  # constants, here and below
_RETRYING = f"""
    WITH counted AS ({{counts}})
    SELECT w.reason, sum(w.n)::bigint AS objects, min(oldest.last_error) AS example
    FROM (SELECT bucket, reason, sum(n) AS n FROM counted WHERE state IN ({PENDING}) AND reason <> ''
          GROUP BY bucket, reason HAVING sum(n) > 0) AS w
    LEFT JOIN LATERAL (
        SELECT last_error FROM inbox i WHERE i.bucket = w.bucket AND i.retry_reason = w.reason AND done < wanted
        ORDER BY hinted_at LIMIT 1
    ) AS oldest ON true
    GROUP BY w.reason ORDER BY objects DESC, w.reason
"""  # noqa: S608
_BY_LANE = f"""
    WITH counted AS ({{counts}})
    SELECT state, sum(n)::bigint AS n FROM counted WHERE state IN ({PENDING}) GROUP BY state
"""  # noqa: S608
_BY_BUCKET = f"""
    WITH counted AS ({{counts}})
    SELECT bucket, coalesce(sum(n) FILTER (WHERE state = 'enriched'), 0)::bigint AS enriched,
           coalesce(sum(n) FILTER (WHERE state = 'excluded'), 0)::bigint AS excluded,
           coalesce(sum(n) FILTER (WHERE state = 'quarantined'), 0)::bigint AS quarantined,
           coalesce(sum(n) FILTER (WHERE state = 'gone'), 0)::bigint AS gone,
           coalesce(sum(n) FILTER (WHERE state IN ({PENDING})), 0)::bigint AS pending
    FROM counted GROUP BY bucket
"""  # noqa: S608
BY_COUNTERS = text(_TOTALS.format(counts=COUNTED))
# The same, until the rows that were there before the counters are counted.
BY_COUNTING = text(_TOTALS.format(counts=RECOUNTED))
_STANDING = text("""
    SELECT i.done < i.wanted AS pending, i.attempts, i.last_error, i.outcome, i.etag,
           coalesce(q.reason, g.reason) AS reason, coalesce(q.message, g.message) AS message,
           g.inbox_id IS NOT NULL AS given_up
    FROM inbox i LEFT JOIN quarantine q ON q.inbox_id = i.id LEFT JOIN given_up g ON g.inbox_id = i.id
    WHERE i.bucket = :bucket AND i.key = :key
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
    """Objects by state. Every row of the ledger is in exactly one of the first five counts."""

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
class BucketTotals:
    """Objects of one bucket by state. Each is in exactly one of them."""

    enriched: int = 0
    excluded: int = 0
    quarantined: int = 0
    gone: int = 0
    pending: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryTotal:
    """Objects that are retried for one reason."""

    reason: str  # a code of worker.types.RetryReason
    objects: int
    example: str  # one of their errors


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectState:
    """What the ledger knows about one object."""

    pending: bool
    attempts: int  # of the pending work
    last_error: str | None
    outcome: str | None  # of the last finished work
    etag: str | None  # of what was read then
    reason: str | None  # with "quarantined", or given up
    message: str | None
    given_up: bool = False  # a person gave it up, with the outcome "excluded"


def object_state(connection: Connection, ref: ObjectRef) -> ObjectState | None:
    """The state of one object; None if no hint ever named it."""
    row = connection.execute(_STANDING, {"bucket": ref.bucket, "key": ref.key}).one_or_none()
    return None if row is None else ObjectState(**row._mapping)  # noqa: SLF001  # Row's public mapping view


def totals(connection: Connection, *, bucket: str | None = None) -> Totals:
    """Objects by state, for one bucket or all. Reads counters, and current claims."""
    row = connection.execute(_counted(connection, _TOTALS), {"bucket": bucket}).one()
    return Totals(**row._mapping)  # noqa: SLF001  # Row's public mapping view


def by_bucket(connection: Connection) -> dict[str, BucketTotals]:
    """Objects of each bucket by state. Reads counters only."""
    rows = connection.execute(_counted(connection, _BY_BUCKET), {"bucket": None}).mappings()
    return {row["bucket"]: BucketTotals(**{name: n for name, n in row.items() if name != "bucket"}) for row in rows}


def retry_totals(connection: Connection, *, bucket: str | None = None) -> list[RetryTotal]:
    """Why objects are retried, the most frequent reason first. Reads counters, and one example of each."""
    rows = connection.execute(_counted(connection, _RETRYING), {"bucket": bucket})
    return [RetryTotal(**row._mapping) for row in rows]  # noqa: SLF001


def pending_by_lane(connection: Connection) -> dict[Lane, int]:
    """How many objects wait in each lane."""
    rows = connection.execute(_counted(connection, _BY_LANE), {"bucket": None})
    return {Lane[row.state.upper()]: row.n for row in rows if row.n}


def _counted(connection: Connection, statement: str) -> TextClause:
    return text(statement.format(counts=COUNTED if is_counted(connection) else RECOUNTED))


def claimable(connection: Connection, floors: Floors | None = None) -> bool:
    """Whether a claim would return anything now. Four index probes, whatever the size of the ledger."""
    parameters = NONE if floors is None else floors.now(connection)
    return bool(connection.execute(_CLAIMABLE, parameters).scalar_one())
