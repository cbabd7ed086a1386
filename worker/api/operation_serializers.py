"""Values of the operators' use cases → response models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from worker.api import operation_models as models
from worker.api.models import FeedBlocker
from worker.ledger.buckets import Bucket
from worker.ledger.reconciliations import Reconciliation
from worker.ledger.rejected_events import RejectedEvent
from worker.ledger.totals import BucketTotals
from worker.pipeline.delivery.change_feed import FeedState
from worker.pipeline.operations import rejected_events
from worker.pipeline.operations.backlog import Backlog
from worker.types import Lane

_LANES: Mapping[Lane, Literal["live", "retry", "backfill"]] = {
    Lane.LIVE: "live",
    Lane.RETRY: "retry",
    Lane.BACKFILL: "backfill",
}


def bucket(found: Bucket, objects: BucketTotals) -> models.KnownBucket:
    """A bucket with its objects by state."""
    return models.KnownBucket(
        name=found.name,
        endpoint=found.endpoint,
        found_at=found.found_at,
        missing_since=found.missing_since,
        gone_at=found.gone_at,
        objects=models.BucketObjects.model_validate(objects),
    )


def backlog(found: Backlog) -> models.Backlog:
    """What is pending, with lanes by name."""
    lanes = [
        models.LaneBacklog(
            lane=_LANES[each.lane],
            objects=each.objects,
            in_flight=each.in_flight,
            oldest_seconds=each.oldest_seconds,
            exact=each.exact,
        )
        for each in found.lanes
    ]
    retrying = [models.RetryReasonCount.model_validate(each) for each in found.retrying]
    return models.Backlog(pending=found.pending, lanes=lanes, retrying=retrying)


def reconciliation(found: Reconciliation) -> models.ReconciledTarget:
    """The last complete comparison, and the one under way."""
    return models.ReconciledTarget(
        bucket=found.bucket,
        prefix=found.prefix,
        finished_at=found.finished_at,
        listed=found.last_listed,
        missing=found.last_missing,
        stale=found.last_stale,
        ghost=found.last_ghost,
        unnameable=found.last_unnameable,
        running=found.cursor is not None,
        compared=found.listed,
        due_seconds=found.due_in,
        error=found.last_error,
    )


def feed(found: FeedState, *, retention_days: float) -> models.FeedState:
    """The ends of the feed. ``retention_days``: 0 means for ever."""
    return models.FeedState(
        end=found.extent.end,
        newest_at=found.extent.newest_at,
        oldest_at=found.extent.oldest_at,
        retention_days=retention_days or None,
        blocker=None if found.blocker is None else FeedBlocker.model_validate(found.blocker),
    )


def rejected(found: RejectedEvent) -> models.RejectedNotificationBody:
    """A notification with its body as text."""
    text = found.body.decode(errors="backslashreplace")
    return models.RejectedNotificationBody(
        id=found.id,
        source=found.source,
        reason=found.reason,
        received=found.received,
        body=text,
        whole=rejected_events.is_whole(found) and text.encode() == found.body,
    )
