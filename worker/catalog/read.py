"""Reads single images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from worker.catalog import decisions, proofs
from worker.catalog.decisions import DecidedTag
from worker.catalog.in_force import PROVENANCE, REJECTED, applied, in_force, open_suggestion
from worker.catalog.proofs import ProvenPrecision
from worker.db import Connection
from worker.types import SUGGESTION, Floats, ObjectRef

_KNOWN = text(f"""
    SELECT i.bucket, i.key, i.etag,
           array(SELECT ARRAY[t.taxonomy, t.taxonomy_version, t.label] FROM tags t
                 WHERE t.image_id = i.id AND t.space_id = :space AND {applied("t")}) AS tags
    FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
    JOIN images i ON i.bucket = r.bucket AND i.key = r.key
    JOIN embeddings e ON e.space_id = :space AND e.image_id = i.id
""")  # noqa: S608  # made of this package's texts
# One probe of the index for each key, whatever the planner knows of the table (OFFSET 0 is the fence).
_HOLDINGS = text(f"""
    SELECT k.key, i.id, i.etag,
           (SELECT true FROM embeddings e WHERE e.space_id = :space AND e.image_id = i.id) IS NOT NULL AS embedded,
           coalesce((SELECT o.visible_at < 'infinity' FROM owed_vectors o
                     WHERE o.space_id = :space AND o.image_id = i.id), false) AS waits,
           coalesce((SELECT o.visible_at = 'infinity' FROM owed_vectors o
                     WHERE o.space_id = :space AND o.image_id = i.id), false) AS given_up,
           array(SELECT ARRAY[t.taxonomy, t.taxonomy_version, t.label] FROM tags t
                 WHERE t.image_id = i.id AND t.space_id = :space AND {applied("t")}) AS tags
    FROM unnest(CAST(:keys AS text[])) AS k (key)
    CROSS JOIN LATERAL (SELECT id, etag FROM images WHERE bucket = :bucket AND key = k.key COLLATE "C" OFFSET 0) i
""")  # noqa: S608
#: Of an image ``i``, as :class:`ImageRecord` has them.
COLUMNS = """
    i.bucket, i.key, i.etag, i.version_id, i.size, i.last_modified, i.content_type, i.width, i.height, i.format, i.mode,
    i.frames, i.orientation, i.taken_at, i.taken_offset, i.camera_make, i.camera_model, i.latitude, i.longitude,
    i.altitude, i.iso, i.exposure_time, i.f_number, i.focal_length, i.focal_length_35mm, i.lens_make, i.lens_model,
    encode(i.sha256, 'hex') AS sha256, i.phash, i.user_metadata, i.event_at, i.hinted_at, i.enriched_at
"""
_IMAGE = text(f"SELECT i.id, {COLUMNS} FROM images i WHERE i.bucket = :bucket AND i.key = :key")  # noqa: S608
_CONTENT = text("""
    SELECT encode(sha256, 'hex') AS sha256, etag FROM images WHERE bucket = :bucket AND key = :key
""")
_IMAGES = text(f"SELECT i.id, {COLUMNS} FROM images i WHERE i.id = ANY(CAST(:ids AS bigint[]))")  # noqa: S608
_OF_BUCKET = text("SELECT EXISTS (SELECT FROM images WHERE bucket = :bucket)")
_VECTOR = text("""
    SELECT CAST(CAST(e.vector AS vector) AS real[]) FROM embeddings e JOIN images i ON i.id = e.image_id
    WHERE e.space_id = :space AND i.bucket = :bucket AND i.key = :key
""")
_VECTORS = text("""
    SELECT i.bucket, i.key, CAST(CAST(e.vector AS vector) AS real[]) AS vector
    FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
    JOIN images i ON i.bucket = r.bucket AND i.key = r.key
    JOIN embeddings e ON e.space_id = :space AND e.image_id = i.id
""")
_NEWEST = text("SELECT coalesce(max(id), 0) FROM images")
_HASHES = text("""
    SELECT encode(i.sha256, 'hex')
    FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
    JOIN images i ON i.bucket = r.bucket AND i.key = r.key
""")
# Every space's tags are shown, so that what a filling space will say can be seen; the active space's come first.
_TAGS = text(f"""
    SELECT t.image_id, t.taxonomy, t.label, t.probability, t.score, {PROVENANCE.format("t")} AS source,
           t.taxonomy_version, t.decided_at, t.space_id AS space, s.model, coalesce(s.state = 'active', true) AS active,
           {in_force("t")} AS in_force, {open_suggestion("t")} AS suggested, {proofs.COLUMNS}
    FROM tags t LEFT JOIN spaces s ON s.id = t.space_id {proofs.JOIN}
    WHERE t.image_id = ANY(CAST(:ids AS bigint[])) AND t.source <> '{REJECTED}'
    ORDER BY active DESC, t.taxonomy, t.space_id, t.label
