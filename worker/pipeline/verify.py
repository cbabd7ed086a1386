"""The use case: prove that nothing is missing, by comparing the bucket with the ledger."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, TypeAlias, TypeVar

from worker import inbox
from worker.db import Connection, Engine, transaction
from worker.inbox import Compared
from worker.objects import ObjectStore
from worker.types import Hint, Lane, ObjectRef

#: missing: listed, but never enriched nor refused; stale: what was read has another etag; ghost: known, but not listed.
Kind: TypeAlias = Literal["missing", "stale", "ghost"]

_T = TypeVar("_T")

_PAGE = 1_000
#: Differences looked at a second time: an upload during the listing is no loss. Beyond this many, it is no race.
_LOOKED_AT_TWICE = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One object on which store and ledger disagree."""

    kind: Kind
    key: str
    listed_etag: str | None
    known_etag: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The equation, with its terms."""

    bucket: str
    prefix: str
    listed: int
    enriched: int
    excluded: int
    quarantined: int
    pending: int
    missing: int
    stale: int
    ghost: int
    repaired: int  # differences that were turned into pending work

    @property
    def holds(self) -> bool:
        """listed = enriched + excluded + quarantined + pending, and nothing is known that is not listed."""
        accounted = self.enriched + self.excluded + self.quarantined + self.pending
        return self.listed == accounted and self.ghost == 0


@dataclass(kw_only=True, slots=True)
class _Count:
    states: Counter[str] = field(default_factory=Counter)
    listed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Verify:
    """Lists a bucket beside the ledger. Memory is bounded by the number of differences looked at twice."""

    engine: Engine
    store: ObjectStore
    ring: Callable[[], None]
    settle: float = 2.0  # seconds until differences are looked at again

    def run(
        self,
        bucket: str,
        *,
        prefix: str = "",
        repair: bool = False,
        progress: Callable[[int], None] = lambda _: None,
        report: Callable[[Difference], None] = lambda _: None,
    ) -> Verification:
        """Compare, and name every difference to ``report``; with ``repair``, make each of them pending work.

        Raises:
            BucketNotFoundError: the store has no such bucket.
            StoreUnavailableError: the listing broke off; nothing is concluded from half of one.
        """
        count = _Count()
        confirmed: list[Difference] = []
        doubtful: list[Compared] = []
        for each in self._compared(bucket, prefix, count, progress):
            state = _state(each)
            if state in ("missing", "stale", "ghost") and len(doubtful) < _LOOKED_AT_TWICE:
                doubtful.append(each)
            else:
                self._conclude(each, state, count, confirmed)
        for each in self._looked_at_again(bucket, doubtful, count):
            self._conclude(each, _state(each), count, confirmed)
        for difference in confirmed:
            report(difference)
        repaired = self._repair(bucket, confirmed) if repair else 0
        return _verification(bucket, prefix, count, repaired)

    def _compared(self, bucket: str, prefix: str, count: _Count, progress: Callable[[int], None]) -> Iterator[Compared]:
        # One connection, for its temporary table; one short transaction a page, so that none is open while listing.
        with self.engine.connect() as connection:
            with connection.begin():
                inbox.begin_audit(connection)
            for page in _pages(self.store.list(bucket, prefix=prefix)):
                with connection.begin():
                    compared = inbox.compare(connection, bucket, [(each.key, each.etag) for each in page])
                count.listed += len(page)
                progress(count.listed)
                yield from compared
            with connection.begin():
                yield from inbox.unmet(connection, bucket, prefix=prefix)

    def _looked_at_again(self, bucket: str, doubtful: list[Compared], count: _Count) -> Iterator[Compared]:
        """What changed while we listed is judged by what is true now, one object at a time."""
        if doubtful:
            time.sleep(self.settle)
        for each in doubtful:
            info = self.store.head(ObjectRef(bucket=bucket, key=each.key))
            count.listed += (info is not None) - (each.listed_etag is not None)
            with transaction(self.engine) as connection:
                yield _again(connection, bucket, each, info.etag if info else None)

    @staticmethod
    def _conclude(each: Compared, state: str | None, count: _Count, confirmed: list[Difference]) -> None:
        if state is None:
            return
        count.states[state] += 1
        if state in ("missing", "stale", "ghost"):
            kind: Kind = state  # type: ignore[assignment]  # narrowed by the line above
            confirmed.append(Difference(kind=kind, key=each.key, listed_etag=each.listed_etag, known_etag=each.etag))

    def _repair(self, bucket: str, differences: list[Difference]) -> int:
        for page in _pages(differences):
            hints = [
                Hint(ref=ObjectRef(bucket=bucket, key=each.key), source="verify", event=each.kind) for each in page
            ]
            with transaction(self.engine) as connection:
                inbox.hint(connection, hints, lane=Lane.BACKFILL)
            self.ring()
        return len(differences)


def _again(connection: Connection, bucket: str, each: Compared, etag: str | None) -> Compared:
    standing = inbox.standing(connection, ObjectRef(bucket=bucket, key=each.key))
    if standing is None:
        return Compared(key=each.key, listed_etag=etag)
    return Compared(
        key=each.key, listed_etag=etag, pending=standing.pending, outcome=standing.outcome, etag=standing.etag
    )


def _state(each: Compared) -> str | None:
    """Which term of the equation an object is; None: neither side has it."""
    known = each.outcome not in (None, "gone")
    if each.pending:
        return "pending" if each.listed_etag is not None else None
    if each.listed_etag is None:
        return "ghost" if known else None
    if not known:
        return "missing"
    # Without an etag nothing was read (access denied, killed worker): there is nothing to be stale.
    return "stale" if each.etag and each.etag != each.listed_etag else each.outcome


def _verification(bucket: str, prefix: str, count: _Count, repaired: int) -> Verification:
    states = count.states
    return Verification(
        bucket=bucket,
        prefix=prefix,
        listed=count.listed,
        enriched=states["enriched"],
        excluded=states["excluded"],
        quarantined=states["quarantined"],
        pending=states["pending"],
        missing=states["missing"],
        stale=states["stale"],
        ghost=states["ghost"],
        repaired=repaired,
    )


def _pages(items: Iterable[_T]) -> Iterator[list[_T]]:
    iterator = iter(items)
    while page := list(islice(iterator, _PAGE)):
        yield page
