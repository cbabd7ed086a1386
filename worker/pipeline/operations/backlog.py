"""The use case: what is pending, by lane and by the reason of retries."""

from __future__ import annotations

from dataclasses import dataclass

from worker import ledger
from worker.db import Engine, snapshot
from worker.ledger.backlog import LaneBacklog
from worker.ledger.totals import RetryTotal
from worker.pipeline.common.bucket_filters import require_bucket


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What is pending."""

    lanes: tuple[LaneBacklog, ...]  # the most urgent first
    retrying: tuple[RetryTotal, ...]  # the most frequent reason first

    @property
    def pending(self) -> int:
        """Objects in all lanes."""
        return sum(each.objects for each in self.lanes)


def backlog(engine: Engine, *, bucket: str | None = None) -> Backlog:
    """What is pending in one bucket or in all, of one moment. Reads counters and at most a few thousand rows.

    Raises:
        UnknownNameError: nothing is known of the bucket.
    """
    with snapshot(engine) as connection:
        require_bucket(connection, bucket)
        return Backlog(
            lanes=tuple(ledger.backlog.lanes(connection, bucket=bucket)),
            retrying=tuple(ledger.totals.retry_totals(connection, bucket=bucket)),
        )
