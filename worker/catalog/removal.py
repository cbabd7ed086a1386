"""Removes images from the catalog. What people decided about their bytes stays, for when these come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection, storable
from worker.types import ObjectRef

_LOCK = text("""
    SELECT i.id, i.bucket, i.key FROM images i
    JOIN unnest(CAST(:buckets AS text[]), CAST(:keys AS text[]), CAST(:unless AS text[])) AS g (bucket, key, unless)
        ON i.bucket = g.bucket AND i.key = g.key
    WHERE i.etag IS DISTINCT FROM g.unless
    ORDER BY i.bucket, i.key FOR UPDATE OF i
""")
_REMOVE = text("DELETE FROM images WHERE id = ANY(CAST(:ids AS bigint[]))")


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """An image whose catalog entry is no longer true."""

    ref: ObjectRef
    unless: str | None = None  # an etag: an entry for these bytes is true and stays


def remove(connection: Connection, removals: Sequence[Removal]) -> frozenset[ObjectRef]:
    """Delete images with their vectors and tags.

    Returns:
        Those that were in the catalog, and are no longer.
    """
    if not removals:
        return frozenset()
    columns = {
        "buckets": [each.ref.bucket for each in removals],
        "keys": [each.ref.key for each in removals],
        "unless": [storable(each.unless) if each.unless is not None else None for each in removals],
    }
    rows = connection.execute(_LOCK, columns).all()
    if rows:
        connection.execute(_REMOVE, {"ids": [row.id for row in rows]})
    return frozenset(ObjectRef(bucket=row.bucket, key=row.key) for row in rows)
