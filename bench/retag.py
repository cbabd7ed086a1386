"""Retagging from stored vectors: images/s scored and compared, and written, beside doing it image by image.

python -m bench.retag [IMAGES]          (into the database that ENRICH_DATABASE_URL names, which is to be empty)
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import text

from bench.rates import rate
from bench.site import Site
from bench.table import Found, Note, Row
from worker import bootstrap, catalog, db, settings, tagging
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.pipeline.taxonomies import changes, lifecycle, plan
from worker.tagging import Calibration, Tagger, Taxonomy
from worker.types import DEFAULT_SET, Floats, SpaceSpec

_DIMENSION = 512
_BATCH = 10_000
_BY_ROW = 300
_ENCODE_SECONDS = 4.0
_IMAGES = text("""
    INSERT INTO images (bucket, key, etag, size, width, height, format, mode, frames, orientation, sha256, phash,
                        hinted_at)
    SELECT 'bench', lpad(n::text, 9, '0') || '.jpg', 'e', 1, 1, 1, 'JPEG', 'RGB', 1, 1, '\\x00', 0, now()
    FROM generate_series(1, :count) AS n ORDER BY n RETURNING id
""")
_VECTOR = text("SELECT CAST(vector AS real[]) FROM embeddings WHERE space_id = :space AND image_id = :image")
_TAGS = text("SELECT taxonomy, taxonomy_version, label FROM tags WHERE space_id = :space AND image_id = :image")


def encode(texts: Sequence[str]) -> Floats:
    """Directions that depend on the text alone."""
    rows = [np.random.default_rng(abs(hash_of(each))).standard_normal(_DIMENSION) for each in texts]
    return np.array(rows, dtype=np.float32)


def hash_of(value: str) -> int:
    return int.from_bytes(value.encode()[-8:], "big")


def build(space: Space, desired: Sequence[Taxonomy]) -> Tagger:
    return Tagger(desired, encode, logit_scale=100.0, model=space.model)


def fill(engine: Engine, count: int, vectors: Floats | None = None, *, space: Space | None = None) -> Space:
    """Images with these vectors (``[count, d]``), or any; without an index. In a space of 512 dimensions, or this."""
    spec = SpaceSpec(model="bench", revision="1", preprocessing="bench", dimension=_DIMENSION)
    with transaction(engine) as connection:
        space = space or catalog.spaces.ensure(connection, spec)
        connection.execute(text(f"DROP INDEX embeddings_{space.id}_hnsw"))  # it has no part in this
        ids = list(connection.execute(_IMAGES, {"count": count}).scalars())
    random = np.random.default_rng(0)
    for start in range(0, count, _BATCH):
        part = np.array(ids[start : start + _BATCH])
        own = (
            random.standard_normal((len(part), space.dimension)) if vectors is None else vectors[start : start + _BATCH]
        )
        _copy(engine, space, part, own)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE images, embeddings"))
    return space


def _copy(engine: Engine, space: Space, ids: np.ndarray, vectors: np.ndarray) -> None:
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    vector = np.dtype([("dimension", ">i2"), ("unused", ">i2"), ("values", ">f2", (space.dimension,))])
    columns: list[Any] = [("columns", ">i2"), ("l1", ">i4"), ("space", ">i4"), ("l2", ">i4"), ("image", ">i8")]
    rows = np.zeros(len(ids), dtype=np.dtype([*columns, ("l3", ">i4"), ("vector", vector)]))
    rows["columns"], rows["l1"], rows["l2"], rows["l3"] = 3, 4, 8, vector.itemsize
    rows["space"], rows["image"] = space.id, ids
    rows["vector"]["dimension"], rows["vector"]["values"] = space.dimension, vectors
    data = b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff"
    with transaction(engine) as connection:
        cursor: Any = connection.connection.cursor()
        cursor.copy_expert("COPY embeddings (space_id, image_id, vector) FROM STDIN (FORMAT binary)", io.BytesIO(data))


def by_row(engine: Engine, space: Space, tagger: Tagger, count: int) -> None:
    """What a script does: read an image's vector and tags, score, compare."""
    with transaction(engine) as connection:
        ids = catalog.bulk_read.uniform_sample(connection, space.id, size=count)
    for image in ids:
        with transaction(engine) as connection:
            vector = connection.execute(_VECTOR, {"space": space.id, "image": image}).scalar_one()
            stored = {tuple(row) for row in connection.execute(_TAGS, {"space": space.id, "image": image})}
        [tags] = tagger.tag(np.array([vector], dtype=np.float32))
        _ = stored ^ {(tag.taxonomy, tag.version, tag.label) for tag in tags}


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measure(engine: Engine, count: int) -> dict[str, float]:
    shipped = tagging.load_taxonomies()
    surer = [replace(shipped[0], models={}, calibration=Calibration(threshold=0.9)), *shipped[1:]]
    space = fill(engine, count)
    as_shipped, as_changed = (changes.declared(each, own=DEFAULT_SET, remove=True) for each in (shipped, surer))
    first = seconds(lambda: lifecycle.apply(engine, as_shipped, build))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    full = seconds(lambda: plan.plan(engine, as_changed, build, sample=None))
    sample = seconds(lambda: plan.plan(engine, as_changed, build))
    again = seconds(lambda: lifecycle.apply(engine, as_changed, build))
    rows = seconds(lambda: by_row(engine, space, build(space, surer), _BY_ROW))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "images": count,
        "compared": count / full,
        "by row": _BY_ROW / rows,
        "sample seconds": sample,
        "first tagging": count / first,
        "applied": count / again,
        "peak MiB": after / 1024,
        "grown MiB": (after - before) / 1024,
    }


def embedding_rate() -> float:
    """Images/s of our encoder alone, from pictures that are in memory: what retagging saves."""
    chosen = settings.load()
    encoder = bootstrap.encoder(chosen)
    pixels = [encoder.preprocess(Image.new("RGB", (640, 480), (n, 90, 160))) for n in range(chosen.encoder_batch)]

    def encode() -> int:
        encoder.encode_images(pixels)
        return len(pixels)

    return rate(encode, _ENCODE_SECONDS)


def rows(site: Site, *, images: int) -> Iterator[Found]:
    """In a process of its own, so that its memory is nobody else's."""
    with site.database() as url:
        environment = {**os.environ, **site.environment(url), "ENRICH_LOG_LEVEL": "ERROR"}
        command = [sys.executable, "-W", "ignore", "-m", "bench.retag", str(images)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    what = f"plan over {images:,} stored vectors"
    for other, theirs, goal in (
        ("embedding anew, encoder alone", found["embedded"], 300),
        ("image by image", found["by row"], None),
        ("wanted", 20_000, 1),
    ):
        yield Row(what=what, unit="images/s", ours=found["compared"], other=other, theirs=theirs, goal=goal)
    yield Row(
        what="apply, one taxonomy of four edited",
        unit="images/s",
        ours=found["applied"],
        other="embedding anew, encoder alone",
        theirs=found["embedded"],
    )
    yield Note(
        sentence=f"plan and apply over {images:,} images: {found['grown MiB']:.0f} MiB more than before; "
        f"a plan by a sample of {plan.SAMPLE:,}: {found['sample seconds']:.1f} s"
    )


def main() -> None:
    engine = db.connect(settings.load().database_url, name="bench")
    found = measure(engine, int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
    engine.dispose()
    found["embedded"] = embedding_rate()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
