"""Counts of what images have: labels with their probabilities, when and with what they were taken, their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from sqlalchemy import text

from worker.catalog.in_force import REJECTED, in_force
from worker.catalog.matched import array
from worker.db import Connection

#: Probabilities are counted in so many equal parts of 0 to 1.
PARTS = 10
#: Upper ends of the classes of file sizes, in bytes, and of pictures, in pixels; the last class has none.
BYTES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000)
PIXELS = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000)

# Groups are few, rows are many: sorting these by text takes several times as long.
_BY_HASH = text("SELECT set_config('enable_sort', 'off', true)")

Unit: TypeAlias = Literal["year", "month", "day"]
_LONG, _MEDIUM = timedelta(days=8 * 365), timedelta(days=92)

_THESE = "= ANY(CAST(:images AS bigint[]))"
_LABELS = text(f"""
    SELECT t.taxonomy, t.label, least(floor(t.probability * {PARTS}), {PARTS - 1})::integer AS part, count(*) AS images
    FROM tags t WHERE t.image_id {_THESE} AND {in_force("t", space=":space")}
    AND (CAST(:taxonomies AS text[]) IS NULL OR t.taxonomy = ANY(CAST(:taxonomies AS text[])))
    GROUP BY t.taxonomy, t.label, part
""")  # noqa: S608  # made of this package's texts, here and below
# Images of which people rejected all that the model says, as ``label_counts`` counts them.
_LEFT_WITHOUT = text(f"""
    SELECT t.taxonomy, count(DISTINCT t.image_id) AS images FROM tags t
    WHERE t.image_id {_THESE} AND t.space_id IS NULL AND t.source = '{REJECTED}'
    AND (CAST(:taxonomies AS text[]) IS NULL OR t.taxonomy = ANY(CAST(:taxonomies AS text[])))
    AND EXISTS (SELECT FROM tags m WHERE m.image_id = t.image_id AND m.space_id = :space AND m.taxonomy = t.taxonomy)
    AND NOT EXISTS (SELECT FROM tags o WHERE o.image_id = t.image_id AND o.taxonomy = t.taxonomy
                    AND {in_force("o", space=":space")})
    GROUP BY t.taxonomy
""")  # noqa: S608
_APPLYING = text(f"""
    SELECT a.taxonomy, count(*) AS images FROM (
        SELECT t.taxonomy, t.image_id FROM tags t
        WHERE t.image_id {_THESE} AND (t.space_id = :space OR t.space_id IS NULL)
        AND (CAST(:taxonomies AS text[]) IS NULL OR t.taxonomy = ANY(CAST(:taxonomies AS text[])))
        GROUP BY t.taxonomy, t.image_id) AS a
    GROUP BY a.taxonomy
""")  # noqa: S608
# OFFSET keeps the ends from being looked for in the index of times, past all images that are not these.
_TIMES = text(f"""
    SELECT min(of.taken_at), max(of.taken_at) FROM (SELECT i.taken_at FROM images i WHERE i.id {_THESE} OFFSET 0) AS of
""")  # noqa: S608
_FILES = text(f"""
    SELECT date_trunc(:unit, i.taken_at) AS taken, coalesce(i.camera_make, '') AS make,
           coalesce(i.camera_model, '') AS model, i.format, width_bucket(i.size, CAST(:bytes AS bigint[])) AS bytes,
           width_bucket(CAST(i.width AS bigint) * i.height, CAST(:pixels AS bigint[])) AS pixels, count(*) AS images,
           grouping(date_trunc(:unit, i.taken_at)) = 0 AS by_time, grouping(i.format) = 0 AS by_format,
           grouping(coalesce(i.camera_make, '')) = 0 AS by_camera,
           grouping(width_bucket(i.size, CAST(:bytes AS bigint[]))) = 0 AS by_bytes
    FROM images i WHERE i.id {_THESE}
    GROUP BY GROUPING SETS (
        (date_trunc(:unit, i.taken_at)), (coalesce(i.camera_make, ''), coalesce(i.camera_model, '')), (i.format),
        (width_bucket(i.size, CAST(:bytes AS bigint[]))),
        (width_bucket(CAST(i.width AS bigint) * i.height, CAST(:pixels AS bigint[]))))
