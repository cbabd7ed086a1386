"""The use case: list known buckets, and drop one that does not exist. Needs no store."""

from __future__ import annotations

from collections.abc import Callable

from worker import ledger, logs
from worker.db import Engine, snapshot, transaction
from worker.errors import ChoiceError, NotFoundError
from worker.ledger.buckets import Bucket
from worker.ledger.totals import BucketTotals

_log = logs.get("pipeline")

#: Objects made pending per transaction.
PART = 1_000


def listing(engine: Engine) -> list[Bucket]:
    """Every bucket in which an object was ever announced."""
    with transaction(engine) as connection:
        return ledger.buckets.buckets(connection)


def with_objects(engine: Engine) -> list[tuple[Bucket, BucketTotals]]:
    """The same with the number of objects in each state. Reads counters, and one probe of an index for each bucket."""
    with snapshot(engine) as connection:
        totals = ledger.totals.by_bucket(connection)
        return [(each, totals.get(each.name, BucketTotals())) for each in ledger.buckets.buckets(connection)]


def drop(engine: Engine, name: str, *, notify: Callable[[], None]) -> None:
    """Treat a bucket that is missing from the store as deleted, without waiting any longer.

    Its events end, and its images leave the catalog, once a worker has heard from the store, for each of them, that
    there is no such bucket.

    Raises:
        NotFoundError: no object of such a bucket was ever named; says which there are.
        ChoiceError: the store has it.
    """
    with transaction(engine) as connection:
        known = {each.name: each for each in ledger.buckets.buckets(connection)}
        if name not in known:
            raise NotFoundError(f"{name}: unknown bucket; known are: {', '.join(known) or 'none'}")
        if known[name].found_at is not None and known[name].missing_since is None:
            raise ChoiceError(
                f"{name}: the store has this bucket (it did at {known[name].found_at:%F %T}): delete it there first. "
                "A running scheduler checks for missing buckets every half minute"
            )
        ledger.buckets.buckets_gone(connection, [name])
        ledger.buckets.make_due(connection, name, limit=PART)
    _log.warning("a bucket was dropped", action="bucket", bucket=name)
    notify()
