"""The use case: remove the images of a deleted bucket from the catalog, but not those of one that is only not found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from worker import ledger, logs
from worker.db import Engine, transaction
from worker.errors import BucketNotFoundError, ConfigurationError
from worker.ledger.buckets import Bucket
from worker.objects import ObjectStore
from worker.pipeline.enrichment.prepare import FinalOutcome, Prepared
from worker.pipeline.operations.buckets import PART
from worker.types import Hint, Lane, ObjectRef, Outcome, RetryReason
from worker.watched_buckets import EVERY_BUCKET, Watched

_log = logs.get("pipeline")

#: Seconds for which a bucket must be missing if the store has another bucket of ours. By then all servers of a store
#: know a bucket that was just created.
CONFIRMED = 60.0
#: Seconds between two checks.
INTERVAL = 30.0
#: Seconds for which work that was under way when a bucket was given up may still end differently.
_AFTERMATH = 600.0
#: Most buckets checked one by one per run.
_MOST_ASKED = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingBucketCheck:
    """Checks which buckets in the ledger the store has.

    A missing bucket is given up, so that its images leave the catalog, only where the store that says so had it before,
    or nobody is known to have had it: what another endpoint does not have is a question of settings. It has to be
    missing at every look for ``patience`` seconds, or for a minute if the same store still shows another bucket that it
    had before: then it is the same store for certain.
    """

    engine: Engine
    store: ObjectStore
    endpoint: str  # identifies the store
    patience: float  # seconds; 0: only a person gives up buckets
    notify: Callable[[], None]
    watched: Watched = field(default_factory=lambda: Watched((EVERY_BUCKET,)))  # others are not checked

    def look(self) -> None:
        """Ask the store once, and give up buckets that have been missing for long enough.

        Raises:
            EnrichError: the store gave no answer; nothing was concluded.
        """
        with transaction(self.engine) as connection:
            known = [each for each in ledger.buckets.buckets(connection) if self.watched.touches(each.name)]
        if not known:
            return
        found, missing = self._ask(known)
        # Based on earlier knowledge: another store may have buckets of the same names.
        is_same_store = any(each.name in found and each.endpoint == self.endpoint for each in known)
        with transaction(self.engine) as connection:
            ledger.buckets.buckets_found(connection, found, endpoint=self.endpoint)
            ledger.buckets.buckets_missing(connection, missing, endpoint=self.endpoint)
            known = ledger.buckets.buckets(connection)
        patience = min(CONFIRMED, self.patience) if is_same_store else self.patience
        self._give_up([each for each in known if each.name in missing and self._is_gone(each, patience)])
        with transaction(self.engine) as connection:
            gone = ledger.buckets.are_gone(connection, missing)
        for name in sorted(gone):
            self._sweep(name)

    def _ask(self, known: Sequence[Bucket]) -> tuple[set[str], set[str]]:
        """Which of them exist and which do not. A bucket is missing only if the store says so of this one."""
        try:
            listed = set(self.store.buckets())
        except ConfigurationError:  # without s3:ListAllMyBuckets
            listed = set()
        found = {each.name for each in known} & listed
        doubtful = [each for each in known if each.name not in found and not self._is_swept(each)]
        doubtful.sort(key=lambda each: (each.found_at is not None, each.found_at or each.missing_since, each.name))
        missing = {each.name for each in doubtful[:_MOST_ASKED] if not self._has(each.name)}
        return found | ({each.name for each in doubtful[:_MOST_ASKED]} - missing), missing

    def _has(self, name: str) -> bool:
        try:
            next(iter(self.store.list(name, prefix=self.watched.prefix_in(name))), None)
        except BucketNotFoundError:
            return False
        except ConfigurationError:  # we may not list it, or it is in another region: so it exists
            return True
        return True

    def _is_swept(self, each: Bucket) -> bool:
        return each.swept_at is not None and (each.gone_for or 0.0) > _AFTERMATH

    def _is_gone(self, each: Bucket, patience: float) -> bool:
        if each.gone_at is not None or not self.patience or each.endpoint not in (None, self.endpoint):
            return False
        return (each.missing_for or 0.0) >= patience

    def _give_up(self, gone: Sequence[Bucket]) -> None:
        if not gone:
            return
        with transaction(self.engine) as connection:
            ledger.buckets.buckets_gone(connection, [each.name for each in gone])
        for each in gone:
            _log.warning(
                "a bucket is gone: removing its images from the catalog", action="bucket", bucket=each.name,
                missing_seconds=round(each.missing_for or 0.0), endpoint=self.endpoint,
            )  # fmt: skip

    def _sweep(self, name: str) -> None:
        """Make every known object of a gone bucket pending, so that workers check it."""
        for hints in self._known_objects(name):
            with transaction(self.engine) as connection:
                ledger.hints.hint(connection, hints, lane=Lane.BACKFILL)
            self.notify()
        made_due = PART
        while made_due == PART:
            with transaction(self.engine) as connection:
                made_due = ledger.buckets.make_due(connection, name, limit=PART)
        with transaction(self.engine) as connection:
            ledger.buckets.bucket_swept(connection, name)
        self.notify()

    def _known_objects(self, name: str) -> Iterator[list[Hint]]:
        start, ranges = "", ledger.key_ranges.between(None, None, prefix="", order="bytes")
        while True:
            with transaction(self.engine) as connection:
                now = ledger.heartbeats.now(connection)
                part = ledger.comparison.unlisted_within(
                    connection, name, ranges, listed=[], since=now, start=start, limit=PART
                )
            if part:
                refs = [ObjectRef(bucket=name, key=each.key) for each in part]
                yield [Hint(ref=ref, source="bucket", event="bucket-gone") for ref in refs]
            if len(part) < PART:
                return
            start = part[-1].key


def with_gone_buckets(engine: Engine, found: Sequence[Prepared | FinalOutcome]) -> list[Prepared | FinalOutcome]:
    """Adjust a batch's results: if the store has no such bucket and it counts as deleted, the objects are gone."""
    names = {each.claimed.ref.bucket for each in found if _is_bucketless(each)}
    if not names:
        return list(found)
    with transaction(engine) as connection:
        gone = ledger.buckets.are_gone(connection, names)
    return [_as_gone(each, gone) for each in found]


def _is_bucketless(each: Prepared | FinalOutcome) -> bool:
    return isinstance(each, FinalOutcome) and each.retry is RetryReason.NO_SUCH_BUCKET


def _as_gone(each: Prepared | FinalOutcome, gone: Collection[str]) -> Prepared | FinalOutcome:
    if isinstance(each, Prepared) or not _is_bucketless(each) or each.claimed.ref.bucket not in gone:
        return each
    return replace(each, outcome=Outcome.GONE, retry=None, error=None, counted=True)
