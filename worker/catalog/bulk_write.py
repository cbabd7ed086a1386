"""Writes the changes of a retagging: one COPY and one statement for thousands of tags."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.catalog.in_force import applied, hidden
from worker.db import Connection
from worker.types import ObjectRef

# A worker that writes an image now is not waited for, since that could end in a deadlock; it writes newer tags anyway.
_LOCK = text("""
    SELECT id FROM images WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")
_UNCHANGED = text("""
    SELECT e.image_id FROM unnest(CAST(:ids AS bigint[]), CAST(:written AS bigint[])) AS b (id, written)
    JOIN embeddings e ON e.space_id = :space AND e.image_id = b.id
    WHERE CAST(CAST(e.xmin AS text) AS bigint) = b.written
""")
_TABLE = text("""
    CREATE TEMPORARY TABLE IF NOT EXISTS retagged (
        kind text, tag bigint, image bigint, taxonomy text, version text, label text, score real, probability real,
        source text
    ) ON COMMIT DELETE ROWS
""")
_COPY = "COPY retagged (kind, tag, image, taxonomy, version, label, score, probability, source) FROM STDIN"
# The statement below joins by key what is in the table, provided that the planner knows how little that is.
_ANALYZE = text("ANALYZE retagged")
# What a person decided hides the model's answers, until it is withdrawn. Rows that are "shown" stay, and become a label
# that readers see, or stop being one.
_WRITE = text(f"""
    WITH gone AS (
        DELETE FROM tags t USING retagged r
        WHERE r.kind = 'gone' AND t.id = r.tag AND t.space_id = :space
        RETURNING t.image_id, t.taxonomy, t.label, t.source
    ), kept AS (
        UPDATE tags t SET taxonomy_version = r.version, score = r.score, probability = r.probability,
                          source = r.source, decided_at = now()
        FROM retagged r WHERE r.kind IN ('kept', 'shown') AND t.id = r.tag AND t.space_id = :space
    ), come AS (
        INSERT INTO tags (image_id, space_id, taxonomy, taxonomy_version, label, score, probability, source)
        SELECT r.image, :space, r.taxonomy, r.version, r.label, r.score, r.probability, r.source
        FROM retagged r WHERE r.kind = 'come'
        ON CONFLICT (image_id, space_id, taxonomy, label) DO UPDATE SET
            taxonomy_version = excluded.taxonomy_version, score = excluded.score,
            probability = excluded.probability, source = excluded.source, decided_at = now()
        RETURNING image_id, taxonomy, label, source, xmax = 0 AS is_new
    ), seen AS (
        SELECT image_id, taxonomy, label FROM gone g WHERE label IS NOT NULL AND {applied("g")}
        UNION SELECT image_id, taxonomy, label FROM come c WHERE label IS NOT NULL AND is_new AND {applied("c")}
        UNION SELECT t.image_id, t.taxonomy, t.label FROM retagged r JOIN tags t ON t.id = r.tag AND t.space_id = :space
              WHERE r.kind = 'shown' AND t.label IS NOT NULL
    )
    SELECT i.bucket, i.key, i.etag, bool_and({hidden("s.image_id", "s.taxonomy", "s.label")}) AS hidden
    FROM seen s JOIN images i ON i.id = s.image_id GROUP BY i.id ORDER BY i.bucket, i.key
""")  # noqa: S608  # made of this package's texts
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptTag:
    """A tag that stays, updated to another version."""

    id: int
    version: str
    score: float
    probability: float
    source: str
    turns: bool  # between a tag and a suggestion


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTag:
    """A new tag."""

    image: int
    taxonomy: str
    version: str
    label: str | None
    score: float
    probability: float
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTagChange:
    """An image that gained or lost a label."""

    ref: ObjectRef
    etag: str
    hidden: bool  # by people's decisions: readers see the same labels as before


def lock_unchanged(connection: Connection, space: int, images: Sequence[int], written: Sequence[int]) -> frozenset[int]:
    """Lock images whose vectors are still those that were read; the others must be read again.

    Args:
        connection: in a transaction that holds its revision, and is READ COMMITTED.
        space: whose vectors.
        images: their numbers.
        written: the transaction that wrote each one's vector, as ``Block`` has it.
    """
    free = frozenset(connection.execute(_LOCK, {"ids": list(images)}).scalars())
    found = connection.execute(_UNCHANGED, {"space": space, "ids": list(images), "written": list(written)}).scalars()
    return free & frozenset(found)


def write_differences(
    connection: Connection, space: int, *, gone: Iterable[int], kept: Iterable[KeptTag], come: Iterable[NewTag]
) -> list[ImageTagChange]:
    """Delete, update and insert a model's tags in one space; tags of people are not touched.

    Returns:
        The images of which a label came or went, each once; a suggestion is not a label.
    """
    connection.execute(_TABLE)
    lines = io.StringIO("".join(_lines(gone, kept, come)))
    connection.connection.cursor().copy_expert(_COPY, lines)
    connection.execute(_ANALYZE)
    rows = connection.execute(_WRITE, {"space": space})
    return [
        ImageTagChange(ref=ObjectRef(bucket=row.bucket, key=row.key), etag=row.etag, hidden=row.hidden) for row in rows
    ]


def _lines(gone: Iterable[int], kept: Iterable[KeptTag], come: Iterable[NewTag]) -> Iterator[str]:
    # Nine digits tell any two numbers of single precision apart.
    for id_ in gone:
        yield f"gone\t{id_}" + "\t\\N" * 7 + "\n"
    for old in kept:
        kind, numbers = "shown" if old.turns else "kept", f"{old.score:.9g}\t{old.probability:.9g}"
        yield f"{kind}\t{old.id}\t\\N\t\\N\t{old.version}\t\\N\t{numbers}\t{old.source}\n"
    for new in come:
        label = "\\N" if new.label is None else new.label.translate(_ESCAPES)
        numbers = f"{new.score:.9g}\t{new.probability:.9g}"
        yield f"come\t\\N\t{new.image}\t{new.taxonomy}\t{new.version}\t{label}\t{numbers}\t{new.source}\n"
