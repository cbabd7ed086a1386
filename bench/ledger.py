"""The ledger and the catalog: rows a second into real PostgreSQL, and what a claim costs as the ledger grows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import TextClause, text

from bench.site import Site
from bench.table import Found, Row
from worker import catalog, db, ledger
from worker.catalog.write import EnrichedImage
from worker.db import Engine, transaction
from worker.ledger.completion import Completion
from worker.ledger.totals import BY_COUNTERS, BY_COUNTING
from worker.types import Hint, ImageMetadata, Lane, ObjectInfo, ObjectRef, Outcome, SpaceSpec, Tag

_BUCKET = "bench"
BATCH = 32
DIMENSION = 512
_PART = 100_000
#: Objects that go through the ledger to measure what its counters cost.
_MOVED = 5_000
_PENDING = text("""
    INSERT INTO inbox (bucket, key, source, lane, retry_reason, last_error, visible_at)
    SELECT 'waiting', n::text, 'bench', 1 + n % 2, CASE WHEN n % 2 = 0 THEN 'store-away' END,
           CASE WHEN n % 2 = 0 THEN 'no answer' END, now() + interval '1 day'
    FROM generate_series(1, CAST(:pending AS int)) AS n
""")
_STRIDE = 7919  # a prime: updates are spread over the whole table
_DONE = text("""
    INSERT INTO inbox (bucket, key, wanted, done, source, outcome, etag, finished_at)
    SELECT 'done', n::text, 1, 1, 'bench', 'enriched', 'e', now() FROM generate_series(CAST(:first AS int), :last) AS n
""")


def seconds(action: Callable[[], object], times: int) -> float:
    """Of one call: the median of ``times``, after one that does not count."""
    action()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def writes(engine: Engine) -> tuple[float, float]:
    """Images/s written with vector and four tags, HNSW index in place: a batch of 32 at once, and row by row."""
    spec = SpaceSpec(model="bench", revision="1", preprocessing="bench", dimension=DIMENSION)
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, spec)
    fresh = itertools.count()

    def batched() -> None:
        with transaction(engine) as connection:
            catalog.write.save_images(connection, space_id=space.id, images=[image(next(fresh)) for _ in range(BATCH)])

    def by_row() -> None:
        for _ in range(BATCH):
            with transaction(engine) as connection:
                catalog.write.save_images(connection, space_id=space.id, images=[image(next(fresh))])

    return BATCH / seconds(batched, 12), BATCH / seconds(by_row, 6)


def hints(engine: Engine) -> tuple[float, float]:
    """Hints/s: a thousand in a statement, and one by one."""
    fresh = itertools.count()

    def many() -> None:
        with transaction(engine) as connection:
            ledger.hints.hint(connection, [_hint(next(fresh)) for _ in range(1000)], lane=Lane.BACKFILL)

    def one() -> None:
        with transaction(engine) as connection:
            ledger.hints.hint(connection, [_hint(next(fresh))], lane=Lane.LIVE)

    return 1000 / seconds(many, 10), 1 / seconds(one, 200)


def claims(engine: Engine, *, done: int, updates: int) -> tuple[float, float, float]:
    """Milliseconds to claim 32 of 3,200 pending objects: in an empty ledger, beside ``done`` finished ones, and after
    ``updates`` objects more went through it: hinted again, claimed and completed.
    """
    empty = _claim_milliseconds(engine)
    for first in range(1, done + 1, _PART):
        with transaction(engine) as connection:
            connection.execute(_DONE, {"first": first, "last": min(first + _PART - 1, done)})
    _vacuum(engine)
    full = _claim_milliseconds(engine)
    _go_through(engine, done=done, updates=updates)
    return empty, full, _claim_milliseconds(engine)


def walks(engine: Engine, *, done: int, updates: int) -> tuple[float, float]:
    """Milliseconds to claim 32 while a snapshot is held from before ``updates`` objects went through: from the
    floors, as workers do, and from the start of the index.
    """
    floors = ledger.floors.Floors()
    with db.snapshot(engine) as old:
        old.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        old.execute(text("SELECT count(*) FROM spaces"))
        _go_through(engine, done=done, updates=updates)
        time.sleep(3)  # what has just gone through is above the floors
        return _claim_milliseconds(engine, floors), _claim_milliseconds(engine)


def counting(engine: Engine, *, pending: int) -> tuple[float, float, float, float]:
    """Objects/s through their whole life with counters and without, in turn; then milliseconds to ask where all stand,
    by the counters and by counting, while many wait.
    """
    taken: dict[str, list[float]] = {"ENABLE": [], "DISABLE": []}
    for turn in range(6):
        for how, seconds_taken in taken.items():
            with transaction(engine) as connection:
                connection.execute(text(f"ALTER TABLE inbox {how} TRIGGER USER"))
            seconds_taken.append(_life(engine, turn))
    with transaction(engine) as connection:
        connection.execute(text("ALTER TABLE inbox ENABLE TRIGGER USER"))
        connection.execute(_PENDING, {"pending": pending})
        ledger.counters.correct(connection)
        ledger.counters.fold(connection)
    _vacuum(engine)

    def asked(statement: TextClause) -> float:
        def ask() -> None:
            with transaction(engine) as connection:
                connection.execute(statement, {"bucket": None}).one()

        return 1000 * seconds(ask, 10)

    by_counters, by_counting = asked(BY_COUNTERS), asked(BY_COUNTING)
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM inbox WHERE bucket = 'waiting'"))
    _vacuum(engine)
    return _MOVED / min(taken["ENABLE"]), _MOVED / min(taken["DISABLE"]), by_counters, by_counting


def _life(engine: Engine, turn: int) -> float:
    """Seconds for objects that are hinted a thousand at a time, claimed and completed in batches."""
    started = time.perf_counter()
    for part in range(0, _MOVED, 1000):
        with transaction(engine) as connection:
            ledger.hints.hint(
                connection, [_hint(1_000_000 * turn + part + each) for each in range(1000)], lane=Lane.LIVE
            )
    while _one_claim(engine, size=BATCH):
        pass
    return time.perf_counter() - started


def _go_through(engine: Engine, *, done: int, updates: int) -> None:
    """The whole life of that many hints for objects that were done before, a thousand at a time."""
    for start in range(0, updates, 1000):
        keys = (1 + (start + number) * _STRIDE % done for number in range(1000))
        refs = [ObjectRef(bucket="done", key=str(key)) for key in keys]
        with transaction(engine) as connection:
            ledger.hints.hint(connection, [Hint(ref=ref, source="bench", event="put") for ref in refs], lane=Lane.LIVE)
        while _one_claim(engine):
            pass


def _one_claim(engine: Engine, *, size: int = 1000) -> bool:
    with transaction(engine) as connection:
        claim = ledger.claims.claim(connection, worker="bench", size=size, lease=60)
    if claim is None:
        return False
    ended = [Completion(id=each.id, outcome=Outcome.UNCHANGED, etag="e") for each in claim.objects]
    with transaction(engine) as connection:
        ledger.completion.complete(connection, claim.token, ended)
    return True


def _vacuum(engine: Engine) -> None:
    """Now, and not by itself in the midst of what is measured."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM (ANALYZE) inbox"))
        connection.execute(text("CHECKPOINT"))


