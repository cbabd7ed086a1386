"""Writes a batch of image rows, vectors and tags in a constant number of statements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from worker.catalog import decisions
from worker.catalog.embedding_queue import enqueue
from worker.db import Connection, storable
from worker.types import Floats, ImageMetadata, ObjectInfo, ObjectRef, Tag

_COLUMNS = {
    "bucket": "text",
    "key": "text",
    "etag": "text",
    "version_id": "text",
    "size": "bigint",
    "last_modified": "timestamptz",
    "content_type": "text",
    "width": "integer",
    "height": "integer",
    "format": "text",
    "mode": "text",
    "frames": "integer",
    "orientation": "smallint",
    "taken_at": "timestamp",
    "taken_offset": "interval",
    "camera_make": "text",
    "camera_model": "text",
    "latitude": "float8",
    "longitude": "float8",
    "altitude": "float8",
    "iso": "integer",
    "exposure_time": "float8",
    "f_number": "float8",
    "focal_length": "float8",
    "focal_length_35mm": "integer",
    "lens_make": "text",
    "lens_model": "text",
    "sha256": "bytea",
    "phash": "bigint",
    "user_metadata": "jsonb",
    "event_at": "timestamptz",
    "hinted_at": "timestamptz",
}
_NAMES = ", ".join(_COLUMNS)
_UNNEST = ", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in _COLUMNS.items())
_UPDATES = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in ("bucket", "key"))

_IMAGES = text(f"""
    INSERT INTO images ({_NAMES}) SELECT * FROM unnest({_UNNEST})
    ON CONFLICT (bucket, key) DO UPDATE SET {_UPDATES}, enriched_at = now()
    RETURNING id, bucket, key
""")  # noqa: S608  # names and types are the constants above

# Locked against being dropped, as writing a vector would lock it anyway. Who writes into a space that is not filled any
# more, and has not noticed yet, writes the image without its vector.
_OPEN = text("SELECT id FROM spaces WHERE state IN ('filling', 'active') ORDER BY id FOR KEY SHARE")

# Vectors of other spaces describe the picture that was there before; a picture that was overwritten loses them.
_STALE = text("""
    DELETE FROM embeddings e USING images i,
           unnest(CAST(:buckets AS text[]), CAST(:keys AS text[]), CAST(:hashes AS bytea[])) AS n (bucket, key, sha256)
    WHERE i.bucket = n.bucket AND i.key = n.key AND i.sha256 <> n.sha256 AND e.image_id = i.id AND e.space_id <> :space
""")
# What was given up before it got its vector, from whoever came by, has not failed.
_STALE_TAGS = text("""
    WITH not_failed AS (
        DELETE FROM owed_vectors
        WHERE space_id = :space AND image_id = ANY(CAST(:ids AS bigint[])) AND visible_at = 'infinity'
    )
    DELETE FROM tags t USING unnest(CAST(:ids AS bigint[])) AS i (id)
    WHERE t.image_id = i.id AND t.space_id IS NOT NULL
      AND (t.space_id = :space OR NOT EXISTS (
          SELECT FROM embeddings e WHERE e.image_id = t.image_id AND e.space_id = t.space_id))
""")
_VECTORS = text("""
    INSERT INTO embeddings (space_id, image_id, vector, from_preview)
    SELECT :space, v.id, CAST(v.vector AS halfvec), v.from_preview
    FROM unnest(CAST(:ids AS bigint[]), CAST(:vectors AS text[]), CAST(:from_preview AS boolean[]))
        AS v (id, vector, from_preview)
    ON CONFLICT (space_id, image_id) DO UPDATE
    SET vector = excluded.vector, from_preview = excluded.from_preview, created_at = now()
""")
_TAGS = text("""
    INSERT INTO tags (image_id, space_id, taxonomy, taxonomy_version, label, score, probability, source)
    SELECT t.image_id, :space, t.taxonomy, t.version, t.label, t.score, t.probability, t.source
    FROM unnest(CAST(:ids AS bigint[]), CAST(:taxonomies AS text[]), CAST(:versions AS text[]), CAST(:labels AS text[]),
                CAST(:scores AS real[]), CAST(:probabilities AS real[]), CAST(:sources AS text[]))
        AS t (image_id, taxonomy, version, label, score, probability, source)
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class EnrichedImage:
    """Everything that one image adds to the catalog."""

    info: ObjectInfo  # what was read, not what an event said
    metadata: ImageMetadata
    vector: Floats  # [d], unit length, of the space written to
    tags: tuple[Tag, ...]
    event_at: datetime | None
    hinted_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedImage:
    """One model's vector and tags for one image."""

    image_id: int
    vector: Floats  # [d], unit length, of the space written to
    tags: tuple[Tag, ...]
    from_preview: bool = False  # instead of from the original


