"""The ledger and the catalog: rows a second into real PostgreSQL, and what a claim costs as the ledger grows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import text

from worker import catalog, inbox
from worker.catalog import EnrichedImage
from worker.db import Engine, transaction
from worker.types import Hint, ImageMetadata, Lane, ObjectInfo, ObjectRef, SpaceSpec, Tag

_BUCKET = "bench"
_BATCH = 32
_DIMENSION = 512
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
    spec = SpaceSpec(model="bench", revision="1", preprocessing="bench", dimension=_DIMENSION)
    with transaction(engine) as connection:
        space = catalog.ensure_space(connection, spec)
    fresh = itertools.count()

    def batched() -> None:
        with transaction(engine) as connection:
            catalog.write(connection, space_id=space.id, images=[_image(next(fresh)) for _ in range(_BATCH)])

    def by_row() -> None:
        for _ in range(_BATCH):
            with transaction(engine) as connection:
                catalog.write(connection, space_id=space.id, images=[_image(next(fresh))])

    return _BATCH / seconds(batched, 12), _BATCH / seconds(by_row, 6)


def hints(engine: Engine) -> tuple[float, float]:
    """Hints/s: a thousand in a statement, and one by one."""
    fresh = itertools.count()

    def many() -> None:
        with transaction(engine) as connection:
            inbox.hint(connection, [_hint(next(fresh)) for _ in range(1000)], lane=Lane.BACKFILL)

    def one() -> None:
        with transaction(engine) as connection:
            inbox.hint(connection, [_hint(next(fresh))], lane=Lane.LIVE)

    return 1000 / seconds(many, 10), 1 / seconds(one, 200)


def claims(engine: Engine, done: int) -> tuple[float, float]:
    """Milliseconds to claim 32 of 3,200 pending objects: in an empty ledger, and beside ``done`` finished ones."""
    empty = _claim_milliseconds(engine)
    for first in range(1, done + 1, 100_000):
        with transaction(engine) as connection:
            connection.execute(_DONE, {"first": first, "last": min(first + 99_999, done)})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE inbox"))
    return empty, _claim_milliseconds(engine)


def _claim_milliseconds(engine: Engine) -> float:
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM inbox WHERE bucket = :bucket"), {"bucket": _BUCKET})
        inbox.hint(connection, [_hint(number) for number in range(3200)], lane=Lane.LIVE)

    def claim() -> None:
        with transaction(engine) as connection:
            assert inbox.claim(connection, worker="bench", size=_BATCH, lease=60) is not None

    return 1000 * seconds(claim, 60)


def _hint(number: int) -> Hint:
    return Hint(ref=ObjectRef(bucket=_BUCKET, key=f"{number:08}.jpg"), source="bench", event="put")


def _image(number: int) -> EnrichedImage:
    vector = np.random.default_rng(number).standard_normal(_DIMENSION).astype(np.float32)
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
        ),
        vector=vector / np.linalg.norm(vector),
        tags=tuple(tags),
        event_at=None,
        hinted_at=datetime.now(UTC),
    )
