"""The use case: fill a space completely: queue missing vectors, embed, tag, index."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from worker import catalog, db, ledger, logs
from worker.db import Connection, Engine, transaction
from worker.errors import NotFoundError, OutdatedTaxonomiesError
from worker.pipeline.spaces.fill_batch import BatchFiller, FillReport, is_temporary
from worker.pipeline.spaces.preview_lease import wanting_previews
from worker.pipeline.taxonomies import retag
from worker.pipeline.taxonomies.retag import Retagger
from worker.types import FillSource

_log = logs.get("pipeline")

Stage: TypeAlias = Literal["filling", "waiting", "tagging", "indexing"]

#: Images examined between two checks of the queue, and the queue length below which more are examined.
_CHUNK = 5_000
_PAUSE = 0.2  # seconds between checks of the queue
_DATABASE_PAUSE = 2.0
#: Passes over the catalog: a second one finds what the first could not lock, or missed because of a long transaction.
_MOST_PASSES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class FillProgress:
    """The progress of a fill."""

    stage: Stage  # waiting: live uploads go first
    done: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FillResult:
    """The result of a run."""

    space: int
    filled: int  # vectors that this process wrote
    from_previews: int  # of these, made from previews
    changed: int  # objects that differ from the catalog: hinted for a worker
    tagged: int  # images retagged from stored vectors
    failed: int  # in all: images that the model could not embed
    missing: int  # other images without a vector


@dataclass(kw_only=True, slots=True)
class _Sums:
    """Sums over threads."""

    filled: int = 0
    from_previews: int = 0
    changed: int = 0
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def add(self, report: FillReport) -> None:
        with self.mutex:
            self.filled += report.filled
            self.from_previews += report.from_previews
            self.changed += report.changed


class _Remaining:
    """A count that is expensive on large catalogs: repeated only after twenty times its own duration."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count, self._known, self._due = count, 0, 0.0

    def __call__(self) -> int:
        began = time.monotonic()
        if began >= self._due:
            self._known = self._count()
            self._due = began + max(1.0, 20 * (time.monotonic() - began))
        return self._known


