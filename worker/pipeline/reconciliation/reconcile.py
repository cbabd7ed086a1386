"""The use case: find what no event announced, on a schedule."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from worker import ledger, logs, metrics
from worker.db import Connection, Engine, is_unavailable, transaction
from worker.errors import EnrichError, NotFoundError
from worker.ledger.key_ranges import Order
from worker.ledger.reconciliations import ClaimedPage, PageResult, Reconciliation, Target
from worker.objects import ListedObject, ObjectStore
from worker.pipeline.reconciliation.listing_diff import PAGE, UNREADABLE, Classified, ListingDiff
from worker.pipeline.resilience.periodic import PeriodicThread
from worker.watched_buckets import Watched

_log = logs.get("pipeline")

#: Lease of a page, in seconds.
_LEASE = 60.0
#: Seconds until a page whose listing failed is retried.
_RETRY = 60.0
#: A round of a large bucket takes this share of the interval, if the rate allows.
_SHARE = 0.5
#: Longest pause between two pages, so that small buckets are done in seconds.
_LONGEST_PAUSE = 1.0
#: How often the list of targets is reread, and the longest sleep of a scheduler.
_REFRESH, _NAP = 60.0, 5.0
_NEXT_ORDER: dict[Order, Order] = {"bytes": "folders", "folders": "any"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileSchedule:
    """How often, and how fast, buckets are reconciled."""

    interval: float  # seconds from the beginning of a round to that of the next
    pages_per_second: float  # at most, of one target

    def pause(self, objects: int) -> float:
        """Seconds between two pages of a target with this many objects."""
        spread = _SHARE * self.interval * PAGE / max(objects, 1)
        return max(1 / self.pages_per_second, min(spread, _LONGEST_PAUSE))

    def next_round(self) -> float:
        """Seconds until the next round, with jitter, so that targets that began together drift apart."""
        return self.interval * random.uniform(0.9, 1.1)  # noqa: S311  # no secret


@dataclass(frozen=True, kw_only=True, slots=True)
class PageReconciler:
    """Compares one page at a time, and makes every difference pending work.

    All state is in the database, after each page: whichever scheduler comes next goes on behind the last key. Ghosts
    are concluded from what lies between two keys of a listing, so from nothing that was not listed.
    """

    engine: Engine
    store: ObjectStore
    notify: Callable[[], None]
    pace: ReconcileSchedule
    settle: float = 2.0  # seconds until objects whose event may be on its way are checked again

    def step(self, targets: Sequence[Target]) -> bool:
        """Compare the page that has been due the longest. Returns False if none is due."""
        with transaction(self.engine) as connection:
            page = ledger.reconciliations.claim_page(connection, targets, lease=_LEASE)
        if page is None:
            return False
        try:
            self._compare(page)
        except EnrichError as error:
            _log.warning("a bucket could not be listed", action="reconcile", bucket=page.bucket, error=str(error))
            delay = min(_RETRY, self.pace.interval)
            with transaction(self.engine) as connection:
                ledger.reconciliations.fail(connection, page, error=str(error), delay=delay)
        return True

    def _compare(self, page: ClaimedPage) -> None:
        listed, complete = self._list(page)
        if not _is_in_order(page, listed):
            self._reorder(page)
            return
        cursor = None if complete else listed[-1].key
        found = Counter({"listed": len(listed)})
        for judged in self._judged(page, listed, cursor):
            found.update(each.state for each in judged if not each.hopeless)
        self._record(page, _found(found), cursor)

    def _list(self, page: ClaimedPage) -> tuple[list[ListedObject], bool]:
        """The next page, and whether it is the last. It ends with a key that can be stored and continued from."""
        listed: list[ListedObject] = []
        for each in self.store.list(page.bucket, prefix=page.prefix, start_after=page.cursor):
            listed.append(each)
            if len(listed) >= PAGE and _is_name(each.key):
                return listed, False
        return listed, True

    def _reorder(self, page: ClaimedPage) -> None:
        order = _NEXT_ORDER[page.order]
        _log.info("the store lists in another order; the round starts over", action="reconcile",
                  bucket=page.bucket, order=order)  # fmt: skip
        with transaction(self.engine) as connection:
            ledger.reconciliations.restart(connection, page, order=order)

    def _judged(
        self, page: ClaimedPage, listed: Sequence[ListedObject], cursor: str | None
    ) -> Iterator[list[Classified]]:
        """Compare and repair the page, then the ghosts in its range, part by part."""
        comparison = ListingDiff(
            engine=self.engine, store=self.store, bucket=page.bucket, since=page.since, settle=self.settle
        )
        with self.engine.connect() as connection:
            yield self._repaired(comparison, comparison.page(connection, listed))
            for part in _absent(connection, page, listed, cursor):
                yield self._repaired(comparison, comparison.again(part))
                with connection.begin():
                    if not ledger.reconciliations.renew_page(connection, page, lease=_LEASE):
                        return  # another scheduler has the page: what was found is pending, and is not found again

    def _repaired(self, comparison: ListingDiff, judged: list[Classified]) -> list[Classified]:
        # What was given up is tried again by people: whoever works for another space could do nothing about it.
        differences = [found for each in judged if not each.hopeless and (found := each.difference) is not None]
        if comparison.repair(differences, source="reconcile"):
            self.notify()
        return judged

    def _record(self, page: ClaimedPage, found: PageResult, cursor: str | None) -> None:
        pause = self.pace.pause(max(page.expected, found.listed))
        with transaction(self.engine) as connection:
            if cursor is None:
                held = ledger.reconciliations.finish(
                    connection, page, found, interval=self.pace.next_round(), pause=pause
                )
            else:
                held = ledger.reconciliations.advance(connection, page, found, cursor=cursor, pause=pause)
        if held:
            _announce(page, found)


def targets(watched: Watched, store: ObjectStore) -> list[Target]:
    """The targets in ``ENRICH_BUCKETS``; for ``*``, every bucket that the credentials can list."""
    names = store.buckets() if watched.everything else watched.names
    parts = (name.partition("/") for name in names)
    return list(dict.fromkeys(Target(bucket=bucket, prefix=prefix) for bucket, _, prefix in parts))


def states(engine: Engine) -> list[Reconciliation]:
    """The state of each target."""
    with transaction(engine) as connection:
        return ledger.reconciliations.states(connection)


def make_due(engine: Engine, target: Target) -> None:
    """Make a target's next round due now, for any scheduler.

    Raises:
        NotFoundError: no scheduler watches it; names those that are watched.
    """
    with transaction(engine) as connection:
        if ledger.reconciliations.make_due(connection, target):
            return
        known = [
            each.bucket + ("/" + each.prefix if each.prefix else "")
            for each in ledger.reconciliations.states(connection)
        ]
    raise NotFoundError(
        f"no scheduler reconciles this; watched are: {', '.join(known) or 'none'}. "
        "`enrich verify --repair` compares any bucket at once"
    )


class Reconciler:
    """Takes pages when they are due, on its own thread. Several schedulers share the pages."""

    def __init__(
        self,
        reconcile: PageReconciler,
        find_targets: Callable[[], Sequence[Target]],
        recheck: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Start no thread yet. ``recheck`` is called with a sentence after a database outage."""
        self._reconcile, self._find, self._recheck = reconcile, find_targets, recheck
        self._targets: Sequence[Target] = ()
        self._refresh_at = 0.0
        self._thread = PeriodicThread(
            "reconcile",
            self._turn,
            action="reconcile",
            failure="reconciliation failed; retrying",
            interval=_NAP,
            handles=self._noticed,
        )

    def start(self) -> None:
        """Start with what is due."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current page."""
        self._thread.stop(timeout=10)

    def publish(self) -> None:
        """Set the gauges of this scheduler's targets."""
        with transaction(self._reconcile.engine) as connection:
            known = ledger.reconciliations.states(connection)
        for each in known:
            if Target(bucket=each.bucket, prefix=each.prefix) in self._targets:
                metrics.RECONCILE_AGE.labels(bucket=each.bucket, prefix=each.prefix).set(each.age)

    def _noticed(self, error: Exception) -> bool:
        """Reconcile everything after an outage, which is logged like any other failure."""
        if is_unavailable(error):
            self._recheck("the database was away")
        return False

    def _turn(self) -> float:
        """Do what is due; returns how long to sleep."""
        if time.monotonic() >= self._refresh_at:
            self._refresh()
        self._reconcile.step(self._targets)
        with transaction(self._reconcile.engine) as connection:
            due = ledger.reconciliations.next_due(connection, self._targets)
        return _NAP if due is None else min(max(due, 0.0), _NAP)

    def _refresh(self) -> None:
        self._targets = tuple(self._find())
        with transaction(self._reconcile.engine) as connection:
            ledger.reconciliations.watch(connection, self._targets, interval=1.1 * self._reconcile.pace.interval)
        self._refresh_at = time.monotonic() + _REFRESH


