"""The use case: claim a batch, fetch, decode, embed, tag, and write it in one short transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from worker import catalog, db, ledger, logs, metrics
from worker.catalog.spaces import Space
from worker.catalog.write import EnrichedImage
from worker.db import Engine, is_unavailable, transaction
from worker.encoder import MicroBatcher
from worker.errors import (
    FatalDeviceError,
    OutdatedTaxonomiesError,
    TaxonomyError,
)
from worker.ledger.claims import Claim, ClaimedObject
from worker.pipeline.enrichment import commit, missing_buckets, poison_images
from worker.pipeline.enrichment.batch_reader import BatchReader
from worker.pipeline.enrichment.isolation_lock import IsolationLock
from worker.pipeline.enrichment.prepare import FinalOutcome, Prepared, Preparer, again
from worker.pipeline.enrichment.quarantine_breaker import QuarantineBreaker
from worker.pipeline.pictures.read_failure import failure_of
from worker.pipeline.pictures.read_picture import StoredPicture
from worker.pipeline.resilience.heartbeat import Heartbeat
from worker.pipeline.resilience.worker_breakers import Permits, WorkerBreakers
from worker.pipeline.taxonomies.active_taxonomies import ActiveTagger, ActiveTaxonomies
from worker.types import Floats, Outcome, RetryReason, Tag

_log = logs.get("pipeline")

#: Seconds for which a finished batch waits for an unavailable database before it is given back.
_WRITE_PATIENCE = 45.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchReport:
    """The result of one batch."""

    claimed: int
    outcomes: Mapping[Outcome, int]  # of objects still claimed by us when we wrote


@dataclass(frozen=True, kw_only=True, slots=True)
class Enricher:
    """Everything a worker process needs; one per process, called from several threads."""

    engine: Engine
    preparer: Preparer
    batcher: MicroBatcher
    labels: ActiveTaxonomies
    space: Space
    heartbeat: Heartbeat
    quarantine_breaker: QuarantineBreaker
    isolation_lock: IsolationLock
    pool: ThreadPoolExecutor  # fetches and decodes
    notify: Callable[[], None]  # wakes another idle worker thread, here or elsewhere
    batch: int
    lease: float  # seconds
    floors: ledger.floors.Floors = field(default_factory=ledger.floors.Floors)

    @property
    def breakers(self) -> WorkerBreakers:
        """The circuit breakers of this process."""
        return self.heartbeat.breakers

    def run_once(self) -> BatchReport | None:
        """Process one batch.

        Returns:
            None when there was nothing to do, or nothing that can be done now: a breaker says so, not this.

        Raises:
            FatalDeviceError: the process must end; its claims are left to be retried alone.
            TaxonomyError: what is in force was applied by a newer release; claims were given back.
        """
        with self.breakers.turn() as turns:
            if turns.limit == 0:
                return None
            try:
                self.quarantine_breaker.look(turns.quarantine)
                return self._take_turn(turns)
            except Exception as error:
                if not is_unavailable(error):
                    raise
                turns.database.report(failed=1, why=db.in_one_line(error))
                return None

    def _take_turn(self, turns: Permits) -> BatchReport | None:
        with self.isolation_lock.reservation() as may_take_suspects:
            if may_take_suspects:
                return self._take(turns, poison_images=True)
            with (
                self.isolation_lock.shared()
            ):  # before claiming: while a suspected poison image is processed, this process holds nothing else
                return self._take(turns, poison_images=False)

    def _take(self, turns: Permits, *, poison_images: bool) -> BatchReport | None:
        claim = db.again(lambda: self._claim(poison_images=poison_images, of_each_lane=turns.limit))
        turns.database.report(answered=1)
        if claim is None:
            self.heartbeat.progressed()
            return None
        metrics.CLAIMS.inc()
        metrics.BATCH_SIZE.observe(len(claim.objects))
        if claim.suspect or len(claim.objects) == self.batch:
            self.notify()  # there may be more: another thread or process can start on it meanwhile
        with self.heartbeat.holding(claim.token, len(claim.objects)), self._entered(claim, reserved=poison_images):
            return self._work_or_isolate(claim, turns)

    def _entered(self, claim: Claim, *, reserved: bool) -> AbstractContextManager[None]:
        if not reserved:
            return nullcontext()  # inside already
        return self.isolation_lock.alone() if claim.suspect else self.isolation_lock.shared()

    def _claim(self, *, poison_images: bool, of_each_lane: int | None) -> Claim | None:
        with transaction(self.engine) as connection:
            return ledger.claims.claim(
                connection,
                worker=self.heartbeat.name,
                size=self.batch,
                lease=self.lease,
                poison_images=poison_images,
                of_each_lane=of_each_lane,
                floors=self.floors,
            )

    def _work_or_isolate(self, claim: Claim, turns: Permits) -> BatchReport:
        found: list[Prepared | FinalOutcome] = []
        try:
            return self._work(claim, turns, found)
        except FatalDeviceError:
            raise
        except Exception as error:
            if is_unavailable(error) or isinstance(error, TaxonomyError):
                self.heartbeat.give_back(claim.token)  # nothing can be recorded now
                raise
            _log.exception("a batch failed as a whole", action="batch", token=claim.token, size=len(claim.objects))
            return self._isolate(claim, error, found)

    def _isolate(self, claim: Claim, error: Exception, found: Sequence[Prepared | FinalOutcome]) -> BatchReport:
        """Retry the members of a failed batch one by one; quarantine one that fails alone."""
        if len(claim.objects) > 1:
            with transaction(self.engine) as connection:
                ledger.completion.abandon(connection, claim.token)
            return BatchReport(claimed=len(claim.objects), outcomes={})
        read = next((each.picture for each in found if isinstance(each, Prepared)), None)
        # Counted, whatever its class: if not, it could be retried forever.
        failed = self._failed(claim.objects[0], error, read, counted=True)
        try:
            outcomes = self._write_patiently(claim, None, self.quarantine_breaker.screen([failed], enriched=0))
        except Exception as worse:
            if is_unavailable(worse):
                self.heartbeat.give_back(claim.token)
                raise
            # Not even its outcome can be written. If its lease expired, it would look like a poison image.
            _log.exception(
                "an image could be neither enriched nor quarantined", action="batch", ref=str(failed.claimed.ref)
            )
            outcomes = self._write_patiently(claim, None, [again(failed.claimed, str(worse), RetryReason.UNEXPECTED)])
        return BatchReport(claimed=1, outcomes=outcomes)

    def _work(self, claim: Claim, turns: Permits, found: list[Prepared | FinalOutcome]) -> BatchReport:
        """Process a whole claim; ``found`` collects what was read, to report what failed."""
        found += self._results(claim, turns)
        prepared = [each for each in found if isinstance(each, Prepared)]
        ended = [each for each in found if isinstance(each, FinalOutcome)]
        vectors, failed = self._encode(prepared)
        tagged = _tagged(vectors, self.labels.now) if vectors else None
        ended = self.quarantine_breaker.screen(ended + failed, enriched=len(vectors))
        outcomes = self._write_patiently(claim, tagged, ended)
        self.heartbeat.progressed()
        return BatchReport(claimed=len(claim.objects), outcomes=outcomes)

    def _results(self, claim: Claim, turns: Permits) -> Sequence[Prepared | FinalOutcome]:
        poison_images.before_reading(self.engine, claim)
        with self.engine.connect() as connection:
            known = catalog.read.known_images(
                connection, space_id=self.space.id, refs=[each.ref for each in claim.objects]
            )
        is_current = self.labels.now.tagger.is_current
        # An etag is sent only if there is nothing to do when it matches.
        etags = {ref: each.etag for ref, each in known.items() if is_current(each.tags)}
        reader = BatchReader(
            self.preparer,
            hopeless=self.breakers.store.threshold,
            before_decoding=partial(poison_images.before_decoding, self.engine, claim),
        )
        read = [each.given_up or etags.get(each.ref) for each in claim.objects]
        found = list(self.pool.map(reader.prepare, claim.objects, read))
        turns.store.report(answered=reader.answered, failed=reader.failed, why=reader.why)
        return missing_buckets.with_gone_buckets(self.engine, reader.judged(found))

    def _encode(self, prepared: Sequence[Prepared]) -> tuple[list[tuple[Prepared, Floats]], list[FinalOutcome]]:
        vectors: list[tuple[Prepared, Floats]] = []
        failed: list[FinalOutcome] = []
        if not prepared:
            return vectors, failed
        with metrics.ENCODE_SECONDS.time():
            results = self.batcher.encode([each.picture.pixels for each in prepared])
        for each, result in zip(prepared, results, strict=True):
            if isinstance(result, Exception):
                failed.append(self._failed(each.claimed, result, each.picture))
            else:
                vectors.append((each, result))
        return vectors, failed

    def _failed(
        self, claimed: ClaimedObject, error: Exception, read: StoredPicture | None, *, counted: bool = False
    ) -> FinalOutcome:
        info, head = (read.info, read.head) if read else (None, b"")
        failure = failure_of(error, claimed.ref, info, head)
        return self.preparer.failed(claimed, replace(failure, counted=counted or failure.counted))

    def _write_patiently(
        self, claim: Claim, tagged: _Tagged | None, ended: Sequence[FinalOutcome]
    ) -> Mapping[Outcome, int]:
        deadline = time.monotonic() + _WRITE_PATIENCE
        while True:
            try:
                written = db.again(lambda tagged=tagged: self._write(claim, tagged, ended))  # type: ignore[misc]
            except OutdatedTaxonomiesError:
                tagged = _tagged_anew(tagged, self.labels.follow()) if tagged else None
            except Exception as error:
                if not is_unavailable(error) or time.monotonic() > deadline:
                    raise
                self.breakers.database.report(failed=1, why=db.in_one_line(error))
                time.sleep(1.0)
            else:
                self.breakers.database.report(answered=1)
                return commit.count_outcomes(written)

    def _write(self, claim: Claim, tagged: _Tagged | None, ended: Sequence[FinalOutcome]) -> commit.CommitResult:
        with metrics.WRITE_SECONDS.time(), transaction(self.engine) as connection:
            return commit.write(
                connection,
                claim,
                tagged.images if tagged else (),
                ended,
                space_id=self.space.id,
                revision=tagged.revision if tagged else 0,
                policy=self.preparer.policy,
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tagged:
    """Images, and the revision of the taxonomies that decided their tags."""

    revision: int
    images: tuple[EnrichedImage, ...]


def _tagged(vectors: Sequence[tuple[Prepared, Floats]], by: ActiveTagger) -> _Tagged:
    tags = by.tagger.tag(np.stack([vector for _, vector in vectors]))
    images = (_enriched(each, vector, its) for (each, vector), its in zip(vectors, tags, strict=True))
    return _Tagged(revision=by.revision, images=tuple(images))


def _tagged_anew(tagged: _Tagged, by: ActiveTagger) -> _Tagged:
    tags = by.tagger.tag(np.stack([image.vector for image in tagged.images]))
    images = (replace(image, tags=its) for image, its in zip(tagged.images, tags, strict=True))
    return _Tagged(revision=by.revision, images=tuple(images))


def _enriched(each: Prepared, vector: Floats, tags: tuple[Tag, ...]) -> EnrichedImage:
    return EnrichedImage(
        info=each.picture.info,
        metadata=each.picture.metadata,
        vector=vector,
        tags=tags,
        event_at=each.claimed.event_at,
        hinted_at=each.claimed.hinted_at,
    )