""")  # noqa: S608  # made of this package's texts


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
    in_force: bool  # whether readers see it: its space is active, and no person's decision hides it
    decided_at: datetime
    proven: ProvenPrecision | None = None  # of the label, by reviews
    decision: int | None = None  # of the person
    reviewer: str | None = None  # who the person is


@dataclass(frozen=True, kw_only=True, slots=True)
class SuggestionRecord:
    """A label that the active model would give if its precision were proven, and about which nobody has decided."""

    taxonomy: str
    label: str
    probability: float | None
    score: float | None
    taxonomy_version: str
    model: str | None
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
    user_metadata: Mapping[str, str] | None
    event_at: datetime | None
    hinted_at: datetime
    enriched_at: datetime
    tags: tuple[TagRecord, ...]
    suggestions: tuple[SuggestionRecord, ...]
    rejected_tags: tuple[DecidedTag, ...]  # of the present bytes
    earlier_tags: tuple[DecidedTag, ...]  # of other bytes, newest first; in force again if these come back


_SUGGESTED = tuple(each.name for each in fields(SuggestionRecord))


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """Which bytes the catalog describes for an object."""

    sha256: str
    etag: str


def content(connection: Connection, ref: ObjectRef) -> Content | None:
    """Which bytes the catalog describes for an object; None: it has no such image."""
    row = connection.execute(_CONTENT, {"bucket": ref.bucket, "key": ref.key}).one_or_none()
    return None if row is None else Content(sha256=row.sha256, etag=row.etag)


def newest(connection: Connection) -> int:
    """The highest id of an image; 0 if there are none."""
    return int(connection.execute(_NEWEST).scalar_one())


def hashes(connection: Connection, refs: Collection[ObjectRef]) -> list[str]:
    """SHA-256 of the images' files, in hex, in no order; unknown images are left out."""
    if not refs:
        return []
    rows = connection.execute(_HASHES, {"buckets": [r.bucket for r in refs], "keys": [r.key for r in refs]})
    return list(rows.scalars())


def vector(connection: Connection, space_id: int, ref: ObjectRef) -> Floats | None:
    """The image's vector in a space, ``[d]``; None if it is missing."""
    import numpy as np

    found = connection.execute(_VECTOR, {"space": space_id, "bucket": ref.bucket, "key": ref.key}).scalar_one_or_none()
    return None if found is None else np.array(found, dtype=np.float32)


def vectors(connection: Connection, space_id: int, refs: Sequence[ObjectRef]) -> dict[ObjectRef, Floats]:
    """The vectors of images in a space, ``[d]`` each; images without one are left out."""
    import numpy as np

    if not refs:
        return {}
    names = {"buckets": [each.bucket for each in refs], "keys": [each.key for each in refs]}
    rows = connection.execute(_VECTORS, {"space": space_id, **names})
    return {ObjectRef(bucket=row.bucket, key=row.key): np.array(row.vector, dtype=np.float32) for row in rows}


def image(connection: Connection, ref: ObjectRef) -> ImageRecord | None:
    """One image with its tags, or None if the catalog does not have it."""
    row = connection.execute(_IMAGE, {"bucket": ref.bucket, "key": ref.key}).one_or_none()
    if row is None:
        return None
    return with_tags(connection, [row])[0]


def images(connection: Connection, ids: Sequence[int]) -> list[ImageRecord]:
    """Images by their numbers, in this order; those that are gone are left out."""
    rows = {row.id: row for row in connection.execute(_IMAGES, {"ids": list(ids)})}
    return with_tags(connection, [rows[id_] for id_ in ids if id_ in rows])


def with_tags(connection: Connection, rows: Sequence[Row[Any]]) -> list[ImageRecord]:
    """Rows of an id and ``COLUMNS``, with their tags."""
    if not rows:
        return []
    tags: dict[int, list[TagRecord]] = {row.id: [] for row in rows}
    suggestions: dict[int, list[SuggestionRecord]] = {row.id: [] for row in rows}
    for tag in connection.execute(_TAGS, {"ids": list(tags)}):
        columns = _columns(tag)
        image, is_open = columns.pop("image_id"), columns.pop("suggested")
        proven = proofs.popped(columns)
        if is_open:
            suggestions[image].append(SuggestionRecord(**{name: columns[name] for name in _SUGGESTED}))
        elif tag.source != SUGGESTION:
            tags[image].append(TagRecord(**columns, proven=proven))
    decided = decisions.decided(connection, [_ref(row) for row in rows])
    return [_record(row, tags[row.id], suggestions[row.id], decided[_ref(row)]) for row in rows]


def _record(
    row: Row[Any], tags: Sequence[TagRecord], suggestions: Sequence[SuggestionRecord], decided: Sequence[DecidedTag]
) -> ImageRecord:
    columns = _columns(row)
    del columns["id"]
    current = [each for each in decided if each.current]
    people = {(each.taxonomy, each.label): each for each in current if not each.rejected}
    return ImageRecord(
        **columns,
        tags=tuple(_by_person(tag, people) if tag.space is None else tag for tag in tags),
        suggestions=tuple(suggestions),
        rejected_tags=tuple(each for each in current if each.rejected),
        earlier_tags=tuple(each for each in decided if not each.current),
    )


def _by_person(tag: TagRecord, people: Mapping[tuple[str, str | None], DecidedTag]) -> TagRecord:
    decided = people.get((tag.taxonomy, tag.label))
    return tag if decided is None else replace(tag, decision=decided.decision, reviewer=decided.reviewer)


def _ref(row: Row[Any]) -> ObjectRef:
    return ObjectRef(bucket=row.bucket, key=row.key)


def _columns(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)  # noqa: SLF001  # Row's public mapping view
