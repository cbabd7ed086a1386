"""What a model says about images by the day they were enriched on, with bounded work however large the catalog is.

Within a bucket and a day, images are taken in the order of a hash of their ids, up to a limit. That is a uniform
sample, read from an index in which the images stand in just this order; below the limit it is all of them. How many
there are is then estimated from the last hash taken (the k-minimum-values sketch: Z. Bar-Yossef et al., Counting
distinct elements in a data stream, 2002), to about 3 % with a thousand images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import text

from worker.db import Connection

#: Most images that are read at once, in all.
MOST_IMAGES = 50_000
#: Most images of one bucket and day.
MOST_OF_A_CELL = 2_000

#: The UTC day of an image, as the index ``images_by_day`` has it.
DAY = "((i.enriched_at AT TIME ZONE 'UTC')::date)"
_HASH = "hashint8(i.id)"
_HASHES = 2**32

# From one bucket to the next by the index on them, then one probe for each of its days: limits keep the planner from
# joining whole tables instead, here and below.
_CELLS = text(f"""
    WITH RECURSIVE named AS (
        SELECT min(bucket) AS bucket FROM images
        UNION ALL
        SELECT (SELECT min(i.bucket) FROM images i WHERE i.bucket > n.bucket) FROM named n WHERE n.bucket IS NOT NULL
    )
    SELECT n.bucket, d.day::date AS day
    FROM named n, generate_series(CAST(:first AS date), CAST(:last AS date), '1 day') AS d (day),
    LATERAL (SELECT FROM images i WHERE i.bucket = n.bucket AND {DAY} = d.day::date LIMIT 1) AS found
    WHERE n.bucket IS NOT NULL AND (CAST(:bucket AS text) IS NULL OR n.bucket = CAST(:bucket AS text) COLLATE "C")
    ORDER BY n.bucket, d.day
""")  # noqa: S608  # constants, here and below
_DRAWN = f"""
    SELECT c.cell, i.id, i.hash, i.recent
    FROM unnest(CAST(:cells AS integer[]), CAST(:buckets AS text[]), CAST(:days AS date[])) AS c (cell, bucket, day),
    LATERAL (
        SELECT i.id, {_HASH} AS hash, coalesce(i.enriched_at >= CAST(:recent AS timestamptz), false) AS recent
        FROM images i
        WHERE i.bucket = c.bucket COLLATE "C" AND {DAY} = c.day ORDER BY {_HASH} LIMIT :most
    ) AS i
"""  # noqa: S608
# The first answer of an image in a taxonomy stands for the image. A model says "none of these" only where it says no
# label, not even one that is only suggested.
_ANSWERS = """
    SELECT t.taxonomy, t.label, round(100 * t.probability)::integer AS hundredths,
           row_number() OVER (PARTITION BY t.taxonomy ORDER BY t.label IS NULL) = 1 AS first
    FROM tags t WHERE t.image_id = d.id AND t.space_id = :space
    AND (CAST(:taxonomies AS text[]) IS NULL OR t.taxonomy = ANY (CAST(:taxonomies AS text[]))) OFFSET 0
"""
_READ = text(f"""
    WITH drawn AS MATERIALIZED ({_DRAWN})
    SELECT cell, recent, NULL AS taxonomy, NULL AS label, NULL::integer AS hundredths, count(*) AS answers,
           count(*) AS images, max(hash)::bigint AS last
    FROM drawn GROUP BY cell, recent
    UNION ALL
    SELECT d.cell, d.recent, t.taxonomy, t.label, t.hundredths, count(*), count(*) FILTER (WHERE t.first), NULL
    FROM drawn d CROSS JOIN LATERAL ({_ANSWERS}) AS t
    WHERE t.label IS NOT NULL OR t.first
    GROUP BY d.cell, d.recent, t.taxonomy, t.label, t.hundredths
""")  # noqa: S608
# Groups are few, rows are many.
_BY_HASH = text("SELECT set_config('enable_sort', 'off', true)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """The images of one bucket that were enriched on one day (UTC)."""

    bucket: str
    day: date


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledImages:
    """How many images of a cell were read."""

    cell: Cell
    recent: bool  # those enriched since ``recent``, which are counted apart
    images: int
    weight: float  # for how many images of the cell each of these stands: 1 if all were read


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledAnswers:
    """The answers of a taxonomy about these images that are alike."""

    cell: Cell
    recent: bool
    taxonomy: str
    label: str | None  # None: no label
    hundredths: int | None  # the probability, rounded
    answers: int
    images: int  # of which so many are the first of their image: each image of a taxonomy counts once


@dataclass(frozen=True, kw_only=True, slots=True)
class TagSample:
    """What a model says about the images that were read."""

    most: int  # images that were read of each cell, at most
    images: Sequence[SampledImages]
    answers: Sequence[SampledAnswers]


def cells(connection: Connection, *, first: date, last: date, bucket: str | None = None) -> list[Cell]:
    """The buckets and days with an image, of the days from ``first`` to ``last``."""
    rows = connection.execute(_CELLS, {"first": first, "last": last, "bucket": bucket})
    return [Cell(bucket=row.bucket, day=row.day) for row in rows]


def read(
    connection: Connection,
    space: int,
    wanted: Sequence[Cell],
    *,
    recent: datetime | None = None,
    taxonomies: Sequence[str] | None = None,
) -> TagSample:
    """What the model of a space says about a sample of the images of these cells: not what people say.

    Args:
        connection: an open one.
        space: whose tags.
        wanted: as ``cells`` has them.
        recent: images enriched since then are counted apart from the others.
        taxonomies: only these; None: all.
    """
    most = max(min(MOST_OF_A_CELL, MOST_IMAGES // max(len(wanted), 1)), 1)
    given = {
        "cells": list(range(len(wanted))),
        "buckets": [each.bucket for each in wanted],
        "days": [each.day for each in wanted],
        "most": most,
        "recent": recent,
        "space": space,
        "taxonomies": None if taxonomies is None else list(taxonomies),
    }
    connection.execute(_BY_HASH)
    rows = connection.execute(_READ, given).all()
    return TagSample(
        most=most,
        images=_images(wanted, [row for row in rows if row.taxonomy is None], most),
        answers=[_answers(wanted, row) for row in rows if row.taxonomy is not None],
    )


def _images(wanted: Sequence[Cell], rows: Sequence[Any], most: int) -> list[SampledImages]:
    taken: dict[int, int] = {}
    last: dict[int, int] = {}
    for row in rows:
        taken[row.cell] = taken.get(row.cell, 0) + row.images
        last[row.cell] = max(last.get(row.cell, row.last), row.last)
    weights = {cell: _weight(taken[cell], last[cell], most) for cell in taken}
    return [
        SampledImages(cell=wanted[row.cell], recent=row.recent, images=row.images, weight=weights[row.cell])
        for row in rows
    ]


def _weight(taken: int, last: int, most: int) -> float:
    """For how many images each stands that was read. ``last`` is the greatest hash, a signed number of 32 bits."""
    if taken < most:
        return 1.0
    share = (last + _HASHES / 2 + 1) / _HASHES  # of all hashes, those up to the last one
    return max((taken - 1) / share / taken, 1.0)


def _answers(wanted: Sequence[Cell], row: Any) -> SampledAnswers:
    return SampledAnswers(
        cell=wanted[row.cell],
        recent=row.recent,
        taxonomy=row.taxonomy,
        label=row.label,
        hundredths=row.hundredths,
        answers=row.answers,
        images=row.images,
    )
