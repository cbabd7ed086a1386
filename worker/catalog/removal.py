"""Removes images from the catalog, and keeps people's decisions about those that may come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection, storable
from worker.types import ObjectRef

# A statement of its own, so that the next one sees what was tagged until the lock was had.
_LOCK = text("""
    SELECT i.id, i.bucket, i.key, g.refused
    FROM images i
    JOIN unnest(CAST(:buckets AS text[]), CAST(:keys AS text[]), CAST(:refused AS boolean[]), CAST(:unless AS text[]))
        AS g (bucket, key, refused, unless) ON i.bucket = g.bucket AND i.key = g.key
    WHERE i.etag IS DISTINCT FROM g.unless
    ORDER BY i.bucket, i.key FOR UPDATE OF i
""")
_SET_ASIDE = text("""
    INSERT INTO tags_set_aside (bucket, key, sha256, taxonomy, taxonomy_version, label, decided_at)
    SELECT i.bucket, i.key, i.sha256, t.taxonomy, t.taxonomy_version, t.label, t.decided_at
    FROM images i JOIN tags t ON t.image_id = i.id AND t.source = 'human'
    WHERE i.id = ANY(CAST(:ids AS bigint[]))
    ON CONFLICT (bucket, key, sha256, taxonomy, label) DO UPDATE SET
        taxonomy_version = excluded.taxonomy_version, decided_at = excluded.decided_at
""")
_REMOVE = text("DELETE FROM images WHERE id = ANY(CAST(:ids AS bigint[]))")
_FORGET = text("""
    DELETE FROM tags_set_aside s USING unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS g (bucket, key)
    WHERE s.bucket = g.bucket AND s.key = g.key
""")
_BRING_BACK = text("""
    WITH back AS (
        DELETE FROM tags_set_aside s USING images i
        WHERE i.id = ANY(CAST(:ids AS bigint[])) AND s.bucket = i.bucket AND s.key = i.key
          AND (s.sha256 = i.sha256 OR s.sha256 IS NULL)
        RETURNING i.id, s.taxonomy, s.taxonomy_version, s.label, s.decided_at
    )
    INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source, decided_at)
    SELECT id, taxonomy, taxonomy_version, label, 'human', decided_at FROM back
    ON CONFLICT (image_id, space_id, taxonomy, label) DO NOTHING
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """An image whose catalog entry is no longer true."""

    ref: ObjectRef
    refused: bool = False  # the object exists but cannot be enriched now: people's decisions may apply again
    unless: str | None = None  # an etag: an entry for these bytes is true and stays


def remove(connection: Connection, removals: Sequence[Removal]) -> frozenset[ObjectRef]:
    """Delete images with their vectors and tags; tags by people only if the object is gone.

    Returns:
        Those that were in the catalog, and are no longer.
    """
    if not removals:
        return frozenset()
    columns = {
        **_names(removals),
        "refused": [each.refused for each in removals],
        "unless": [storable(each.unless) if each.unless is not None else None for each in removals],
    }
    rows = connection.execute(_LOCK, columns).all()
    if refused := [row.id for row in rows if row.refused]:
        connection.execute(_SET_ASIDE, {"ids": refused})
    if rows:
        connection.execute(_REMOVE, {"ids": [row.id for row in rows]})
    if gone := [each for each in removals if not each.refused]:
        connection.execute(_FORGET, _names(gone))
    return frozenset(ObjectRef(bucket=row.bucket, key=row.key) for row in rows)


def restore(connection: Connection, image_ids: Sequence[int]) -> None:
    """Restore tags that people had given to exactly these bytes under the same key."""
    connection.execute(_BRING_BACK, {"ids": list(image_ids)})


def _names(removals: Sequence[Removal]) -> dict[str, list[object]]:
    return {"buckets": [each.ref.bucket for each in removals], "keys": [each.ref.key for each in removals]}
