"""The use case: queue objects that were in a bucket before it was watched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from worker import ledger
from worker.db import Engine, transaction
from worker.objects import ListedObject, ObjectStore
from worker.pipeline.reconciliation.listing_diff import Classified, ListingDiff, State, pages
from worker.types import Hint, Lane, ObjectRef

_TO_DO: frozenset[State] = frozenset({"missing", "incomplete", "stale"})
_REFUSED: frozenset[State] = frozenset({"excluded", "quarantined"})


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillProgress:
    """The progress of a backfill: keys by state."""

    seen: int = 0
    to_do: int = 0  # keys below that were made pending work
    new: int = 0
    changed: int = 0  # the bytes differ from those that were read
    incomplete: int = 0  # without a vector, or a decision of a taxonomy in force
    unchanged: int = 0  # enriched, from the bytes that are there
    pending: int = 0  # already pending
    excluded: int = 0  # not images, or given up
    quarantined: int = 0
    unnameable: int = 0  # cannot be recorded; `enrich verify` names them
    last: str = ""  # key after which to continue


@dataclass(frozen=True, kw_only=True, slots=True)
class Backfill:
    """Lists a bucket and hints every object that is not done, in the backfill lane behind all live work."""

    engine: Engine
    store: ObjectStore
    notify: Callable[[], None]

    def run(
        self, bucket: str, *, prefix: str = "", start_after: str = "", refused: bool = False
    ) -> Iterator[BackfillProgress]:
        """Hint page by page; each page is committed separately, so an interrupted run continues after its last key.

        Args:
            bucket: to be listed.
            prefix: of the keys.
            start_after: the ``last`` of an earlier run.
            refused: hint also what is excluded or in quarantine. What a person gave up stays so for the same bytes.

        Yields:
            After each page, how far it is.
        """
        with transaction(self.engine) as connection:
            since = ledger.heartbeats.now(connection)
        comparison = ListingDiff(engine=self.engine, store=self.store, bucket=bucket, since=since, settle=0.0)
        wanted = _TO_DO | _REFUSED if refused else _TO_DO
        states: Counter[State] = Counter()
        to_do = 0
        with self.engine.connect() as reading:
            for page in pages(self.store.list(bucket, prefix=prefix, start_after=start_after)):
                judged = comparison.first_look(reading, page)
                chosen = [each for each in judged if each.state in wanted or _cannot_be_told(each)]
                self._hint(bucket, chosen)
                states.update(each.state for each in judged)
                to_do += len(chosen)
                yield _so_far(states, to_do, page)

    def _hint(self, bucket: str, chosen: Sequence[Classified]) -> None:
        hints = [
            Hint(ref=ObjectRef(bucket=bucket, key=each.compared.key), source="backfill", event=each.state)
            for each in chosen
        ]
        if not hints:
            return
        with transaction(self.engine) as connection:
            ledger.hints.hint(connection, hints, lane=Lane.BACKFILL)
        self.notify()


def _cannot_be_told(each: Classified) -> bool:
    """If a store lists no etags, only reading an object shows whether its bytes have changed."""
    return each.state == "enriched" and not each.compared.listed_etag


def _so_far(states: Counter[State], to_do: int, page: Sequence[ListedObject]) -> BackfillProgress:
    return BackfillProgress(
        seen=states.total(),
        to_do=to_do,
        new=states["missing"],
        changed=states["stale"],
        incomplete=states["incomplete"],
        unchanged=states["enriched"],
        pending=states["pending"],
        excluded=states["excluded"],
        quarantined=states["quarantined"],
        unnameable=states["unnameable"],
        last=page[-1].key,
    )
