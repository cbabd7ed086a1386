"""The use case: claim a batch, fetch, decode, embed, tag, and write it in one short transaction."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from worker import catalog, inbox, logs, metrics, outbox
from worker.catalog import EnrichedImage, Space
from worker.db import Engine, is_unavailable, transaction
from worker.encoder import MicroBatcher
from worker.errors import DeviceMemoryError, FatalDeviceError, ImageRejectedError
from worker.inbox import Claim, ClaimedObject, Completion, QuarantineEntry
from worker.pipeline.gate import Gate
from worker.pipeline.keeper import Keeper
from worker.pipeline.prepare import Ended, Prepared, Preparer
from worker.tagging import Tagger
from worker.types import Floats, ObjectRef, Outcome, Reason, Tag

_log = logs.get("pipeline")

#: How often an image may take its process down: once among others, then twice alone.
_DEATHS = 3
#: Seconds for which a finished batch waits for a database that is away, before its leases are left to end.
_WRITE_PATIENCE = 45.0
#: Bytes of these objects were never seen, so what the catalog knows of them may still be true.
_UNSEEN = frozenset({Reason.ACCESS_DENIED, Reason.ATTEMPTS_EXHAUSTED})
#: Seconds until work that met an outage is tried again; attempts do not count then, so this does not grow.
_OUTAGE_DELAY = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchReport:
    """What one batch came to."""

    claimed: int
    outcomes: Mapping[Outcome, int]  # of those that were still ours when we wrote


@dataclass(frozen=True, kw_only=True, slots=True)
class Enricher:
    """Everything a worker process needs; one per process, called from several threads."""

    engine: Engine
    preparer: Preparer
    batcher: MicroBatcher
    tagger: Tagger
    space: Space
    keeper: Keeper
    gate: Gate
    pool: ThreadPoolExecutor  # fetches and decodes
    ring: Callable[[], None]  # wakes another idle worker thread, here or elsewhere
    batch: int
    lease: float  # seconds

    def run_once(self) -> BatchReport | None:
        """Take one batch to its end.

        Returns:
            None when there was nothing to do.

        Raises:
            FatalDeviceError: the process must end; its claims are left to be retried alone.
        """
        with self.gate.reservation() as may_take_suspects:
            if may_take_suspects:
                return self._take(suspects=True)
            with self.gate.shared():  # before claiming: while a suspect is at work, this process holds nothing else
                return self._take(suspects=False)

    def _take(self, *, suspects: bool) -> BatchReport | None:
        claim = self._claim(suspects=suspects)
        if claim is None:
            self.keeper.progressed()
            return None
        with self.keeper.holding(claim.token, len(claim.objects)), self._entered(claim, reserved=suspects):
            return self._work_or_isolate(claim)

    def _entered(self, claim: Claim, *, reserved: bool) -> AbstractContextManager[None]:
        if not reserved:
            return nullcontext()  # inside already
        return self.gate.alone() if claim.suspect else self.gate.shared()

    def _claim(self, *, suspects: bool) -> Claim | None:
        with transaction(self.engine) as connection:
            claim = inbox.claim(
                connection, worker=self.keeper.name, size=self.batch, lease=self.lease, suspects=suspects
            )
        if claim is not None:
            metrics.CLAIMS.inc()
            metrics.BATCH_SIZE.observe(len(claim.objects))
        if claim is not None and (claim.suspect or len(claim.objects) == self.batch):
            self.ring()  # there may be more: somebody else can start on it while we work
        return claim

    def _work_or_isolate(self, claim: Claim) -> BatchReport:
        try:
            return self._work(claim)
        except FatalDeviceError:
            raise
        except Exception as error:
            if is_unavailable(error):
                self.keeper.give_back(claim.token)  # nothing can be recorded now
                raise
            _log.exception("a batch failed as a whole", action="batch", token=claim.token, size=len(claim.objects))
            return self._isolate(claim, error)

    def _isolate(self, claim: Claim, error: Exception) -> BatchReport:
        """Have the members of a failed batch worked on one by one; give up on one that fails alone."""
        if len(claim.objects) > 1:
            with transaction(self.engine) as connection:
                inbox.abandon(connection, claim.token)
            return BatchReport(claimed=len(claim.objects), outcomes={})
        failed = self.preparer.failed(claim.objects[0], f"{type(error).__name__}: {error}", Reason.ATTEMPTS_EXHAUSTED)
        return BatchReport(claimed=1, outcomes=self._write(claim, [], [failed]))

    def _work(self, claim: Claim) -> BatchReport:
        results = self._results(claim)
        prepared = [each for each in results if isinstance(each, Prepared)]
        ended = [each for each in results if isinstance(each, Ended)]
        vectors, failed = self._encode(prepared)
        ended += failed
        enriched = self._tag(vectors)
        outcomes = self._write_patiently(claim, enriched, ended)
        self.keeper.progressed()
        return BatchReport(claimed=len(claim.objects), outcomes=outcomes)

    def _results(self, claim: Claim) -> list[Prepared | Ended]:
        if claim.suspect and claim.objects[0].deaths >= _DEATHS:
            return [_killer(claim.objects[0])]
        with self.engine.connect() as connection:
            known = catalog.known_images(connection, space_id=self.space.id, refs=[each.ref for each in claim.objects])
        # An etag is worth sending only if there is nothing to do should it match.
        etags = {ref: each.etag for ref, each in known.items() if self.tagger.is_current(each.tags)}
        return list(self.pool.map(lambda each: self.preparer.prepare(each, etags.get(each.ref)), claim.objects))

    def _encode(self, prepared: Sequence[Prepared]) -> tuple[list[tuple[Prepared, Floats]], list[Ended]]:
        vectors: list[tuple[Prepared, Floats]] = []
        failed: list[Ended] = []
        if not prepared:
            return vectors, failed
        with metrics.ENCODE_SECONDS.time():
            results = self.batcher.encode([each.pixels for each in prepared])
        for each, result in zip(prepared, results, strict=True):
            if isinstance(result, ImageRejectedError):
                failed.append(self.preparer.quarantined(each.claimed, result, each.info))
            elif isinstance(result, DeviceMemoryError):
                failed.append(self.preparer.failed(each.claimed, str(result), Reason.ATTEMPTS_EXHAUSTED))
            else:
                vectors.append((each, result))
        return vectors, failed

    def _tag(self, vectors: Sequence[tuple[Prepared, Floats]]) -> list[EnrichedImage]:
        if not vectors:
            return []
        tags = self.tagger.tag(np.stack([vector for _, vector in vectors]))
        return [_enriched(each, vector, its) for (each, vector), its in zip(vectors, tags, strict=True)]

    def _write_patiently(
        self, claim: Claim, enriched: Sequence[EnrichedImage], ended: Sequence[Ended]
    ) -> Mapping[Outcome, int]:
        deadline = time.monotonic() + _WRITE_PATIENCE
        while True:
            try:
                return self._write(claim, enriched, ended)
            except Exception as error:
                if not is_unavailable(error) or time.monotonic() > deadline:
                    raise
                _log.warning("the database is away; the batch waits", action="write", error=str(error).strip())
                time.sleep(1.0)

    def _write(self, claim: Claim, enriched: Sequence[EnrichedImage], ended: Sequence[Ended]) -> Mapping[Outcome, int]:
        ids = {each.ref: each.id for each in claim.objects}
        with metrics.WRITE_SECONDS.time(), transaction(self.engine) as connection:
            held = inbox.lock(connection, claim.token, ids.values())
            enriched = [each for each in enriched if ids[each.info.ref] in held]
            ended = [each for each in ended if each.claimed.id in held]
            catalog.write(connection, space_id=self.space.id, images=enriched)
            removed = catalog.remove(connection, [each.claimed.ref for each in ended if _invalidates(each)])
            outbox.append(connection, [*_announced(enriched), *_withdrawn(removed)])
            inbox.complete(connection, claim.token, [*_completed(enriched, ids), *_finished(ended)])
            inbox.retry(connection, claim.token, [self._retry(each) for each in ended if each.outcome is Outcome.RETRY])
        if len(held) < len(ids):
            _log.warning("late: part of the batch was given to others", action="write", lost=len(ids) - len(held))
        return _account(enriched, ended)

    def _retry(self, each: Ended) -> inbox.Retry:
        delay = self.preparer.policy.delay(each.claimed.attempts) if each.counted else _OUTAGE_DELAY
        return inbox.Retry(id=each.claimed.id, delay=delay, error=each.error or "unknown", counted=each.counted)


def _enriched(each: Prepared, vector: Floats, tags: tuple[Tag, ...]) -> EnrichedImage:
    return EnrichedImage(
        info=each.info,
        metadata=each.metadata,
        vector=vector,
        tags=tags,
        event_at=each.claimed.event_at,
        hinted_at=each.claimed.hinted_at,
    )


def _killer(claimed: ClaimedObject) -> Ended:
    message = f"the worker process died {claimed.deaths} times with this image in hand, at last alone"
    return Ended(
        claimed=claimed,
        outcome=Outcome.QUARANTINED,
        quarantine=QuarantineEntry(reason=Reason.KILLED_WORKER, message=message, attempts=claimed.attempts),
    )


def _invalidates(each: Ended) -> bool:
    """Whether what the catalog holds of this object describes something that is no longer there."""
    if each.quarantine is not None:
        return each.quarantine.reason not in _UNSEEN
    return each.outcome in (Outcome.GONE, Outcome.EXCLUDED)


def _announced(enriched: Iterable[EnrichedImage]) -> list[outbox.Feed]:
    return [outbox.Feed(kind="enriched", ref=each.info.ref, etag=each.info.etag) for each in enriched]


def _withdrawn(removed: Iterable[ObjectRef]) -> list[outbox.Feed]:
    return [outbox.Feed(kind="removed", ref=ref, etag=None) for ref in sorted(removed)]


def _completed(enriched: Iterable[EnrichedImage], ids: Mapping[ObjectRef, int]) -> list[Completion]:
    return [Completion(id=ids[each.info.ref], outcome=Outcome.ENRICHED, etag=each.info.etag) for each in enriched]


def _finished(ended: Iterable[Ended]) -> list[Completion]:
    return [
        Completion(id=each.claimed.id, outcome=each.outcome, etag=each.etag, quarantine=each.quarantine)
        for each in ended
        if each.outcome is not Outcome.RETRY
    ]


def _account(enriched: Sequence[EnrichedImage], ended: Sequence[Ended]) -> Mapping[Outcome, int]:
    """Count outcomes, once they are committed."""
    now = datetime.now(UTC)
    for image in enriched:
        metrics.EVENT_TO_SEARCHABLE_SECONDS.observe(max((now - (image.event_at or image.hinted_at)).total_seconds(), 0))
    for each in ended:
        if each.quarantine is not None:
            metrics.QUARANTINED.labels(reason=str(each.quarantine.reason)).inc()
    counts = Counter(each.outcome for each in ended)
    if enriched:
        counts[Outcome.ENRICHED] = len(enriched)
    for outcome, count in counts.items():
        metrics.OUTCOMES.labels(outcome=str(outcome)).inc(count)
    return counts
