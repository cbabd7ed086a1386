"""The use case: what was in the bucket before we came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker import inbox
from worker.db import Engine, transaction
from worker.objects import ObjectStore
from worker.pipeline.comparison import pages
from worker.types import Hint, Lane, ObjectRef


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
        for page in pages(self.store.list(bucket, prefix=prefix, start_after=start_after)):
            hints = [
                Hint(ref=ObjectRef(bucket=bucket, key=listed.key), source="backfill", event="listed")
                for listed in page
                if inbox.is_storable(listed.key)  # `enrich verify` names the others
            ]
            with transaction(self.engine) as connection:
                inbox.hint(connection, hints, lane=Lane.BACKFILL)
            self.ring()
            total += len(hints)
            yield total, page[-1].key
