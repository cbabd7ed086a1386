"""The use case: what an operator wants to see."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from worker import catalog, inbox, outbox
from worker.db import Engine, transaction
from worker.pipeline.bucket_names import require_bucket


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """The state of the whole system, from the database alone."""

    totals: inbox.Totals
    retrying: list[inbox.Retrying]
    processes: list[inbox.Process]
    spaces: list[catalog.Space]
    owed: dict[int, int]  # space → images that wait for their vector in it
    rejected_events: int  # kept
    reconciliations: list[inbox.Reconciliation]
    feed_blocker: outbox.Blocker | None  # whose transaction holds the change feed back


def overview(engine: Engine, *, bucket: str | None = None) -> Overview:
    """Count and list. Each part is of one moment; the parts are a few milliseconds apart.

    Raises:
        UnknownNameError: nothing is known of the bucket.
    """
    with transaction(engine) as connection:
        require_bucket(connection, bucket)
        return Overview(
            totals=inbox.totals(connection, bucket=bucket),
            retrying=inbox.retrying(connection, bucket=bucket),
            processes=inbox.processes(connection),
            spaces=catalog.spaces(connection),
            owed=catalog.owed(connection),
            rejected_events=inbox.rejected_count(connection),
            reconciliations=inbox.reconciliations(connection),
            feed_blocker=outbox.blocker(connection),
        )


def rejected(engine: Engine, *, limit: int) -> list[inbox.RejectedEvent]:
    """The newest refused notifications."""
    with transaction(engine) as connection:
        return inbox.rejected_events(connection, limit=limit)


def totals(engine: Engine, *, bucket: str | None = None) -> inbox.Totals:
    """Where every known object stands."""
    with transaction(engine) as connection:
        return inbox.totals(connection, bucket=bucket)


def status(engine: Engine, *, bucket: str | None = None) -> dict[str, object]:
    """Where every known object stands, and whose transaction holds the change feed back.

    Raises:
        UnknownNameError: nothing is known of the bucket.
    """
    with transaction(engine) as connection:
        require_bucket(connection, bucket)
        totals, blocker = inbox.totals(connection, bucket=bucket), outbox.blocker(connection)
    return {**asdict(totals), "feed_blocker": blocker}
