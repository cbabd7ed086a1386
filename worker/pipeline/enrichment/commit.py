"""Commits a batch: image rows, vectors, tags, changes and the outcomes of its claim, in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker import catalog, ledger, logs, metrics, outbox
from worker.catalog.removal import Removal
from worker.catalog.write import EnrichedImage
from worker.db import Connection
from worker.ledger.claims import Claim
from worker.ledger.completion import Completion, Retry
from worker.pipeline.enrichment.prepare import FinalOutcome
from worker.pipeline.resilience.retry_policy import RetryPolicy
from worker.types import ObjectRef, Outcome, Reason

_log = logs.get("pipeline")

#: These say nothing about the bytes, so the catalog's entry may still be true.
_UNDECIDED = frozenset({
    Reason.ACCESS_DENIED, Reason.NOT_READABLE, Reason.NOT_WATCHED, Reason.ARCHIVED, Reason.ATTEMPTS_EXHAUSTED,
    Reason.KILLED_WORKER,
})  # fmt: skip
#: Seconds until work that met an outage is retried. Constant, because such attempts are not counted.
_OUTAGE_DELAY = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitResult:
    """What was still claimed by us when it was written."""

    enriched: tuple[EnrichedImage, ...]
    ended: tuple[FinalOutcome, ...]
    lost: int  # objects of the batch that others have claimed by now; nothing was written for them
    at: datetime  # by the database's clock


def write(
    connection: Connection,
    claim: Claim,
    enriched: Sequence[EnrichedImage],
    ended: Sequence[FinalOutcome],
    *,
    space_id: int,
    revision: int,
    policy: RetryPolicy,
) -> CommitResult:
    """Write everything for which the token is still valid; nothing for objects that others have claimed.

    Raises:
        OutdatedTaxonomiesError: the tags were decided by another revision of the taxonomies than that in force.
    """
    if enriched:
        catalog.taxonomy_revisions.hold(connection, revision)  # before anything is locked
    ids = {each.ref: each.id for each in claim.objects}
    held = ledger.completion.lock(connection, claim.token, ids.values())
    written = CommitResult(
        enriched=tuple(each for each in enriched if ids[each.info.ref] in held),
        ended=tuple(each for each in ended if each.claimed.id in held),
        lost=len(ids) - len(held),
        at=ledger.heartbeats.now(connection),
    )
    catalog.write.save_images(connection, space_id=space_id, images=written.enriched)
    removed = catalog.removal.remove(connection, _removals(written.ended))
    outbox.append(connection, [*_announced(written.enriched), *_withdrawn(removed)])
    ledger.completion.complete(connection, claim.token, [*_completed(written.enriched, ids), *_finished(written.ended)])
    retries = [_retry(each, policy) for each in written.ended if each.outcome is Outcome.RETRY]
    ledger.completion.retry(connection, claim.token, retries)
    return written


def count_outcomes(written: CommitResult) -> Mapping[Outcome, int]:
    """Count and log outcomes, once they are committed."""
    if written.lost:
        _log.warning("late: other workers have part of the batch by now", action="write", lost=written.lost)
    for image in written.enriched:
        seconds = (written.at - (image.event_at or image.hinted_at)).total_seconds()
        metrics.EVENT_TO_SEARCHABLE_SECONDS.observe(max(seconds, 0))
    for each in written.ended:
        _tell(each)
    counts = Counter(each.outcome for each in written.ended)
    if written.enriched:
        counts[Outcome.ENRICHED] = len(written.enriched)
    for outcome, count in counts.items():
        metrics.OUTCOMES.labels(outcome=str(outcome)).inc(count)
    return counts


def _tell(each: FinalOutcome) -> None:
    if each.retry is not None:
        metrics.RETRIES.labels(reason=str(each.retry)).inc()
    if each.quarantine is not None:
        metrics.QUARANTINED.labels(reason=str(each.quarantine.reason)).inc()
        _log.info(
            "quarantined", action="quarantine", ref=str(each.claimed.ref), reason=str(each.quarantine.reason),
            message=each.quarantine.message,
        )  # fmt: skip


def _retry(each: FinalOutcome, policy: RetryPolicy) -> Retry:
    assert each.retry is not None  # noqa: S101  # it is to be tried again
    return Retry(
        id=each.claimed.id,
        delay=policy.delay(each.claimed.tries) if each.counted else _OUTAGE_DELAY,
        error=each.error or "unknown",
        reason=each.retry,
        counted=each.counted,
    )


def _removals(ended: Iterable[FinalOutcome]) -> list[Removal]:
    """Catalog entries that may describe something that no longer exists."""
    return [removal for removal in map(_removal, ended) if removal is not None]


def _removal(each: FinalOutcome) -> Removal | None:
    ref = each.claimed.ref
    if each.quarantine is None:
        if each.outcome not in (Outcome.GONE, Outcome.EXCLUDED):
            return None
        return Removal(ref=ref)
    if each.quarantine.reason not in _UNDECIDED:
        return Removal(ref=ref)
    # The store has other bytes than the catalog's; without an etag, this is unknown.
    return Removal(ref=ref, unless=each.etag) if each.etag is not None else None


def _announced(enriched: Iterable[EnrichedImage]) -> list[outbox.NewEntry]:
    return [outbox.NewEntry(kind="enriched", ref=each.info.ref, etag=each.info.etag) for each in enriched]


def _withdrawn(removed: Iterable[ObjectRef]) -> list[outbox.NewEntry]:
    return [outbox.NewEntry(kind="removed", ref=ref, etag=None) for ref in sorted(removed)]


def _completed(enriched: Iterable[EnrichedImage], ids: Mapping[ObjectRef, int]) -> list[Completion]:
    return [Completion(id=ids[each.info.ref], outcome=Outcome.ENRICHED, etag=each.info.etag) for each in enriched]


def _finished(ended: Iterable[FinalOutcome]) -> list[Completion]:
    return [
        Completion(id=each.claimed.id, outcome=each.outcome, etag=each.etag, quarantine=each.quarantine)
        for each in ended
        if each.outcome is not Outcome.RETRY
    ]