def save_images(connection: Connection, *, space_id: int, images: Sequence[EnrichedImage]) -> None:
    """Insert or replace images with their vector and tags in one space.

    People's decisions are in force for the bytes that they are about, and for no others.

    From now on the images are queued for every other space that is being filled, and for the active one.
    """
    if not images:
        return
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for image in images:
        for name, value in _row(image).items():
            columns[name].append(storable(value) if isinstance(value, str) else value)
    connection.execute(
        _STALE,
        {"buckets": columns["bucket"], "keys": columns["key"], "hashes": columns["sha256"], "space": space_id},
    )
    rows = connection.execute(_IMAGES, columns)
    ids = {ObjectRef(bucket=row.bucket, key=row.key): row.id for row in rows}
    in_order = [ids[image.info.ref] for image in images]
    decisions.project(connection, in_order)
    open_spaces = frozenset(connection.execute(_OPEN).scalars())
    if space_id in open_spaces:
        save_vectors(
            connection,
            space_id,
            [
                EmbeddedImage(image_id=id_, vector=image.vector, tags=image.tags)
                for id_, image in zip(in_order, images, strict=True)
            ],
        )
    if others := open_spaces - {space_id}:
        enqueue(connection, others, in_order)


def is_open(connection: Connection, space_id: int) -> bool:
    """Whether vectors may be written into a space; it cannot be dropped while the transaction lasts."""
    return space_id in connection.execute(_OPEN).scalars().all()


def save_vectors(connection: Connection, space_id: int, images: Sequence[EmbeddedImage]) -> None:
    """Insert or replace vectors and a model's tags of images in the catalog."""
    ids = [image.image_id for image in images]
    vectors = [literal(image.vector) for image in images]
    from_preview = [image.from_preview for image in images]
    connection.execute(_VECTORS, {"space": space_id, "ids": ids, "vectors": vectors, "from_preview": from_preview})
    # Tags of other spaces whose vector is gone go as well.
    connection.execute(_STALE_TAGS, {"ids": [image.image_id for image in images], "space": space_id})
    _write_tags(connection, space_id, [(image.image_id, tag) for image in images for tag in image.tags])


def _write_tags(connection: Connection, space_id: int, tags: Sequence[tuple[int, Tag]]) -> None:
    if not tags:
        return
    connection.execute(
        _TAGS,
        {
            "space": space_id,
            "ids": [id_ for id_, _ in tags],
            "taxonomies": [tag.taxonomy for _, tag in tags],
            "versions": [tag.version for _, tag in tags],
            "labels": [tag.label for _, tag in tags],
            "scores": [float(tag.score) for _, tag in tags],
            "probabilities": [float(tag.probability) for _, tag in tags],
            "sources": [tag.source for _, tag in tags],
        },
    )


def _row(image: EnrichedImage) -> dict[str, Any]:
    info, meta = image.info, image.metadata
    taken = meta.taken_at
    return {
        "bucket": info.ref.bucket,
        "key": info.ref.key,
        "etag": info.etag,
        "version_id": info.version_id,
        "size": info.size,
        "last_modified": info.last_modified,
        "content_type": info.content_type,
        "width": meta.width,
        "height": meta.height,
        "format": meta.format,
        "mode": meta.mode,
        "frames": meta.frames,
        "orientation": meta.orientation,
        "taken_at": taken.replace(tzinfo=None) if taken else None,
        "taken_offset": _offset(taken),
        "camera_make": meta.camera_make,
        "camera_model": meta.camera_model,
        "latitude": meta.latitude,
        "longitude": meta.longitude,
        "altitude": meta.altitude,
        "iso": meta.iso,
        "exposure_time": meta.exposure_time,
        "f_number": meta.f_number,
        "focal_length": meta.focal_length,
        "focal_length_35mm": meta.focal_length_35mm,
        "lens_make": meta.lens_make,
        "lens_model": meta.lens_model,
        "sha256": bytes.fromhex(meta.sha256),
        "phash": meta.phash,
        "user_metadata": _json(info.user_metadata),
        "event_at": image.event_at,
        "hinted_at": image.hinted_at,
    }


def _json(values: Mapping[str, str]) -> str | None:
    return json.dumps({storable(name): storable(value) for name, value in values.items()}) if values else None


def _offset(moment: datetime | None) -> str | None:
    """A time's offset from UTC in hours and minutes: with days, as -5 hours are in Python, AT TIME ZONE refuses it."""
    offset = moment.utcoffset() if moment else None
    return None if offset is None else f"{offset.total_seconds():.0f} seconds"


def literal(vector: Floats) -> str:
    """The vector in pgvector's text form. Half precision keeps 11 bits, which five significant digits distinguish.

    Rounded here and not by the server, which would round the five digits: what is read back is what was tagged.
    """
    return "[" + ",".join(f"{value:.5g}" for value in vector.astype("float16").tolist()) + "]"
