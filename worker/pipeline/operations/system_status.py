"""The use case: the system's status for operators."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from worker import catalog, ledger, outbox
from worker.db import Connection, Engine, transaction
from worker.pipeline.common.bucket_filters import require_bucket

#: Most open review plans that are named.
_REVIEWS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Reviews:
    """What people have decided, and what is left for them."""

    decisions: int
    reviewers: int
    newest: datetime | None
    open_plans: int
    open: list[catalog.review_plans.OpenReview]  # the newest of them
    proven: int  # labels in force whose precision reviews prove
    expired: int  # labels in force whose proof does not hold any more


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemStatus:
    """The state of the whole system, from the database alone."""

    totals: ledger.totals.Totals
    retrying: list[ledger.totals.RetryTotal]
    processes: list[ledger.heartbeats.ProcessStatus]
    spaces: list[catalog.spaces.Space]
    owed: dict[int, int]  # space → vectors missing in it
    rejected_events: int  # kept
    reconciliations: list[ledger.reconciliations.Reconciliation]
    feed_blocker: outbox.Blocker | None  # the session that holds the change feed back
    reviews: Reviews


def overview(engine: Engine, *, bucket: str | None = None) -> SystemStatus:
    """Count and list. Each part is one snapshot; the parts are a few milliseconds apart.

    Raises:
        UnknownNameError: nothing is known of the bucket.
    """
    with transaction(engine) as connection:
        require_bucket(connection, bucket)
        return SystemStatus(
            totals=ledger.totals.totals(connection, bucket=bucket),
            retrying=ledger.totals.retry_totals(connection, bucket=bucket),
            processes=ledger.heartbeats.processes(connection),
            spaces=catalog.spaces.all_spaces(connection),
            owed=catalog.embedding_queue.queue_lengths(connection),
            rejected_events=ledger.rejected_events.count(connection),
            reconciliations=ledger.reconciliations.states(connection),
            feed_blocker=outbox.blocker(connection),
            reviews=_reviews(connection),
        )


def rejected(engine: Engine, *, limit: int) -> list[ledger.rejected_events.RejectedEvent]:
    """The newest rejected notifications."""
    with transaction(engine) as connection:
        return ledger.rejected_events.recent(connection, limit=limit)


def totals(engine: Engine, *, bucket: str | None = None) -> ledger.totals.Totals:
    """Known objects by state."""
    with transaction(engine) as connection:
        return ledger.totals.totals(connection, bucket=bucket)


def status(engine: Engine, *, bucket: str | None = None) -> dict[str, object]:
    """Known objects by state, the session that holds the change feed back, and people's decisions.

    Raises:
        UnknownNameError: nothing is known of the bucket.
    """
    with transaction(engine) as connection:
        require_bucket(connection, bucket)
        totals, blocker = ledger.totals.totals(connection, bucket=bucket), outbox.blocker(connection)
        return {**asdict(totals), "feed_blocker": blocker, "reviews": _reviews(connection)}


def _reviews(connection: Connection) -> Reviews:
    counts = catalog.decisions.counts(connection)
    plans, count = catalog.review_plans.open_reviews(connection, limit=_REVIEWS)
    proofs = catalog.proofs.counts(connection)
    return Reviews(
        decisions=counts.decisions,
        reviewers=counts.reviewers,
        newest=counts.newest,
        open_plans=count,
        open=plans,
        proven=sum(each.proven for each in proofs),
        expired=sum(each.expired for each in proofs),
    )
