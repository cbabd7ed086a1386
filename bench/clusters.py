"""A catalog of clustered vectors and its tags, as an archive of photos has them: made once, kept, and used again."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from worker import catalog, db
from worker.catalog.image_filter import TagFilter
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.local.ports import PortPlan, free_port_base
from worker.local.stack import LocalStack, Part
from worker.types import Floats, SpaceSpec

DIMENSION = 512
_TOPICS, _CLUSTERS = 60, 1_500
_STEP = 50_000
#: Shares of the images that have a tag.
SHARES = (0.5, 0.1, 0.01, 0.001)
#: Tags of what is nearest to the middle of a topic, as zero-shot tagging gives them, and of images drawn by lot.
NEAR, BY_LOT = ("near-a", "near-b"), "by-lot"

_IMAGES = text("""
    INSERT INTO images
        (bucket, key, etag, size, width, height, format, mode, frames, orientation, sha256, phash, hinted_at)
    SELECT 'clustered', n::text, 'e', 66000, 640, 480, 'JPEG', 'RGB', 1, 1, sha256(n::text::bytea), n, now()
    FROM generate_series(CAST(:first AS int), :last) AS n
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Clustered:
    """A catalog that is there: image ``n`` has row ``n - 1`` of the vectors."""

    engine: Engine
    space: Space
    vectors: Any  # [n, d] of float16, as they are stored; read from a file as needed
    tagged: dict[tuple[str, float], Any]  # (taxonomy, share) → which rows have the tag, sorted
    scores: dict[str, Floats]  # taxonomy → similarity of each row to the middle of its topic


@contextmanager
def clustered(folder: Path, *, images: int, indexed: bool = True) -> Iterator[Clustered]:
    """The catalog under a folder, which is filled the first time; without the vectors' index if nothing searches."""
    home = folder / f"{'clustered' if indexed else 'not-indexed'}-{images}"
    _with_memory(home)
    vectors, scores = _vectors(home, images)
    tagged = _tagged(scores, images)
    with _database(home) as engine:
        with transaction(engine) as connection:
            spec = SpaceSpec(model="bench", revision="1", preprocessing="bench", dimension=DIMENSION)
            space = catalog.spaces.ensure(connection, spec)
        if not (home / "filled").exists():
            _fill(engine, space, vectors, tagged, indexed=indexed)
            (home / "filled").touch()
        yield Clustered(engine=engine, space=space, vectors=vectors, tagged=tagged, scores=scores)


def label(share: float) -> str:
    """What a tag of that share of the images is called."""
    return f"share-{share:g}"


def tag(taxonomy: str, share: float) -> TagFilter:
    """A filter by it."""
    return TagFilter(taxonomy=taxonomy, label=label(share))


def noise(rng: np.random.Generator, count: int) -> Floats:
    """``[count, d]``: directions as pictures vary, of which few matter much; length about one."""
    spectrum = np.arange(1, DIMENSION + 1, dtype=np.float32) ** -0.45
    spectrum /= np.linalg.norm(spectrum)
    turned = rng.standard_normal((count, DIMENSION), dtype=np.float32) * spectrum
    return turned @ _rotation()


def unit(vectors: Floats) -> Floats:
    """Rows of length one."""
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


_turned: list[Floats] = []


def _rotation() -> Floats:
    if not _turned:
        square = np.random.default_rng(99).standard_normal((DIMENSION, DIMENSION)).astype(np.float32)
        _turned.append(np.linalg.qr(square)[0].astype(np.float32))
    return _turned[0]


def _vectors(home: Path, images: int) -> tuple[Any, dict[str, Floats]]:
    """Clusters of very different sizes within topics, around a common middle, in the order of a drawn lot."""
    file = home / "vectors.npy"
    rng = np.random.default_rng(5)
    topics = noise(rng, _TOPICS)
    clusters = 0.7 * topics[rng.integers(_TOPICS, size=_CLUSTERS)] + 0.7 * noise(rng, _CLUSTERS)
    sizes = (np.arange(_CLUSTERS) + 20.0) ** -0.8
    middle = 0.6 * noise(rng, 1)
    anchors = {name: unit(topics[n] + middle[0]) for n, name in enumerate(NEAR)}
    if not file.exists():
        made = np.lib.format.open_memmap(file, "w+", np.float16, (images, DIMENSION))
        for first in range(0, images, _STEP):
            count = min(_STEP, images - first)
            of = rng.choice(_CLUSTERS, size=count, p=sizes / sizes.sum())
            made[first : first + count] = unit(middle + clusters[of] + 0.8 * noise(rng, count))
        made.flush()
    vectors = np.load(file, mmap_mode="r")
    scores = {name: np.concatenate([part @ anchor for part in _parts(vectors)]) for name, anchor in anchors.items()}
    return vectors, scores


