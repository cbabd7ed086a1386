"""Response models for operators: buckets, backlog, throughput, processes, the change feed, rejected notifications."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from worker.api.models import FeedBlocker, Values


class BucketObjects(Values):
    """How many objects of a bucket are in each state. Every known object is in exactly one of them."""

    enriched: int
    excluded: int = Field(description="Not images, or given up.")
    quarantined: int
    gone: int = Field(description="Deleted from the bucket.")
    pending: int


class KnownBucket(Values):
    """A bucket in which an object has been announced."""

    name: str
    endpoint: str | None = Field(description="The store where it was last found; null: it was never found.")
    found_at: datetime | None = Field(description="When it was last found in the store.")
    missing_since: datetime | None = Field(description="Since when the store has not had it; null: it has it.")
    gone_at: datetime | None = Field(description="Since when it counts as deleted: its images leave the catalog.")
    objects: BucketObjects


class BucketList(BaseModel):
    """All known buckets, by name."""

    buckets: list[KnownBucket]


class ReconciledTarget(BaseModel):
    """How a watched bucket or prefix compared with its store when the scheduler last listed it."""

    bucket: str
    prefix: str = Field(description="Only keys with this prefix are compared; empty: all.")
    finished_at: datetime | None = Field(description="When the last complete comparison ended; null: there was none.")
    listed: int = Field(description="Objects that the store listed in it. The next four are among these or differ.")
    missing: int = Field(description="Objects that no event had announced. They were made pending.")
    stale: int = Field(description="Objects whose bytes had changed without an event. They were made pending.")
    ghost: int = Field(description="Objects that the store did not list any more. They were made pending.")
    unnameable: int = Field(description="Keys that cannot be recorded; `enrich verify` names them.")
    running: bool = Field(description="Whether a comparison is under way.")
    compared: int = Field(description="Objects that it has compared so far.")
    due_seconds: float = Field(description="Until its next page, or the next comparison, is due.")
    error: str | None = Field(description="Why the store could not be listed at the last attempt.")


class ReconciliationList(BaseModel):
    """All watched buckets and prefixes, by name."""

    reconciliations: list[ReconciledTarget]


class LaneBacklog(BaseModel):
    """What is pending in one lane."""

    lane: Literal["live", "retry", "backfill"] = Field(description="Workers claim live objects first, backfill last.")
    objects: int
    in_flight: int = Field(description="Of these, claimed by workers now.")
    oldest_seconds: float | None = Field(
        description="How long the oldest has been pending; null: nothing is, or, if `exact` is false, none was found."
    )
    exact: bool = Field(description="false: the oldest has been pending for at least `oldest_seconds`.")


class RetryReasonCount(Values):
    """Objects that are retried for one reason."""

    reason: str
    objects: int
    example: str | None = Field(description="One of their error messages.")


class Backlog(BaseModel):
    """What is pending."""

    pending: int = Field(description="Objects in all lanes.")
    lanes: list[LaneBacklog]
    retrying: list[RetryReasonCount] = Field(description="Why objects are retried, the most frequent reason first.")


class MinuteRate(Values):
    """Images that were enriched in one minute."""

    start: datetime
    images: int
    exact: bool = Field(description="false: an estimate.")


class LatencyQuantiles(Values):
    """Seconds from the receipt of an event to the commit that made its image searchable."""

    images: int = Field(description="Images that were measured.")
    median: float
    p95: float
    p99: float
    longest: float


class Throughput(Values):
    """How fast images become searchable."""

    last_minute: int = Field(description="Images that were enriched in the last minute.")
    last_hour: int
    exact: bool = Field(
        description="false: there were more than 250 in a minute, so that part of `last_hour` is an estimate."
    )
    minutes: list[MinuteRate] = Field(description="The last 60 minutes, oldest first; the last one ends now.")
    latency: LatencyQuantiles | None = Field(
        description="Of the last hour; null: no image of it was announced by an event. Backfills are not counted."
    )
    latency_exact: bool = Field(description="false: up to 60 images of each minute were measured, not all.")


class RunningProcess(Values):
    """A process that reported to the database within a day."""

    name: str
    kind: Literal["api", "worker", "scheduler", "listener"]
    host: str
    model: str | None = Field(description="The model that it runs.")
    activity: Literal["working", "idle", "waiting", "stuck", "silent", "refused"] = Field(
        description="`waiting`: it takes no work now, and `waiting` says why. `stuck`: it has work and has made no "
        "progress for five minutes. `silent`: no heartbeat for 35 seconds. `refused`: it ended at its start."
    )
    batches: int = Field(description="Batches that it has claimed.")
    waiting: str | None = Field(description="What it waits for, in a sentence.")
    breakers: list[Literal["database", "store", "quarantine"]] = Field(description="Circuit breakers open in it.")
    problem: str | None = Field(description="What is wrong with it, in a sentence.")
    started_at: datetime
    seen_seconds: float = Field(description="Since its last heartbeat.")
    progress_seconds: float = Field(description="Since it last finished work, or had none.")


class ProcessList(BaseModel):
    """Workers, schedulers and listeners, by kind and name."""

    processes: list[RunningProcess]


class FeedState(BaseModel):
    """Where the change feed begins and ends."""

    end: str = Field(description="Cursor behind the newest change.")
    newest_at: datetime | None = Field(description="When the newest change was made; null: the feed is empty.")
    oldest_at: datetime | None = Field(description="When the oldest change was made that is still kept.")
    retention_days: float | None = Field(
        description="`ENRICH_FEED_RETENTION_DAYS` of this API: changes are kept for so long; null: for ever."
    )
    blocker: FeedBlocker | None = Field(description="The transaction that the feed waits for; null: none.")


class RejectedNotification(Values):
    """A notification that could not be parsed, or that needs a person."""

    id: int
    source: str = Field(description="Who sent it: the last part of the address, or the queue's kind.")
    reason: str
    bytes: int = Field(description="Of its body that are kept: at most 65,536.")
    received: datetime


class RejectedNotificationList(BaseModel):
    """A page of rejected notifications, newest first."""

    events: list[RejectedNotification]
    total: int = Field(description="Notifications that are kept: the newest 1,000.")
    next: str | None = Field(description="Pass it as `after` for older ones; null on the last page.")


class RejectedNotificationBody(BaseModel):
    """A rejected notification with its body."""

    id: int
    source: str
    reason: str
    received: datetime
    body: str = Field(description="As text; bytes that are not UTF-8 are written as `\\\\xff`.")
    whole: bool = Field(description="Whether `body` is exactly what was sent, so that it can be sent again.")
