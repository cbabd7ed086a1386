"""The use case: what was in the bucket before we came."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from worker import inbox
from worker.db import Engine, transaction
from worker.objects import ListedObject, ObjectStore
from worker.types import Hint, Lane, ObjectRef

_CHUNK = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Backfill:
    """Lists a bucket and hints every object in the backfill lane, behind all live work."""

    engine: Engine
    store: ObjectStore
    ring: Callable[[], None]

    def run(self, bucket: str, *, prefix: str = "", start_after: str = "") -> Iterator[tuple[int, str]]:
        """Hint page by page; each page is committed on its own, so an interrupted run goes on behind its last key.

        Yields:
            After each page: objects hinted so far, and the last key of the page (``start_after`` of a resumed run).
        """
        total = 0
        for page in _pages(self.store.list(bucket, prefix=prefix, start_after=start_after)):
            hints = [
                Hint(ref=ObjectRef(bucket=bucket, key=listed.key), source="backfill", event="listed") for listed in page
            ]
            with transaction(self.engine) as connection:
                inbox.hint(connection, hints, lane=Lane.BACKFILL)
            self.ring()
            total += len(page)
            yield total, page[-1].key


def _pages(listed: Iterable[ListedObject]) -> Iterator[list[ListedObject]]:
    iterator = iter(listed)
    while page := list(islice(iterator, _CHUNK)):
        yield page
