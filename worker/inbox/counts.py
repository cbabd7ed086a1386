"""The counters of the ledger: kept by triggers (migration 0017), folded now and then, compared with what they count."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection

# One at a time: whoever folds has nothing to do where another one does, and two who correct the same would do it twice.
_TRY_ALONE = text("SELECT pg_try_advisory_xact_lock(hashtextextended('enrich ledger counts', 0))")
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('enrich ledger counts', 0))")
_FOLD = text("""
    WITH folded AS (DELETE FROM ledger_deltas RETURNING bucket, state, objects)
    INSERT INTO ledger_counts AS c (bucket, state, objects)
    SELECT bucket, state, sum(objects) FROM folded GROUP BY bucket, state HAVING sum(objects) <> 0
    ON CONFLICT (bucket, state) DO UPDATE SET objects = c.objects + excluded.objects
""")
_IS_COUNTED = text("SELECT EXISTS (SELECT FROM ledger_counted)")
# Of one snapshot: what it sees in the ledger and what it sees of the counters differ by what was never counted,
# whatever is written meanwhile.
_DIFFERENCES = """
    SELECT bucket, state, sum(recounted)::bigint AS recounted, sum(counted)::bigint AS counted FROM (
        SELECT bucket, ledger_state(done, wanted, lane, outcome) AS state, count(*) AS recounted, 0 AS counted
        FROM inbox WHERE CAST(:bucket AS text) IS NULL OR bucket = :bucket GROUP BY 1, 2
        UNION ALL SELECT bucket, state, 0, objects FROM ledger_counts
        UNION ALL SELECT bucket, state, 0, objects FROM ledger_deltas
    ) AS compared WHERE CAST(:bucket AS text) IS NULL OR bucket = :bucket
    GROUP BY bucket, state HAVING sum(recounted) <> sum(counted)
"""
_FIND = text(_DIFFERENCES + " ORDER BY bucket, state")
_CORRECT = text(f"""
    INSERT INTO ledger_deltas (bucket, state, objects) SELECT bucket, state, recounted - counted FROM ({_DIFFERENCES}) d
""")  # noqa: S608  # a constant
_NOTE = text("INSERT INTO ledger_counted DEFAULT VALUES ON CONFLICT DO NOTHING")
_NO_TIME_LIMIT = text("SELECT set_config('statement_timeout', '0', true)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Miscount:
    """A counter that is not what it counts."""

    bucket: str
    state: str  # an outcome, or a lane
    recounted: int  # rows of the ledger
    counted: int  # what the counter says


def fold_counts(connection: Connection) -> None:
    """Add up what writers have noted since the last time; whoever reads gets the same numbers before and after."""
    if connection.execute(_TRY_ALONE).scalar_one():
        connection.execute(_FOLD)


def is_counted(connection: Connection) -> bool:
    """Whether the counters are of the whole ledger: what was there before them is counted, too."""
    return bool(connection.execute(_IS_COUNTED).scalar_one())


def miscounts(connection: Connection, bucket: str | None = None) -> list[Miscount]:
    """Recount the ledger, and compare. Reads every row; nobody waits."""
    connection.execute(_NO_TIME_LIMIT)
    return [Miscount(**row._mapping) for row in connection.execute(_FIND, {"bucket": bucket})]  # noqa: SLF001


def correct_counts(connection: Connection, bucket: str | None = None) -> None:
    """Make every counter what it counts. Also the first count of what was there before there were counters."""
    connection.execute(_NO_TIME_LIMIT)
    connection.execute(_ALONE)
    connection.execute(_CORRECT, {"bucket": bucket})
    if bucket is None:
        connection.execute(_NOTE)