def _parts(vectors: Any) -> Iterator[Floats]:
    for first in range(0, len(vectors), _STEP):
        yield np.asarray(vectors[first : first + _STEP], dtype=np.float32)


def _tagged(scores: dict[str, Floats], images: int) -> dict[tuple[str, float], Any]:
    scores = {**scores, BY_LOT: np.random.default_rng(6).random(images, dtype=np.float32)}
    return {
        (name, share): np.sort(np.argpartition(-score, int(share * images) - 1)[: int(share * images)])
        for name, score in scores.items()
        for share in SHARES
    }


def _fill(engine: Engine, space: Space, vectors: Any, tagged: dict[tuple[str, float], Any], *, indexed: bool) -> None:
    index = f"embeddings_{space.id}_hnsw"
    with transaction(engine) as connection:
        _unlimited(connection)
        connection.execute(text("TRUNCATE images, embeddings, tags RESTART IDENTITY CASCADE"))
        definition = connection.execute(
            text("SELECT pg_get_indexdef(CAST(:index AS regclass))"), {"index": index}
        ).scalar_one()
        connection.execute(text(f"DROP INDEX {index}"))
        for first in range(0, len(vectors), _STEP):
            last = min(first + _STEP, len(vectors))
            connection.execute(_IMAGES, {"first": first + 1, "last": last})
            _copy(
                connection,
                f"COPY embeddings_{space.id} (space_id, image_id, vector) FROM STDIN (FORMAT binary)",
                _binary(space.id, first + 1, vectors[first:last]),
            )
            _say(f"{last:,} vectors written")
        for (taxonomy, share), rows in tagged.items():
            lines = "".join(f"{n + 1}\t{space.id}\t{taxonomy}\tv\t{label(share)}\tzero-shot\n" for n in rows.tolist())
            columns = "image_id, space_id, taxonomy, taxonomy_version, label, source"
            _copy(connection, f"COPY tags ({columns}) FROM STDIN", lines.encode())
    if indexed:
        with transaction(engine) as connection:
            _unlimited(connection)
            _say("building the index")
            connection.execute(text("SET LOCAL maintenance_work_mem = '4GB'"))
            connection.execute(text(definition))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE images, embeddings, tags"))
        connection.execute(text("CHECKPOINT"))
        connection.invalidate()


def _binary(space: int, first: int, vectors: Any) -> bytes:
    """Rows as COPY's binary format and halfvec's have them: all of one length."""
    width = 4 + 2 * DIMENSION
    fields = [("fields", ">i2"), ("a", ">i4"), ("space", ">i4"), ("b", ">i4"), ("image", ">i8"), ("c", ">i4")]
    fields += [("dimension", ">i2"), ("unused", ">i2")]
    rows = np.zeros(len(vectors), dtype=[*fields, ("vector", ">f2", (DIMENSION,))])
    rows["fields"], rows["a"], rows["b"], rows["c"] = 3, 4, 8, width
    rows["space"], rows["image"], rows["dimension"] = space, np.arange(first, first + len(vectors)), DIMENSION
    rows["vector"] = vectors
    return b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0) + rows.tobytes() + struct.pack(">h", -1)


def _copy(connection: Any, statement: str, data: bytes) -> None:
    with connection.connection.cursor() as cursor:
        cursor.copy_expert(statement, BytesIO(data))


def _unlimited(connection: Any) -> None:
    connection.execute(text("SET LOCAL statement_timeout = 0"))


# -- its server --------------------------------------------------------------------------------------------------------
def _with_memory(home: Path) -> None:
    """What docs/explanation/scaling.md advises for a million images; it holds from the next start on."""
    if (home / "configured").exists():
        return
    with _database(home) as engine, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name, value in {"shared_buffers": "3GB", "max_wal_size": "8GB", "autovacuum": "off"}.items():
            connection.execute(text(f"ALTER SYSTEM SET {name} = '{value}'"))
    (home / "configured").touch()


@contextmanager
def _database(home: Path) -> Iterator[Engine]:
    home.mkdir(parents=True, exist_ok=True)
    with LocalStack(home, ports=PortPlan(base=free_port_base()), parts=[Part.DATABASE]) as stack:
        engine = db.connect(stack.connection_info().database_url, name="bench")
        catalog.schema.migrate(engine)
        yield engine
        engine.dispose()


def _say(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)
