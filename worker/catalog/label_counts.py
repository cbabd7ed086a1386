"""How many images have each label now, with bounded work however large the catalog is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.catalog.in_force import REJECTED, by_people, in_force
from worker.db import Connection

#: Up to this many rows of tags are counted exactly; of more, this many on randomly drawn pages.
COUNTED = 1_000_000
#: Up to this many images of a bucket or prefix are looked up one by one.
_FEW = 100_000

# A table that was never analysed has some 100 bytes for a row.
_ROWS = text("""
    SELECT CASE WHEN reltuples < 0 THEN pg_relation_size(oid) / 100 ELSE reltuples END
    FROM pg_class WHERE oid = to_regclass('tags')
""")
# Otherwise all rows are sorted, on disk, before they are counted, which takes several times as long.
_BY_HASH = text("SELECT set_config('enable_sort', 'off', true)")
_OF_BUCKET = "SELECT i.id FROM images i WHERE i.bucket = :bucket"
_OF_PREFIX = f"{_OF_BUCKET} AND starts_with(i.key, :prefix)"
# Images of which people rejected all that the model says: the taxonomy applies, and none of its labels is in force.
_LEFT_WITHOUT = f"""
    SELECT t.taxonomy, count(DISTINCT t.image_id) FROM tags t WHERE t.space_id IS NULL AND t.source = '{REJECTED}'
    AND EXISTS (SELECT FROM tags m WHERE m.image_id = t.image_id AND m.space_id = :space AND m.taxonomy = t.taxonomy)
    AND NOT EXISTS (
        SELECT FROM tags o
        WHERE o.image_id = t.image_id AND o.taxonomy = t.taxonomy AND {in_force("o", space=":space")})
"""  # noqa: S608  # made of this package's texts
_GROUPED = "true GROUP BY t.taxonomy"


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCount:
    """Images that have a label."""

    taxonomy: str
    label: str | None  # None: the taxonomy abstains, or people rejected what the model says
    images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCounts:
    """By taxonomy, and within it most images first."""

    counts: tuple[LabelCount, ...]
    exact: bool  # False: estimated from a sample


def label_counts(
    connection: Connection,
    space: int | None,
    *,
    taxonomies: Sequence[str] = (),
    bucket: str | None = None,
    prefix: str | None = None,
    source: str | None = None,
) -> LabelCounts:
    """Count the tags that hold now: of the active space, or of people.

    Args:
        connection: an open one.
        space: the active space; None: nothing was ever embedded.
        taxonomies: only these; none: all.
        bucket: only its images.
        prefix: of the key, with ``bucket``.
        source: only tags that were decided so.
    """
    among = ["t.taxonomy = ANY(:taxonomies)"] if taxonomies else []
    images = _OF_PREFIX if prefix else _OF_BUCKET
    given: dict[str, object] = {
        "space": space,
        "taxonomies": list(taxonomies),
        "bucket": bucket,
        "prefix": prefix,
        "source": source,
    }
    few = bucket is not None and _are_few(connection, images, given)
    share = 1.0 if few else min(1.0, COUNTED / max(float(connection.execute(_ROWS).scalar_one()), 1.0))
    if bucket is not None:
        among.append(f"t.image_id = ANY(ARRAY({images}))" if few else f"t.image_id IN ({images})")
    where = [in_force("t", space=":space"), *([_of_source(source)] if source else []), *among]
    sample = "" if share == 1.0 else f"TABLESAMPLE SYSTEM ({100 * share:.6f}) REPEATABLE (0)"
    query = f"""
        SELECT t.taxonomy, t.label, count(*) AS images FROM tags t {sample}
        WHERE {" AND ".join(where)} GROUP BY t.taxonomy, t.label
    """  # noqa: S608  # made of this module's texts; values are bound
    connection.execute(_BY_HASH)
    rows = connection.execute(text(query), given)
    found = {(row.taxonomy, row.label): round(row.images / share) for row in rows}
    if source is None:
        for taxonomy, left in connection.execute(text(" AND ".join([_LEFT_WITHOUT, *among, _GROUPED])), given):
            found[taxonomy, None] = found.get((taxonomy, None), 0) + left
    counts = [LabelCount(taxonomy=taxonomy, label=label, images=count) for (taxonomy, label), count in found.items()]
    counts.sort(key=lambda each: (each.taxonomy, -each.images, each.label or ""))
    return LabelCounts(counts=tuple(counts), exact=share == 1.0)


def _of_source(source: str) -> str:
    return by_people("t") if source == "human" else "t.source = :source"


def _are_few(connection: Connection, images: str, given: dict[str, object]) -> bool:
    query = f"SELECT count(*) FROM ({images} LIMIT {_FEW + 1}) AS found"  # noqa: S608
    return int(connection.execute(text(query), given).scalar_one()) <= _FEW