def _absent(
    connection: Connection, page: ClaimedPage, listed: Sequence[ListedObject], cursor: str | None
) -> Iterator[list[ledger.comparison.KeyComparison]]:
    """Objects in the ledger between the previous page and the end of this one that the page does not list."""
    ranges = ledger.key_ranges.between(page.cursor or None, cursor, prefix=page.prefix, order=page.order)
    keys = [each.key for each in listed if ledger.key_ranges.is_storable(each.key)]
    start = ""
    while True:
        with connection.begin():
            part = ledger.comparison.unlisted_within(
                connection, page.bucket, ranges, listed=keys, since=page.since, start=start, limit=PAGE
            )
        if part:
            yield part
        if len(part) < PAGE:
            return
        start = part[-1].key


def _is_name(key: str) -> bool:
    """Whether a listing can be continued after this key: it can be stored, and is the object's real key."""
    return ledger.key_ranges.is_storable(key) and UNREADABLE not in key


def _is_in_order(page: ClaimedPage, listed: Sequence[ListedObject]) -> bool:
    keys = [*([page.cursor] if page.cursor else []), *(each.key for each in listed if _is_name(each.key))]
    return all(ledger.key_ranges.ascends(one, other, page.order) for one, other in pairwise(keys))


def _found(states: Counter[str]) -> PageResult:
    """Counts by kind; incomplete objects count as missing."""
    states["missing"] += states.pop("incomplete", 0)
    return PageResult(**{name: states[name] for name in PageResult.__dataclass_fields__})


def _announce(page: ClaimedPage, found: PageResult) -> None:
    counts = {kind: getattr(found, kind) for kind in ("missing", "stale", "ghost", "unnameable")}
    for kind, count in counts.items():
        metrics.RECONCILE_DIFFERENCES.labels(kind=kind).inc(count)
    repaired = found.missing + found.stale + found.ghost
    if repaired:
        _log.warning(
            f"{repaired} objects had changed without an event; they are now pending",
            action="reconcile", bucket=page.bucket, prefix=page.prefix, **counts,
        )  # fmt: skip
