"""Nearest images to a vector, within one space."""

from __future__ import annotations

from collections.abc import Sequence
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
    tags: dict[str, str]  # taxonomy → label


def nearest(
    connection: Connection, space: Space, vector: Floats, *, limit: int, tags: Sequence[TagFilter] = ()
) -> list[Hit]:
    """The images whose vectors are closest to ``vector`` ([d], unit length) in ``space``, best first.

    All of ``tags`` must hold. Tags are those of the ``image_tags`` view: the active space's, and people's.
    """
    ef = min(max(limit, _MINIMUM_EF), _MAXIMUM_EF)
    connection.execute(_ITERATE, {"ef": str(ef)})
    parameters: dict[str, object] = {"vector": literal(vector), "limit": limit}
    conditions = []
    for number, tag in enumerate(tags):
        conditions.append(
            f" AND EXISTS (SELECT FROM image_tags f WHERE f.image_id = e.image_id"
            f" AND f.taxonomy = :taxonomy{number} AND f.label = :label{number})"
        )
        parameters |= {f"taxonomy{number}": tag.taxonomy, f"label{number}": tag.label}
    rows = connection.execute(text(_query(space, "".join(conditions))), parameters)
    return [Hit(bucket=r.bucket, key=r.key, similarity=r.similarity, tags=r.tags) for r in rows]


def _query(space: Space, conditions: str) -> str:
    # The partition's name and the cast are spelled out so that its expression index is used; both are integers.
    distance = f"(e.vector::halfvec({space.dimension}) <#> CAST(:vector AS halfvec({space.dimension})))"
    return f"""
        SELECT i.bucket, i.key, n.similarity,
               coalesce((SELECT jsonb_object_agg(t.taxonomy, t.label) FROM image_tags t WHERE t.image_id = i.id),
                        '{{}}') AS tags
        FROM (SELECT e.image_id, -{distance} AS similarity FROM embeddings_{space.id} e
              WHERE true {conditions} ORDER BY {distance} LIMIT :limit) AS n
        JOIN images i ON i.id = n.image_id
        ORDER BY n.similarity DESC, i.id
    """  # noqa: S608  # see above
