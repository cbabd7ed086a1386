"""Names of images in the catalog."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import text

from worker.db import Connection, storable
from worker.types import ObjectRef

_EXISTING = text("""
    SELECT i.bucket, i.key FROM images i
    JOIN unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
        ON i.bucket = r.bucket COLLATE "C" AND i.key = r.key COLLATE "C"
""")
_HASHES = text("""
    SELECT i.bucket, i.key, encode(i.sha256, 'hex') AS sha256 FROM images i
    JOIN unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
        ON i.bucket = r.bucket COLLATE "C" AND i.key = r.key COLLATE "C"
""")
# '/' follows '.': the range holds the keys that go on with a dot.
_EXTENDED = text("""
    SELECT r.bucket, r.key AS stem, i.key
    FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
    CROSS JOIN LATERAL (
        SELECT key FROM images WHERE bucket = r.bucket COLLATE "C"
            AND key > (r.key || '.') COLLATE "C" AND key < (r.key || '/') COLLATE "C"
            AND substr(key, length(r.key) + 2) !~ '[./]'
        ORDER BY key LIMIT 2) AS i
""")

_BY_ID = text("""
    SELECT id, bucket, key, encode(sha256, 'hex') AS sha256 FROM images WHERE id = ANY(CAST(:ids AS bigint[]))
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedImage:
    """Where an image is, and which bytes the catalog describes."""

    ref: ObjectRef
    sha256: str  # hex


def by_id(connection: Connection, images: Iterable[int]) -> dict[int, NamedImage]:
    """The names of images; those that are gone are left out."""
    rows = connection.execute(_BY_ID, {"ids": list(images)})
    return {row.id: NamedImage(ref=ObjectRef(bucket=row.bucket, key=row.key), sha256=row.sha256) for row in rows}


def existing(connection: Connection, refs: Collection[ObjectRef]) -> set[ObjectRef]:
    """Those that are images in the catalog."""
    return {ObjectRef(bucket=row.bucket, key=row.key) for row in connection.execute(_EXISTING, _names(refs))}


def hashes(connection: Connection, refs: Collection[ObjectRef]) -> dict[ObjectRef, str]:
    """SHA-256, as hex digits, of the bytes that the catalog describes; images that it does not have are left out."""
    rows = connection.execute(_HASHES, _names(refs))
    return {ObjectRef(bucket=row.bucket, key=row.key): row.sha256 for row in rows}


def extended(connection: Connection, stems: Collection[ObjectRef]) -> dict[ObjectRef, list[ObjectRef]]:
    """Key without extension → the images that have it, two of them at most."""
    found: dict[ObjectRef, list[ObjectRef]] = {}
    for row in connection.execute(_EXTENDED, _names(stems)):
        stem = ObjectRef(bucket=row.bucket, key=row.stem)
        found.setdefault(stem, []).append(ObjectRef(bucket=row.bucket, key=row.key))
    return found


def _names(refs: Collection[ObjectRef]) -> dict[str, list[str]]:
    return {"buckets": [storable(ref.bucket) for ref in refs], "keys": [storable(ref.key) for ref in refs]}
