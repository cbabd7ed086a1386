"""The ledger's counters: kept by triggers (migration 0017), and checked against a recount by ``enrich verify``."""

from __future__ import annotations

from dataclasses import dataclass

from worker.counters import Counters
from worker.db import Connection

#: A condition on rows that have a bucket.
OF_BUCKET = "(CAST(:bucket AS text) IS NULL OR bucket = :bucket)"
#: States of rows that are pending.
PENDING = "'live', 'retry', 'backfill'"
#: Objects per bucket, state and retry reason: from the counters, and from a recount.
COUNTED = f"""
    SELECT bucket, state, reason, sum(objects) AS n FROM (
        SELECT bucket, state, reason, objects FROM ledger_counts
        UNION ALL SELECT bucket, state, reason, objects FROM ledger_deltas
    ) AS c WHERE {OF_BUCKET} GROUP BY bucket, state, reason
"""  # noqa: S608  # constants, here and below
RECOUNTED = f"""
    SELECT bucket, ledger_state(done, wanted, lane, outcome) AS state,
           CASE WHEN done < wanted THEN coalesce(retry_reason, '') ELSE '' END AS reason, count(*) AS n
    FROM inbox WHERE {OF_BUCKET} GROUP BY 1, 2, 3
"""  # noqa: S608
_COUNTERS = Counters(
    "ledger", keys="bucket, state, reason", value="objects", recount=RECOUNTED, where=OF_BUCKET
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Miscount:
    """A counter that differs from its recount."""

    bucket: str
    state: str  # an outcome, or a lane
    reason: str  # for which it is tried again, or empty
    recounted: int  # rows of the ledger
    counted: int  # what the counter says


def fold(connection: Connection) -> None:
    """Keep the counters short; see :class:`worker.counters.Counters`."""
    _COUNTERS.fold(connection)


def is_counted(connection: Connection) -> bool:
    """Whether the counters cover the whole ledger, including rows older than them."""
    return _COUNTERS.are_complete(connection)


def miscounts(connection: Connection, bucket: str | None = None) -> list[Miscount]:
    """Recount the ledger and compare. Reads every row; does not block writers."""
    return [Miscount(**row._mapping) for row in _COUNTERS.differences(connection, {"bucket": bucket})]  # noqa: SLF001


def correct(connection: Connection, bucket: str | None = None) -> None:
    """Correct every counter. Also makes the first count of rows older than the counters."""
    (_COUNTERS.complete if bucket is None else _COUNTERS.correct)(connection, {"bucket": bucket})
