"""Nearest images to a vector, within one space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.catalog.spaces import Space
from worker.catalog.write import literal
from worker.db import Connection
from worker.types import Floats

# HNSW filters after the scan; iterative scans go on until enough rows have passed the filter (pgvector 0.8).
_ITERATE = text(
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', :ef, true)"
)
_MINIMUM_EF, _MAXIMUM_EF = 40, 1_000

# Up to this many candidates are compared one by one: exact, and quicker than following the index past all that the
# filter drops.
_FEW = 10_000
_AT_MOST = text("""
    SELECT count(*) FROM (
        SELECT FROM tags WHERE taxonomy = :taxonomy AND label = :label LIMIT :most
    ) AS candidates
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class TagFilter:
    """Only images to which this tag applies now."""

    taxonomy: str
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One result of a search."""

    bucket: str
    key: str
    similarity: float  # cosine, -1..1
    tags: dict[str, str | list[str]]  # taxonomy → label; a list where the taxonomy can give several


def nearest(
    connection: Connection, space: Space, vector: Floats, *, limit: int, tags: Sequence[TagFilter] = ()
) -> list[Hit]:
    """The images whose vectors are closest to ``vector`` ([d], unit length) in ``space``, best first.

    All of ``tags`` must hold. Tags are those of the ``image_tags`` view: the active space's, and people's.
    """
    iterate(connection, limit)
    parameters: dict[str, object] = {"vector": literal(vector), "limit": limit}
    for number, tag in enumerate(tags):
        parameters |= {f"taxonomy{number}": tag.taxonomy, f"label{number}": tag.label}
    if any(_is_rare(connection, tag) for tag in tags):
        return _hits(connection, _exact(space, len(tags)), parameters)
    hits = _hits(connection, _by_index(space, len(tags)), parameters)
    # The index gives up after hnsw.max_scan_tuples: what the filter lets through may all lie behind that.
    return _hits(connection, _exact(space, len(tags)), parameters) if tags and len(hits) < limit else hits


def iterate(connection: Connection, limit: int) -> None:
    """Have index scans of this transaction go on until ``limit`` rows have passed their filter."""
    ef = min(max(limit, _MINIMUM_EF), _MAXIMUM_EF)
    connection.execute(_ITERATE, {"ef": str(ef)})


def _is_rare(connection: Connection, tag: TagFilter) -> bool:
    candidates = {"taxonomy": tag.taxonomy, "label": tag.label, "most": _FEW + 1}
    return bool(connection.execute(_AT_MOST, candidates).scalar_one() <= _FEW)


def _hits(connection: Connection, query: str, parameters: Mapping[str, object]) -> list[Hit]:
    rows = connection.execute(text(query), parameters)
    return [Hit(bucket=r.bucket, key=r.key, similarity=r.similarity, tags=r.tags) for r in rows]


def _by_index(space: Space, tags: int) -> str:
    """In the index's order, each image checked by itself. OFFSET keeps the check from becoming a join, which is planned
    as if what passes lay evenly in that order, and compares everything with everything where it does not.
    """
    check = (
        " AND EXISTS (SELECT FROM image_tags f WHERE f.image_id = e.image_id"
        " AND f.taxonomy = :taxonomy{0} AND f.label = :label{0} OFFSET 0)"
    )
    return _query(space, "".join(map(check.format, range(tags))), order=_distance(space))


def _exact(space: Space, tags: int) -> str:
    """All that pass, sorted: an expression that is not the index's keeps the index out."""
    check = (
        " AND e.image_id IN (SELECT f.image_id FROM image_tags f"
        " WHERE f.taxonomy = :taxonomy{0} AND f.label = :label{0})"
    )
    return _query(space, "".join(map(check.format, range(tags))), order=f"{_distance(space)} + 0")


def _distance(space: Space) -> str:
    # The partition's name and the cast are spelled out so that its expression index is used; both are integers.
    return f"(e.vector::halfvec({space.dimension}) <#> CAST(:vector AS halfvec({space.dimension})))"


def _query(space: Space, conditions: str, *, order: str) -> str:
    return f"""
        SELECT i.bucket, i.key, n.similarity, i.tags
        FROM (SELECT e.image_id, -{_distance(space)} AS similarity FROM embeddings_{space.id} e
              WHERE true {conditions} ORDER BY {order} LIMIT :limit) AS n
        JOIN enriched_images i ON i.image_id = n.image_id
        ORDER BY n.similarity DESC, i.image_id
    """  # noqa: S608  # integers and the texts above