def _claim_milliseconds(engine: Engine, floors: ledger.floors.Floors | None = None) -> float:
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM inbox WHERE bucket = :bucket"), {"bucket": _BUCKET})
        ledger.hints.hint(connection, [_hint(number) for number in range(3200)], lane=Lane.LIVE)

    def claim() -> None:
        with transaction(engine) as connection:
            assert ledger.claims.claim(connection, worker="bench", size=BATCH, lease=60, floors=floors) is not None

    return 1000 * seconds(claim, 60)


def _hint(number: int) -> Hint:
    return Hint(ref=ObjectRef(bucket=_BUCKET, key=f"{number:08}.jpg"), source="bench", event="put")


def image(number: int) -> EnrichedImage:
    vector = np.random.default_rng(number).standard_normal(DIMENSION).astype(np.float32)
    tags = (Tag(taxonomy=f"t{n}", version="1", label="a", score=0.2, probability=0.9) for n in range(4))
    return EnrichedImage(
        info=ObjectInfo(
            ref=ObjectRef(bucket=_BUCKET, key=f"{number:08}.jpg"),
            etag=str(number),
            size=66_000,
            last_modified=None,
            content_type="image/jpeg",
            version_id=None,
        ),
        metadata=ImageMetadata(
            width=640,
            height=480,
            format="JPEG",
            mode="RGB",
            frames=1,
            orientation=1,
            sha256=f"{number:064x}",
            phash=1,
            taken_at=None,
            camera_make=None,
            camera_model=None,
            latitude=None,
            longitude=None,
            altitude=None,
            iso=None,
            exposure_time=None,
            f_number=None,
            focal_length=None,
            focal_length_35mm=None,
            lens_make=None,
            lens_model=None,
        ),
        vector=vector / np.linalg.norm(vector),
        tags=tuple(tags),
        event_at=None,
        hinted_at=datetime.now(UTC),
    )


def rows(site: Site, *, done: int, updates: int) -> Iterator[Found]:
    """What the ledger and the catalog sustain."""
    with site.database() as url:
        engine = db.connect(url, name="bench")
        ours, theirs = writes(engine)
        yield Row(
            what="catalog rows, with vector and 4 tags", unit="images/s", ours=ours, other="row by row", theirs=theirs
        )
        ours, theirs = hints(engine)
        yield Row(what="hints, 1,000 at once", unit="hints/s", ours=ours, other="one by one", theirs=theirs)
        yield Row(what="hints, 1,000 at once", unit="hints/s", ours=ours, other="wanted", theirs=30_000, goal=1)
        empty, full, worn = claims(engine, done=done, updates=updates)
        for words, milliseconds in ((f"beside {done:,} done", full), (f"after {updates:,} updates of them", worn)):
            yield Row(
                what=f"claim of {BATCH} {words}",
                unit="ms",
                ours=milliseconds,
                other="in an empty ledger",
                theirs=empty,
                less_is_better=True,
                goal=0.5,
            )
        counted, uncounted, by_counters, by_counting = counting(engine, pending=done // 2)
        yield Row(
            what="objects hinted, claimed and completed", unit="objects/s", ours=counted, other="without counters",
            theirs=uncounted,
        )  # fmt: skip
        yield Row(
            what=f"totals of {done:,} done and {done // 2:,} pending",
            unit="ms",
            ours=by_counters,
            other="counting them",
            theirs=by_counting,
            less_is_better=True,
        )
        floors, start = walks(engine, done=done, updates=updates)
        yield Row(
            what=f"claim of {BATCH} while a snapshot of {updates:,} updates ago is held",
            unit="ms",
            ours=floors,
            other="from the start",
            theirs=start,
            less_is_better=True,
        )
        engine.dispose()