""")  # noqa: S608


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFacet:
    """How many of the images have a label in force."""

    taxonomy: str
    label: str | None  # None: the taxonomy applies, and none of its labels holds
    images: int
    probabilities: tuple[int, ...]  # images by tenths of the label's probability; people's tags have none


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacets:
    """How many of the images have what in their files."""

    unit: Unit
    taken: tuple[tuple[datetime | None, int], ...]  # the first moment of each unit, ascending; None: unknown
    cameras: tuple[tuple[str, str, int], ...]  # make and model, empty where unknown; most images first
    formats: tuple[tuple[str, int], ...]  # most images first
    bytes: tuple[int, ...]  # images by class of ``BYTES``
    pixels: tuple[int, ...]  # images by class of ``PIXELS``


def label_facets(
    connection: Connection, images: Sequence[int], *, space: int | None, taxonomies: Sequence[str] = ()
) -> list[LabelFacet]:
    """Count the tags in force; by taxonomy, and within it most images first.

    Args:
        connection: in a snapshot.
        images: their numbers.
        space: the active one; None: nothing was ever embedded.
        taxonomies: only these; none: all.
    """
    connection.execute(_BY_HASH)
    asked = {"images": array(images), "space": space, "taxonomies": list(taxonomies) or None}
    counts: dict[tuple[str, str | None], list[int]] = {}
    totals: dict[tuple[str, str | None], int] = {}
    for row in connection.execute(_LABELS, asked):
        key = (row.taxonomy, row.label)
        totals[key] = totals.get(key, 0) + row.images
        if row.part is not None:
            counts.setdefault(key, [0] * PARTS)[row.part] += row.images
    for row in connection.execute(_LEFT_WITHOUT, asked):
        totals[row.taxonomy, None] = totals.get((row.taxonomy, None), 0) + row.images
    found = [
        LabelFacet(
            taxonomy=taxonomy,
            label=label,
            images=total,
            probabilities=tuple(counts.get((taxonomy, label), [0] * PARTS)),
        )
        for (taxonomy, label), total in totals.items()
    ]
    return sorted(found, key=lambda each: (each.taxonomy, -each.images, each.label or ""))


def applying(
    connection: Connection, images: Sequence[int], *, space: int | None, taxonomies: Sequence[str] = ()
) -> dict[str, int]:
    """Taxonomy → how many of the images it says something about, if only that none of its labels holds."""
    connection.execute(_BY_HASH)
    asked = {"images": array(images), "space": space, "taxonomies": list(taxonomies) or None}
    return {row.taxonomy: row.images for row in connection.execute(_APPLYING, asked)}


def file_facets(connection: Connection, images: Sequence[int]) -> FileFacets:
    """Count by what the files say."""
    connection.execute(_BY_HASH)
    first, last = connection.execute(_TIMES, {"images": array(images)}).one()
    unit = _unit(first, last)
    asked = {"images": array(images), "unit": unit, "bytes": [0, *BYTES], "pixels": [0, *PIXELS]}
    rows = connection.execute(_FILES, asked).all()
    taken = [(row.taken, row.images) for row in rows if row.by_time]
    cameras = [(row.make, row.model, row.images) for row in rows if row.by_camera]
    formats = [(row.format, row.images) for row in rows if row.by_format]
    in_bytes = {row.bytes: row.images for row in rows if row.by_bytes}
    in_pixels = {row.pixels: row.images for row in rows if row.pixels is not None}
    return FileFacets(
        unit=unit,
        taken=tuple(sorted(taken, key=lambda each: (each[0] is None, each[0]))),
        cameras=tuple(sorted(cameras, key=lambda each: (-each[2], each))),
        formats=tuple(sorted(formats, key=lambda each: (-each[1], each))),
        bytes=tuple(in_bytes.get(number, 0) for number in range(1, len(BYTES) + 2)),
        pixels=tuple(in_pixels.get(number, 0) for number in range(1, len(PIXELS) + 2)),
    )


def _unit(first: datetime | None, last: datetime | None) -> Unit:
    """So that a timeline has some ten to a hundred bars."""
    if first is None or last is None or last - first <= _MEDIUM:
        return "day"
    return "year" if last - first > _LONG else "month"
