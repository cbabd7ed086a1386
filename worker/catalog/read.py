"""Reads single images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from worker.db import Connection
from worker.types import Floats, ObjectRef

_KNOWN = text("""
    SELECT i.bucket, i.key, i.etag,
           array(SELECT ARRAY[t.taxonomy, t.taxonomy_version, t.label] FROM tags t
                 WHERE t.image_id = i.id AND t.space_id = :space) AS tags
    FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
    JOIN images i ON i.bucket = r.bucket AND i.key = r.key
    JOIN embeddings e ON e.space_id = :space AND e.image_id = i.id
""")
# One probe of the index for each key, whatever the planner knows of the table (OFFSET 0 is the fence).
_HOLDINGS = text("""
    SELECT k.key, i.id, i.etag,
           (SELECT true FROM embeddings e WHERE e.space_id = :space AND e.image_id = i.id) IS NOT NULL AS embedded,
           coalesce((SELECT o.visible_at < 'infinity' FROM owed_vectors o
                     WHERE o.space_id = :space AND o.image_id = i.id), false) AS waits,
           coalesce((SELECT o.visible_at = 'infinity' FROM owed_vectors o
                     WHERE o.space_id = :space AND o.image_id = i.id), false) AS given_up,
           array(SELECT ARRAY[t.taxonomy, t.taxonomy_version, t.label] FROM tags t
                 WHERE t.image_id = i.id AND t.space_id = :space) AS tags
    FROM unnest(CAST(:keys AS text[])) AS k (key)
    CROSS JOIN LATERAL (SELECT id, etag FROM images WHERE bucket = :bucket AND key = k.key COLLATE "C" OFFSET 0) i
""")
#: Of an image ``i``, as :class:`ImageRecord` has them.
COLUMNS = """
    i.bucket, i.key, i.etag, i.version_id, i.size, i.last_modified, i.content_type, i.width, i.height, i.format, i.mode,
    i.frames, i.orientation, i.taken_at, i.taken_offset, i.camera_make, i.camera_model, i.latitude, i.longitude,
    i.altitude, i.iso, i.exposure_time, i.f_number, i.focal_length, i.focal_length_35mm, i.lens_make, i.lens_model,
    encode(i.sha256, 'hex') AS sha256, i.phash, i.event_at, i.hinted_at, i.enriched_at
"""
_IMAGE = text(f"SELECT i.id, {COLUMNS} FROM images i WHERE i.bucket = :bucket AND i.key = :key")  # noqa: S608
_OF_BUCKET = text("SELECT EXISTS (SELECT FROM images WHERE bucket = :bucket)")
_VECTOR = text("""
    SELECT CAST(CAST(e.vector AS vector) AS real[]) FROM embeddings e JOIN images i ON i.id = e.image_id
    WHERE e.space_id = :space AND i.bucket = :bucket AND i.key = :key
""")
# Every space's tags are shown, so that what a filling space will say can be seen; the active space's come first.
_TAGS = text("""
    SELECT t.image_id, t.taxonomy, t.label, t.probability, t.score, t.source, t.taxonomy_version, t.decided_at,
           t.space_id AS space, s.model, coalesce(s.state = 'active', true) AS active
    FROM tags t LEFT JOIN spaces s ON s.id = t.space_id
    WHERE t.image_id = ANY(CAST(:ids AS bigint[])) ORDER BY active DESC, t.taxonomy, t.space_id, t.label
""")

_EARLIER = text("""
    SELECT s.bucket, s.key, s.taxonomy, s.label, s.taxonomy_version, s.decided_at, encode(s.sha256, 'hex') AS sha256
    FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
    JOIN tags_set_aside s ON s.bucket = r.bucket AND s.key = r.key
    ORDER BY s.decided_at DESC, s.taxonomy, s.label
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierTag:
    """What a person decided about earlier bytes under the same key. In force again if these bytes come back."""

    taxonomy: str
    label: str | None  # None: none of these
    taxonomy_version: str
    decided_at: datetime
    sha256: str | None  # of the tagged bytes, in hex; None: the decision is older than hashes