@dataclass(frozen=True, kw_only=True, slots=True)
class FillRun:
    """Fills one space. Any number of processes may do so at once, and any of them may be killed: all progress is in the
    database, so that the next run, or the others, go on where it was.
    """

    engine: Engine
    filler: BatchFiller
    threads: int  # batches in flight
    source: FillSource | None = None  # None: missing vectors from originals; others stay as they are
    progress: Callable[[FillProgress], None] = lambda _: None

    def run(self, *, retry_failed: bool = False) -> FillResult:
        """Fill, tag and index; returns when nothing is left that this process could do.

        Raises:
            FatalDeviceError: the device is broken; start again.
            NotFoundError: the space was dropped meanwhile.
        """
        with refusing_if_dropped(self.engine, self.filler.model.space.id):
            return self._run(retry_failed=retry_failed)

    def _run(self, *, retry_failed: bool) -> FillResult:
        space = self.filler.model.space
        with transaction(self.engine) as connection:
            catalog.spaces.refill(connection, space.id)
            if retry_failed:
                catalog.embedding_queue.retry_failures(connection, space.id)
        with wanting_previews(self.engine, space.id) if self.source is FillSource.PREVIEWS else nullcontext():
            sums = self._fill()
        tagged = self._retag()
        self._index()
        with transaction(self.engine) as connection:
            failed = catalog.embedding_queue.queue_length(connection, space.id).failed
        return FillResult(
            space=space.id,
            filled=sums.filled,
            from_previews=sums.from_previews,
            changed=sums.changed,
            tagged=tagged,
            failed=failed,
            missing=self._missing(),
        )

    def _fill(self) -> _Sums:
        sums, missing, before = _Sums(), self._missing(), -1
        for _ in range(_MOST_PASSES):
            if missing in (0, before) and before >= 0:
                break
            before = missing
            self._pass(sums, total=missing)
            missing = self._missing()
        return sums

    def _missing(self) -> int:
        with transaction(self.engine) as connection:
            return catalog.spaces.missing_in(
                connection, self.filler.model.space.id, replacing_previews=self._replaces_previews
            )

    @property
    def _replaces_previews(self) -> bool:
        return self.source is FillSource.ORIGINALS

    # -- vectors -----------------------------------------------------------------------------------------------------
    def _pass(self, sums: _Sums, *, total: int) -> None:
        """Queue missing vectors chunk by chunk while threads process the queue."""
        stop = threading.Event()
        remaining = _Remaining(self._missing)
        with ThreadPoolExecutor(self.threads, thread_name_prefix="fill") as pool:
            running = [pool.submit(self._work, sums, stop) for _ in range(self.threads)]
            try:
                for urgent in self._feed(lambda: any(each.done() for each in running)):
                    stage: Stage = "waiting" if urgent else "filling"
                    self.progress(FillProgress(stage=stage, done=max(total - remaining(), 0), total=total))
                    time.sleep(_PAUSE)
            finally:
                stop.set()
            for each in running:
                each.result()

    def _feed(self, broken: Callable[[], bool]) -> Iterator[bool]:
        """Yield after each check of the queue; end when everything missing at the start has been dealt with."""
        space, after, scanned = self.filler.model.space.id, 0, None
        while not broken():
            try:
                with transaction(self.engine) as connection:
                    urgent = ledger.claims.urgent(connection)
                    queue = catalog.embedding_queue.queue_length(connection, space, before=scanned)
                    if scanned is None and queue.open < _CHUNK:
                        after, scanned = self._queue_more(connection, after)
                    elif scanned is not None and queue.older == 0:
                        return
            except Exception as error:
                if not is_temporary(error):
                    raise
                _log.warning("the database is unavailable; filling waits", action="fill", error=db.in_one_line(error))
                time.sleep(_DATABASE_PAUSE)
                continue
            yield urgent

    def _queue_more(self, connection: Connection, after: int) -> tuple[int, datetime | None]:
        step = catalog.embedding_queue.enqueue_missing(
            connection,
            self.filler.model.space.id,
            after=after,
            limit=_CHUNK,
            replacing_previews=self._replaces_previews,
        )
        return (after, catalog.embedding_queue.now(connection)) if step is None else (step.last, None)

    def _work(self, sums: _Sums, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                report = self.filler.run_once()
            except Exception as error:
                if not is_temporary(error):
                    raise
                stop.wait(_DATABASE_PAUSE)
                continue
            if report is None:
                stop.wait(_PAUSE)
            else:
                sums.add(report)

    # -- tags --------------------------------------------------------------------------------------------------------
    def _retag(self) -> int:
        """Update tags that are older than the taxonomies in force."""
        labels = self.filler.model.labels
        while True:
            retagger = Retagger(self.engine, self.filler.model.space, labels.follow(), progress=self._tagging)
            try:
                return retagger.run().written
            except OutdatedTaxonomiesError:
                continue  # others are in force by now

    def _tagging(self, step: retag.RetagProgress) -> None:
        self.progress(FillProgress(stage="tagging", done=step.done, total=step.total))

    # -- index -------------------------------------------------------------------------------------------------------
    def _index(self) -> None:
        index(self.engine, self.filler.model.space, self.progress)


@contextmanager
def refusing_if_dropped(engine: Engine, number: int) -> Iterator[None]:
    """Raise a clear error if a space is dropped while the block works on it.

    Raises:
        NotFoundError: it was.
    """
    try:
        yield
    except Exception as error:
        if is_temporary(error):
            raise
        with transaction(engine) as connection:
            if not catalog.spaces.was_dropped(connection, number):
                raise
        raise NotFoundError(f"space {number} was dropped meanwhile") from error


def index(
    engine: Engine, space: catalog.spaces.Space, progress: Callable[[FillProgress], None] = lambda _: None
) -> None:
    """Build a space's index if it has none; readers and writers continue meanwhile."""
    with ThreadPoolExecutor(1, thread_name_prefix="index") as pool:
        building = pool.submit(catalog.partitions.build_index, engine, space.id, space.dimension)
        while not building.done():
            with transaction(engine) as connection:
                found = catalog.partitions.index_progress(connection, space.id)
            if found is not None:
                progress(FillProgress(stage="indexing", done=found[0], total=max(found)))
            time.sleep(_PAUSE)
        building.result()
