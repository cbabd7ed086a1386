"""Compares the decisions of two spaces about the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.catalog.in_force import applied
from worker.catalog.spaces import Space
from worker.db import Connection

#: Images examined per requested one: not all of them have a vector in both spaces.
_OVERSAMPLED = 20
_ESTIMATE = text("SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = 'images'::regclass")
# Of small catalogs all images are looked at; of large ones some pages, always the same.
_SAMPLE = """
    SELECT i.id FROM images i {tablesample}
    WHERE EXISTS (SELECT FROM embeddings e WHERE e.space_id = :a AND e.image_id = i.id)
      AND EXISTS (SELECT FROM embeddings e WHERE e.space_id = :b AND e.image_id = i.id)
    ORDER BY hashint8(i.id), i.id LIMIT :limit
"""
_LABELS = f"""
    SELECT image_id, taxonomy,
           coalesce(array_agg(label ORDER BY label) FILTER (WHERE label IS NOT NULL), '{{{{}}}}') AS labels
    FROM tags t WHERE {applied("t")} AND {{which}} GROUP BY image_id, taxonomy
"""  # noqa: S608  # made of this package's texts
_BOTH = f"""
    WITH a AS ({_LABELS.format(which="space_id = :a AND image_id = ANY(CAST(:ids AS bigint[]))")}),
         b AS ({_LABELS.format(which="space_id = :b AND image_id = ANY(CAST(:ids AS bigint[]))")})
"""  # constants
_PAIRS = text(f"""
    {_BOTH}
    SELECT taxonomy, a.labels AS a, b.labels AS b, count(*) AS images, min(i.bucket || '/' || i.key) AS example
    FROM a JOIN b USING (image_id, taxonomy) JOIN images i ON i.id = image_id
    GROUP BY taxonomy, a.labels, b.labels ORDER BY taxonomy, images DESC, example
""")  # noqa: S608
_JUDGED = text(f"""
    WITH judged AS (SELECT DISTINCT image_id FROM tags WHERE source = 'human' LIMIT :limit),
         a AS ({_LABELS.format(which="space_id = :a AND image_id IN (SELECT image_id FROM judged)")}),
         b AS ({_LABELS.format(which="space_id = :b AND image_id IN (SELECT image_id FROM judged)")}),
         h AS ({_LABELS.format(which="source = 'human' AND image_id IN (SELECT image_id FROM judged)")})
    SELECT taxonomy, count(*) AS images,
           count(*) FILTER (WHERE a.labels = h.labels) AS a_right,
           count(*) FILTER (WHERE b.labels = h.labels) AS b_right,
           count(*) FILTER (WHERE a.labels = '{{}}') AS a_abstained,
           count(*) FILTER (WHERE b.labels = '{{}}') AS b_abstained
    FROM h JOIN a USING (image_id, taxonomy) JOIN b USING (image_id, taxonomy)
    GROUP BY taxonomy ORDER BY taxonomy
""")  # noqa: S608
_EFFORT = text(
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', '200', true)"
)
_MOST_JUDGED = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelPair:
    """What two spaces decided in one taxonomy, and about how many images of the sample."""

    taxonomy: str
    a: tuple[str, ...]  # sorted; empty: none of these
    b: tuple[str, ...]
    images: int
    example: str  # BUCKET/KEY of one of them


@dataclass(frozen=True, kw_only=True, slots=True)
class HumanAgreement:
    """How two spaces do on the images that people have labelled in one taxonomy."""

    taxonomy: str
    images: int
    a_right: int
    b_right: int
    a_abstained: int
    b_abstained: int


def common_sample(connection: Connection, a: int, b: int, *, limit: int) -> list[int]:
    """Images with a vector in both spaces: all, or ``limit`` of them, the same at every call."""
    rows = float(connection.execute(_ESTIMATE).scalar_one())
    percent = 100 * limit * _OVERSAMPLED / max(rows, 1)
    some = "" if percent >= 100 else f"TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (0)"  # noqa: PLR2004  # per cent
    query = text(_SAMPLE.format(tablesample=some))
    return list(connection.execute(query, {"a": a, "b": b, "limit": limit}).scalars())


def label_pairs(connection: Connection, a: int, b: int, images: Sequence[int]) -> list[LabelPair]:
    """Decisions of both spaces about these images, by taxonomy, most frequent first."""
    rows = connection.execute(_PAIRS, {"a": a, "b": b, "ids": list(images)})
    return [
        LabelPair(taxonomy=row.taxonomy, a=tuple(row.a), b=tuple(row.b), images=row.images, example=row.example)
        for row in rows
    ]


def human_agreement(connection: Connection, a: int, b: int) -> list[HumanAgreement]:
    """Both spaces against people's labels, by taxonomy."""
    rows = connection.execute(_JUDGED, {"a": a, "b": b, "limit": _MOST_JUDGED})
    return [HumanAgreement(**row._mapping) for row in rows]  # noqa: SLF001  # Row's public mapping view


def neighbours(connection: Connection, space: Space, image: int, *, k: int) -> list[int]:
    """The ``k`` images whose vectors are closest to that of an image, excluding itself, best first."""
    connection.execute(_EFFORT)
    # The partition's name and the cast are spelled out so that its expression index is used; both are integers.
    cast = f"vector::halfvec({space.dimension})"
    query = f"""
        SELECT image_id FROM embeddings_{space.id}
        ORDER BY {cast} <#> (SELECT {cast} FROM embeddings_{space.id} WHERE image_id = :image) LIMIT :k + 1
    """  # noqa: S608
    found = connection.execute(text(query), {"image": image, "k": k}).scalars()
    return [each for each in found if each != image][:k]
