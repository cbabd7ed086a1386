"""The use case: prove that nothing is missing, by comparing the bucket with the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from worker import catalog, ledger
from worker.db import Engine, transaction
from worker.objects import ObjectStore
from worker.pipeline.reconciliation.listing_diff import Classified, Discrepancy, Kind, ListingDiff, pages

__all__ = ["Discrepancy", "Kind", "Verification", "Verifier"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The equation and its terms."""

    bucket: str
    prefix: str
    listed: int
    enriched: int
    excluded: int
    quarantined: int
    pending: int
    missing: int
    incomplete: int
    stale: int
    ghost: int
    unnameable: int
    repaired: int  # differences that were turned into pending work
    oldest_pending_seconds: float  # since the first hint of a pending object; 0 if none is pending
    # Counters that differed from a recount, of the bucket and of all spaces; repaired with the rest.
    miscounts: tuple[ledger.counters.Miscount, ...]
    space_miscounts: tuple[catalog.space_counters.SpaceMiscount, ...]

    @property
    def holds(self) -> bool:
        """listed = enriched + excluded + quarantined + pending, and nothing is known that is not listed."""
        accounted = self.enriched + self.excluded + self.quarantined + self.pending
        return self.listed == accounted and self.ghost == 0


@dataclass(kw_only=True, slots=True)
class _Counts:
    states: Counter[str] = field(default_factory=Counter)
    oldest: float = 0.0
    repaired: int = 0

    def add(self, each: Classified) -> None:
        self.states[each.state] += 1
        if each.state == "pending":
            self.oldest = max(self.oldest, each.compared.waits or 0.0)

    @property
    def listed(self) -> int:
        return self.states.total() - self.states["ghost"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verifier:
    """Compares a bucket's listing with the ledger, in any order of listing, with memory for one page."""

    engine: Engine
    store: ObjectStore
    notify: Callable[[], None]
    settle: float = 2.0  # seconds until objects whose event may be on its way are checked again

    def expected(self, bucket: str, *, prefix: str = "") -> int:
        """About how many objects to expect, by the ledger."""
        with transaction(self.engine) as connection:
            return ledger.comparison.estimate(connection, bucket, prefix=prefix)

    def run(
        self,
        bucket: str,
        *,
        prefix: str = "",
        repair: bool = False,
        progress: Callable[[int], None] = lambda _: None,
        report: Callable[[Discrepancy], None] = lambda _: None,
    ) -> Verification:
        """Compare, and pass every difference to ``report`` as it is found; with ``repair``, make it pending work.

        May be stopped at any time: what was repaired so far is, and the next run finds the rest.

        Raises:
            BucketNotFoundError: the store has no such bucket.
            StoreUnavailableError: the listing broke off; no ghost is concluded from half of one.
        """
        counts = _Counts()
        comparison = self._comparison(bucket)
        for judged in self._judged(comparison, prefix):
            for each in judged:
                counts.add(each)
            differences = [found for each in judged if (found := each.difference) is not None]
            for difference in differences:
                report(difference)
            if repair and differences:
                counts.repaired += comparison.repair(differences, source="verify")
                self.notify()
            progress(counts.listed)
        miscounts = self._miscounts(bucket, repair=repair)
        return _verification(bucket, prefix, counts, miscounts, self._space_miscounts(repair=repair))

    def _miscounts(self, bucket: str, *, repair: bool) -> list[ledger.counters.Miscount]:
        with transaction(self.engine) as connection:
            if not ledger.counters.is_counted(connection):
                return []
            found = ledger.counters.miscounts(connection, bucket)
            if found and repair:
                ledger.counters.correct(connection, bucket)
        return found

    def _space_miscounts(self, *, repair: bool) -> list[catalog.space_counters.SpaceMiscount]:
        with transaction(self.engine) as connection:
            if not catalog.space_counters.is_counted(connection):
                return []
            found = catalog.space_counters.miscounts(connection)
            if found and repair:
                catalog.space_counters.correct(connection)
        return found

    def _comparison(self, bucket: str) -> ListingDiff:
        with transaction(self.engine) as connection:
            since = ledger.heartbeats.now(connection)
        return ListingDiff(engine=self.engine, store=self.store, bucket=bucket, since=since, settle=self.settle)

    def _judged(self, comparison: ListingDiff, prefix: str) -> Iterator[list[Classified]]:
        # One connection, for its temporary table; one short transaction a page, so that none is open while listing.
        with self.engine.connect() as connection:
            with connection.begin():
                ledger.comparison.begin(connection)
            for page in pages(self.store.list(comparison.bucket, prefix=prefix)):
                yield comparison.page(connection, page, remember=True)
            start: str | None = None
            while True:
                with connection.begin():
                    unmet, start = ledger.comparison.not_listed(
                        connection, comparison.bucket, prefix=prefix, since=comparison.since, start=start
                    )
                for part in pages(unmet):
                    yield comparison.again(part)
                if start is None:
                    return


def _verification(
    bucket: str,
    prefix: str,
    counts: _Counts,
    miscounts: Sequence[ledger.counters.Miscount],
    space_miscounts: Sequence[catalog.space_counters.SpaceMiscount],
) -> Verification:
    states = counts.states
    return Verification(
        bucket=bucket,
        prefix=prefix,
        listed=counts.listed,
        enriched=states["enriched"],
        excluded=states["excluded"],
        quarantined=states["quarantined"],
        pending=states["pending"],
        missing=states["missing"],
        incomplete=states["incomplete"],
        stale=states["stale"],
        ghost=states["ghost"],
        unnameable=states["unnameable"],
        repaired=counts.repaired,
        oldest_pending_seconds=counts.oldest,
        miscounts=tuple(miscounts),
        space_miscounts=tuple(space_miscounts),
    )