@dataclass(frozen=True, kw_only=True, slots=True)
class TagRecord:
    """A decision and its provenance. ``label`` is None if the taxonomy abstained."""

    taxonomy: str
    label: str | None
    probability: float | None
    score: float | None
    source: str
    taxonomy_version: str
    space: int | None  # None for a human's decision
    model: str | None  # None for a human's decision
    active: bool  # whether it was made in the active space
    decided_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRecord:
    """An image as the catalog knows it."""

    bucket: str
    key: str
    etag: str
    version_id: str | None
    size: int
    last_modified: datetime | None
    content_type: str | None
    width: int
    height: int
    format: str
    mode: str
    frames: int
    orientation: int
    taken_at: datetime | None
    taken_offset: timedelta | None
    camera_make: str | None
    camera_model: str | None
    latitude: float | None
    longitude: float | None
    altitude: float | None
    iso: int | None
    exposure_time: float | None  # seconds
    f_number: float | None
    focal_length: float | None  # millimetres
    focal_length_35mm: int | None
    lens_make: str | None
    lens_model: str | None
    sha256: str
    phash: int
    event_at: datetime | None
    hinted_at: datetime
    enriched_at: datetime
    tags: tuple[TagRecord, ...]
    earlier_tags: tuple[EarlierTag, ...]  # newest first


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownImage:
    """What the catalog has for an image in one space, to decide whether there is anything left to do."""

    etag: str
    tags: frozenset[tuple[str, str, str | None]]  # taxonomy, version, label


def known_images(connection: Connection, *, space_id: int, refs: Collection[ObjectRef]) -> dict[ObjectRef, KnownImage]:
    """Those of the objects that have a vector in this space, in one statement."""
    rows = connection.execute(
        _KNOWN, {"space": space_id, "buckets": [r.bucket for r in refs], "keys": [r.key for r in refs]}
    )
    return {
        ObjectRef(bucket=row.bucket, key=row.key): KnownImage(
            etag=row.etag, tags=frozenset((taxonomy, version, label) for taxonomy, version, label in row.tags)
        )
        for row in rows
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogEntry:
    """What the catalog has for an object."""

    id: int  # of the image
    etag: str  # of the bytes that were read
    embedded: bool  # it has a vector in the space
    waits: bool  # its vector in the space is missing and queued
    given_up: bool  # attempts to compute that vector are used up: `enrich space fill` retries it
    tags: frozenset[tuple[str, str, str | None]]  # taxonomy, version, label: decisions by that vector


def entries(
    connection: Connection, bucket: str, keys: Collection[str], *, space: int | None
) -> dict[str, CatalogEntry]:
    """What the catalog has for each object; unknown objects are left out."""
    if not keys:
        return {}
    rows = connection.execute(_HOLDINGS, {"bucket": bucket, "keys": list(keys), "space": space})
    return {
        row.key: CatalogEntry(
            id=row.id, etag=row.etag, embedded=row.embedded, waits=row.waits, given_up=row.given_up,
            tags=frozenset((taxonomy, version, label) for taxonomy, version, label in row.tags),
        )
        for row in rows
    }  # fmt: skip


def has_images_of(connection: Connection, bucket: str) -> bool:
    """Whether the catalog has an image of a bucket."""
    return bool(connection.execute(_OF_BUCKET, {"bucket": bucket}).scalar_one())


def vector(connection: Connection, space_id: int, ref: ObjectRef) -> Floats | None:
    """The image's vector in a space, ``[d]``; None if it is missing."""
    import numpy as np

    found = connection.execute(_VECTOR, {"space": space_id, "bucket": ref.bucket, "key": ref.key}).scalar_one_or_none()
    return None if found is None else np.array(found, dtype=np.float32)


def image(connection: Connection, ref: ObjectRef) -> ImageRecord | None:
    """One image with its tags, or None if the catalog does not have it."""
    row = connection.execute(_IMAGE, {"bucket": ref.bucket, "key": ref.key}).one_or_none()
    if row is None:
        return None
    return with_tags(connection, [row])[0]


def with_tags(connection: Connection, rows: Sequence[Row[Any]]) -> list[ImageRecord]:
    """Rows of an id and ``COLUMNS``, with their tags."""
    if not rows:
        return []
    tags: dict[int, list[TagRecord]] = {row.id: [] for row in rows}
    for tag in connection.execute(_TAGS, {"ids": list(tags)}):
        columns = _columns(tag)
        tags[columns.pop("image_id")].append(TagRecord(**columns))
    earlier: dict[tuple[str, str], list[EarlierTag]] = {(row.bucket, row.key): [] for row in rows}
    names = {"buckets": [row.bucket for row in rows], "keys": [row.key for row in rows]}
    for tag in connection.execute(_EARLIER, names):
        columns = _columns(tag)
        earlier[columns.pop("bucket"), columns.pop("key")].append(EarlierTag(**columns))
    return [_record(row, tags[row.id], earlier[row.bucket, row.key]) for row in rows]


def _record(row: Row[Any], tags: Sequence[TagRecord], earlier: Sequence[EarlierTag]) -> ImageRecord:
    columns = _columns(row)
    del columns["id"]
    return ImageRecord(**columns, tags=tuple(tags), earlier_tags=tuple(earlier))


def _columns(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)  # noqa: SLF001  # Row's public mapping view
