"""What a catalog costs as it grows: writing a batch, and finding the nearest, beside ever more rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from sqlalchemy import text

from bench.ledger import BATCH, DIMENSION, image, seconds
from bench.plots import Plot
from bench.site import Site
from bench.table import Found
from worker import catalog, db
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.types import SpaceSpec

_STEP = 20_000
_IMAGES = text("""
    INSERT INTO images
        (bucket, key, etag, size, width, height, format, mode, frames, orientation, sha256, phash, hinted_at)
    SELECT 'grown', n::text, 'e', 66000, 640, 480, 'JPEG', 'RGB', 1, 1, sha256(n::text::bytea), n, now()
    FROM generate_series(CAST(:first AS int), :last) AS n
""")
_VECTORS = text("""
    INSERT INTO embeddings (space_id, image_id, vector)
    SELECT :space, i.id, v.vector
    FROM images i CROSS JOIN LATERAL (
        SELECT CAST(CAST(array_agg(random() - 0.5 + 0 * n * i.id) AS real[]) AS halfvec) AS vector
        FROM generate_series(1, :dimension) AS n) AS v
    WHERE i.bucket = 'grown' AND i.phash BETWEEN :first AND :last
""")


def catalog_size(site: Site, *, sizes: Sequence[int]) -> Iterator[Found]:
    """Images/s written by one connection, HNSW in place, and queries/s of one connection."""
    writes, queries = [], []
    with site.database() as url:
        engine = db.connect(url, name="bench")
        with transaction(engine) as connection:
            spec = SpaceSpec(model="bench", revision="1", preprocessing="bench", dimension=DIMENSION)
            space = catalog.spaces.ensure(connection, spec)
        for before, size in itertools.pairwise((0, *sizes)):
            _grow(engine, space.id, before + 1, size)
            writes.append((float(size), BATCH / seconds(_writing(engine, space.id), 12)))
            queries.append((float(size), 1 / seconds(_asking(engine, space), 40)))
        engine.dispose()
    yield Plot(
        name="catalog",
        title="The catalog against its size (512 dimensions, HNSW)",
        x="images in the catalog",
        y="a second",
        lines={"images written": writes, "searches": queries},
    )


def _grow(engine: Engine, space: int, first: int, last: int) -> None:
    """As a bulk fill does it: without the index, which is built at the end."""
    index = f"embeddings_{space}_hnsw"
    with transaction(engine) as connection:
        definition = connection.execute(
            text("SELECT pg_get_indexdef(CAST(:index AS regclass))"), {"index": index}
        ).scalar_one()
        connection.execute(text(f"DROP INDEX {index}"))
    for start in range(first, last + 1, _STEP):
        part = {"first": start, "last": min(start + _STEP - 1, last)}
        with transaction(engine) as connection:
            connection.execute(_IMAGES, part)
            connection.execute(_VECTORS, part | {"space": space, "dimension": DIMENSION})
    with transaction(engine) as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL maintenance_work_mem = '3GB'"))
        connection.execute(text(definition))


def _writing(engine: Engine, space: int) -> Callable[[], None]:
    fresh = itertools.count(int(np.random.default_rng().integers(1 << 40)))

    def write() -> None:
        with transaction(engine) as connection:
            catalog.write.save_images(connection, space_id=space, images=[image(next(fresh)) for _ in range(BATCH)])

    return write


def _asking(engine: Engine, space: Space) -> Callable[[], None]:
    rng = np.random.default_rng(0)

    def ask() -> None:
        vector = rng.standard_normal(DIMENSION).astype(np.float32)
        with engine.connect() as connection:
            assert catalog.search.nearest(connection, space, vector / np.linalg.norm(vector), limit=20)

    return ask
