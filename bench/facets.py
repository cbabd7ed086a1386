"""Facets, lists and near-duplicates of a large catalog, beside statements that look at every image."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from sqlalchemy import text

from bench.ledger import DIMENSION
from bench.site import Site
from bench.table import Found, Note, Row
from worker import catalog, db
from worker.catalog.filter_conditions import conditions
from worker.catalog.image_filter import ImageFilter, Near, TagFilter
from worker.db import Engine, snapshot, transaction
from worker.pipeline.reading import facets, image_list
from worker.types import SpaceSpec

_STEP = 100_000
_CALLS = 3
_HASHES = 20
#: As an archive has them: a few cameras, three years, two places; hashes of which one in fifty is near another one.
_IMAGES = text("""
    INSERT INTO images (bucket, key, etag, size, width, height, format, mode, frames, orientation, sha256, phash,
                        hinted_at, taken_at, camera_make, camera_model, latitude, longitude)
    SELECT 'archive', lpad(n::text, 9, '0'), 'e', 1000 + hash % 9000000, 640 + hash % 4000, 480 + hash % 3000,
           CASE WHEN hash % 10 < 8 THEN 'JPEG' ELSE 'PNG' END, 'RGB', 1, 1, sha256(n::text::bytea),
           hashint8extended(n - CASE WHEN n % 50 = 0 THEN 1 ELSE 0 END, 7), now(),
           timestamp '2022-01-01' + hash % 94608000 * interval '1 second', 'Maker ' || hash % 7, 'Model ' || hash % 29,
           CASE WHEN hash % 3 = 0 THEN 48 + (hash % 1000) / 1000.0 END, CASE WHEN hash % 3 = 0 THEN 11.0 END
    FROM (SELECT n, abs(hashint8(n)::bigint) AS hash FROM generate_series(CAST(:first AS bigint), :last) AS n) AS made
""")
_TAGS = text("""
    INSERT INTO tags (image_id, space_id, taxonomy, taxonomy_version, label, score, probability, source)
    SELECT i.id, :space, t.taxonomy, 'v', CASE WHEN hash % 4 < 3 THEN t.taxonomy || '-' || hash % 9 END, 0.2,
           (hash % 1000) / 1000.0, 'zero-shot'
    FROM images i CROSS JOIN (VALUES ('light'), ('place'), ('subject')) AS t (taxonomy),
    LATERAL (SELECT abs(hashtextextended(i.key || t.taxonomy, 1)) AS hash) AS h
    WHERE i.id BETWEEN :first AND :last
""")
_EVERY_LABEL = text("SELECT taxonomy, label, count(*) FROM tags WHERE space_id = :space GROUP BY taxonomy, label")
_EVERY_PAIR = text("""
    SELECT h.hash, i.id FROM unnest(CAST(:hashes AS bigint[])) AS h (hash)
    JOIN images i ON bit_count(CAST(i.phash # h.hash AS bit(64))) <= 4
""")


def rows(site: Site, *, images: int) -> Iterator[Found]:
    """Each question by ours and by the statement that looks at everything, in turn."""
    with site.database() as url:
        engine = db.connect(url, name="bench")
        space = _filled(engine, images)
        yield from _facets(engine, space, images)
        yield from _near(engine, images)
        engine.dispose()


def _filled(engine: Engine, images: int) -> int:
    with transaction(engine) as connection:
        spec = SpaceSpec(model="bench", revision="1", preprocessing="bench", dimension=DIMENSION)
        space = catalog.spaces.ensure(connection, spec).id
    for first in range(1, images + 1, _STEP):
        last = min(first + _STEP - 1, images)
        with transaction(engine) as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(_IMAGES, {"first": first, "last": last})
            connection.execute(_TAGS, {"first": first, "last": last, "space": space})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE images, tags"))
        connection.invalidate()
    return space


def _facets(engine: Engine, space: int, images: int) -> Iterator[Found]:
    night = TagFilter(taxonomy="light", label="light-1")
    asked = {
        "of all": ImageFilter(),
        "of a camera": ImageFilter(cameras=(("Maker 1", "Model 8"),)),
        "of a tag": ImageFilter(tags=(night,)),
        "of a place and a year": ImageFilter(
            near=Near(latitude=48.5, longitude=11, kilometres=20), taken_since=_moment(2023), taken_until=_moment(2024)
        ),
    }
    every = _median(engine, lambda connection: connection.execute(_EVERY_LABEL, {"space": space}).all())
    worst = 0.0
    for what, filter_ in asked.items():
        ours = _seconds(lambda filter_=filter_: facets.facets(engine, filter_))  # type: ignore[misc]
        worst = max(worst, ours)
        yield Row(what=f"facets {what} ({images:,})", unit="s", ours=ours, other="every label counted", theirs=every,
                  less_is_better=True)  # fmt: skip
    listed = _seconds(lambda: image_list.images(engine, asked["of a place and a year"], limit=100))
    yield Note(sentence=f"A page of 100 images of a place and a year, of {images:,}: {listed * 1000:.0f} ms. "
               f"The slowest facets took {worst:.2f} s.")  # fmt: skip


def _near(engine: Engine, images: int) -> Iterator[Found]:
    with snapshot(engine) as connection:
        chosen = "SELECT phash FROM images WHERE id % :step = 0 LIMIT :most"
        hashes = list(connection.execute(text(chosen), {"step": max(images // _HASHES, 1), "most": _HASHES}).scalars())
    made = conditions(ImageFilter())
    ours = _median(engine, lambda connection: catalog.duplicates.near(connection, made, hashes, bits=4))
    every = _median(engine, lambda connection: connection.execute(_EVERY_PAIR, {"hashes": hashes}).all())
    yield Row(what=f"near-duplicates of {len(hashes)} images among {images:,}", unit="s", ours=ours,
              other="every pair compared", theirs=every, less_is_better=True)  # fmt: skip


def _median(engine: Engine, ask: Callable[[db.Connection], object]) -> float:
    def once() -> None:
        with snapshot(engine) as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            ask(connection)

    return _seconds(once)


def _seconds(ask: Callable[[], object]) -> float:
    taken = []
    for _ in range(_CALLS):
        begun = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _moment(year: int) -> datetime:
    return datetime(year, 1, 1)  # noqa: DTZ001  # a camera's clock
