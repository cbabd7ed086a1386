"""Images that people may be asked about next: what the model says of them, and whether a person has decided already."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from worker.catalog.in_force import ANSWER, REJECTED, applied, suggested
from worker.db import Connection
from worker.types import ObjectRef

#: More rows of one label than this are not read: a sample of the images is asked instead.
FEW = 100_000

# What is suggested is a label that the model gives, too. There is an index for either part.
_EITHER = f"""(
    SELECT * FROM tags a WHERE a.label IS NOT NULL AND {applied("a")}
    UNION ALL SELECT * FROM tags s WHERE s.label IS NOT NULL AND {suggested("s")}) AS t"""  # noqa: S608
_COUNT = text(f"""
    SELECT count(*) FROM (SELECT FROM {_EITHER} WHERE t.taxonomy = :taxonomy AND t.label = :label LIMIT :most) AS found
""")  # noqa: S608
# A person's newest decision about the present bytes says that they cannot tell.
_STANDS = "NOT EXISTS (SELECT FROM decisions u WHERE u.undoes = {0}.id)"
_UNSURE = text(f"""
    SELECT DISTINCT i.id FROM decisions d
    JOIN images i ON i.bucket = d.bucket AND i.key = d.key AND i.sha256 = d.sha256
    WHERE d.taxonomy = :taxonomy AND d.verdict = 'unsure' AND (d.answers OR d.label = :label) AND {_STANDS.format("d")}
      AND NOT EXISTS (
          SELECT FROM decisions n WHERE n.bucket = d.bucket AND n.key = d.key AND n.sha256 = d.sha256
          AND n.taxonomy = d.taxonomy AND n.id > d.id AND n.verdict <> 'undo' AND (n.answers OR n.label = d.label)
          AND {_STANDS.format("n")})
""")  # noqa: S608  # constants
_OPEN = f"""
    NOT EXISTS (SELECT FROM tags h WHERE h.image_id = t.image_id AND h.taxonomy = t.taxonomy AND h.space_id IS NULL
                AND (h.source = '{ANSWER}' OR h.label = {{label}}))
    AND NOT t.image_id = ANY(CAST(:skipped AS bigint[]))
"""
_ALL, _DRAWN = "tags t", "unnest(CAST(:drawn AS bigint[])) AS r (id) JOIN tags t ON t.image_id = r.id"
_UNSUGGESTED = f"""
    NOT EXISTS (SELECT FROM tags s WHERE s.image_id = t.image_id AND s.space_id = :space AND s.taxonomy = t.taxonomy
                AND {suggested("s")})
"""
_WITH = """
    SELECT t.image_id AS image, t.label, t.probability, count(*) OVER () AS total FROM {rows}
    WHERE t.space_id = :space AND t.taxonomy = :taxonomy AND {which} AND {open} ORDER BY {order} LIMIT :limit
"""
_WITHOUT = """
    SELECT g.image_id AS image, count(*) OVER () AS total FROM (
        SELECT DISTINCT t.image_id FROM {rows}
        WHERE t.space_id = :space AND t.taxonomy = :taxonomy AND {which} AND {open}
          AND NOT EXISTS (SELECT FROM tags o WHERE o.image_id = t.image_id AND o.space_id = :space
                          AND o.taxonomy = t.taxonomy AND o.label = :label)
    ) AS g ORDER BY hashint8extended(g.image_id, :seed), g.image_id LIMIT :limit
"""
_SCATTERED = "hashint8extended(t.image_id, :seed), t.image_id, t.label"
_NEAREST = "abs(t.probability - coalesce((CAST(:thresholds AS jsonb) ->> t.label)::real, 0)), t.image_id, t.label"
# Only one space gives the label; the most certain of both first.
_DISAGREE = """
    SELECT t.image_id AS image, t.label, t.probability, o.label AS other, o.probability AS other_probability,
           t.space_id AS space, count(*) OVER () AS total
    FROM {rows}
    JOIN LATERAL (SELECT o.label, o.probability FROM tags o
                  WHERE o.image_id = t.image_id AND o.space_id = :a + :b - t.space_id AND o.taxonomy = t.taxonomy
                  ORDER BY o.probability DESC NULLS LAST, o.label IS NULL LIMIT 1) AS o ON true
    WHERE t.space_id IN (:a, :b) AND t.taxonomy = :taxonomy AND t.label IS NOT NULL
      AND (CAST(:label AS text) IS NULL OR t.label = :label) AND {open}
      AND NOT EXISTS (SELECT FROM tags s WHERE s.image_id = t.image_id AND s.space_id = :a + :b - t.space_id
                      AND s.taxonomy = t.taxonomy AND s.label = t.label)
    ORDER BY least(t.probability, o.probability) DESC, t.image_id, t.space_id <> :a LIMIT :limit
"""
_GIVEN = text(f"""
    SELECT h.image_id AS image, h.label, h.source = '{REJECTED}' AS rejected
    FROM tags h JOIN images i ON i.id = h.image_id
    WHERE h.space_id IS NULL AND h.taxonomy = :taxonomy AND (CAST(:label AS text) IS NULL OR h.label = :label)
      AND NOT EXISTS (
          SELECT FROM decisions d WHERE d.bucket = i.bucket AND d.key = i.key AND d.sha256 = i.sha256
          AND d.taxonomy = h.taxonomy AND d.chosen = 'label-error' AND {_STANDS.format("d")})
    ORDER BY hashint8extended(h.image_id, :seed), h.image_id, h.label LIMIT :limit
""")  # noqa: S608  # constants
_DESCRIBED = text("""
    SELECT i.id, i.bucket, i.key, encode(i.sha256, 'hex') AS sha256, i.etag, i.phash
    FROM images i WHERE i.id = ANY(CAST(:ids AS bigint[]))
""")
_IDS = text("""
    SELECT i.id, i.bucket, i.key FROM unnest(CAST(:buckets AS text[]), CAST(:keys AS text[])) AS r (bucket, key)
    JOIN images i ON i.bucket = r.bucket COLLATE "C" AND i.key = r.key COLLATE "C"
""")
_TAGS = text("""
    SELECT image_id, taxonomy, array_agg(label ORDER BY label COLLATE "C") AS labels FROM image_tags
    WHERE image_id = ANY(CAST(:ids AS bigint[])) GROUP BY image_id, taxonomy
""")
_DECIDED = text(f"""
    SELECT DISTINCT h.image_id FROM tags h
    WHERE h.image_id = ANY(CAST(:ids AS bigint[])) AND h.taxonomy = :taxonomy AND h.space_id IS NULL
      AND (h.source = '{ANSWER}' OR h.label = :label)
""")  # noqa: S608
_STORED = text("""
    SELECT t.image_id, t.probability FROM tags t
    WHERE t.image_id = ANY(CAST(:ids AS bigint[])) AND t.space_id = :space AND t.taxonomy = :taxonomy
      AND t.label = :label
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a queue is about."""

    space: int
    taxonomy: str
    label: str | None  # None: every label
    drawn: Sequence[int] | None = None  # only these images; None: all
    skipped: Sequence[int] = ()  # images about which people were unsure
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAnswer:
    """A model's answer about one image."""

    image: int
    label: str | None
    probability: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """A label that only one of two spaces gives."""

    image: int
    label: str
    probability: float
    space: int  # which gives it
    other: str | None  # what the other space says
    other_probability: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenLabel:
    """What a person's decision says about one label of an image."""

    image: int
    label: str | None  # None: none of these
    rejected: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewImage:
    """An image to look at."""

    id: int
    ref: ObjectRef
    sha256: str  # hex
    etag: str
    phash: int
    tags: Mapping[str, Sequence[str]]  # taxonomy → labels in force


def is_rare(connection: Connection, taxonomy: str, label: str, *, most: int = FEW) -> bool:
    """Whether so few rows have the label that all of them may be read."""
    counted = connection.execute(_COUNT, {"taxonomy": taxonomy, "label": label, "most": most + 1}).scalar_one()
    return int(counted) <= most


def unsure(connection: Connection, taxonomy: str, label: str | None) -> list[int]:
    """The images about whose present bytes people could not tell."""
    return list(connection.execute(_UNSURE, {"taxonomy": taxonomy, "label": label}).scalars())


def scattered(connection: Connection, asked: Asked, *, limit: int) -> tuple[list[StoredAnswer], int]:
    """Images with the label that no person has decided about, in random order, and how many there are."""
    return _answers(connection, asked, "t.label IS NOT NULL", _SCATTERED, limit)


def nearest(connection: Connection, asked: Asked, thresholds: str, *, limit: int) -> tuple[list[StoredAnswer], int]:
    """The same, the probability closest to the threshold first; ``thresholds`` is JSON, label → threshold."""
    return _answers(connection, asked, "t.label IS NOT NULL", _NEAREST, limit, thresholds=thresholds)


def abstentions(connection: Connection, asked: Asked, *, least: float, limit: int) -> tuple[list[StoredAnswer], int]:
    """Images to which no label was given or suggested, although the best had this probability, in random order."""
    anything = Asked(space=asked.space, taxonomy=asked.taxonomy, label=None, drawn=asked.drawn,
                     skipped=asked.skipped, seed=asked.seed)  # fmt: skip
    which = f"t.label IS NULL AND t.probability >= {float(least)} AND {_UNSUGGESTED}"
    return _answers(connection, anything, which, _SCATTERED, limit, decided=asked.label, labelled=False)


def without(connection: Connection, asked: Asked, *, parent: str | None, limit: int) -> tuple[list[int], int]:
    """Images that could have the label and do not: all to which the taxonomy applies, or those with its parent."""
    which = "true" if parent is None else "t.label = :parent"
    rows = _rows(asked, labelled=parent is not None)
    query = _WITHOUT.format(rows=rows, which=which, open=_OPEN.format(label=":label"))
    found = connection.execute(text(query), {**_given(asked), "parent": parent, "limit": limit}).all()
    return [row.image for row in found], found[0].total if found else 0


def disagreements(connection: Connection, asked: Asked, other: int, *, limit: int) -> tuple[list[Disagreement], int]:
    """Labels that only one of two spaces gives, and how many there are."""
    query = _DISAGREE.format(rows=_rows(asked, labelled=True), open=_OPEN.format(label="t.label"))
    found = connection.execute(text(query), {**_given(asked), "a": asked.space, "b": other, "limit": limit}).all()
    return [Disagreement(**_without_total(row)) for row in found], found[0].total if found else 0


def given(connection: Connection, asked: Asked, *, limit: int) -> list[GivenLabel]:
    """What people decided, without what they confirmed when it was shown as a probable error; at random if more."""
    return [GivenLabel(**row._mapping) for row in connection.execute(_GIVEN, {**_given(asked), "limit": limit})]  # noqa: SLF001


def described(connection: Connection, images: Collection[int]) -> dict[int, ReviewImage]:
    """What a reviewer sees of these images; those that are gone are left out."""
    ids = list(images)
    tags: dict[int, dict[str, Sequence[str]]] = {}
    for row in connection.execute(_TAGS, {"ids": ids}):
        tags.setdefault(row.image_id, {})[row.taxonomy] = tuple(row.labels)
    return {
        row.id: ReviewImage(id=row.id, ref=ObjectRef(bucket=row.bucket, key=row.key), sha256=row.sha256,
                            etag=row.etag, phash=row.phash, tags=tags.get(row.id, {}))
        for row in connection.execute(_DESCRIBED, {"ids": ids})
    }  # fmt: skip


def numbers_of(connection: Connection, refs: Sequence[ObjectRef]) -> dict[ObjectRef, int]:
    """The images of these objects; unknown ones are left out."""
    given = {"buckets": [ref.bucket for ref in refs], "keys": [ref.key for ref in refs]}
    return {ObjectRef(bucket=row.bucket, key=row.key): row.id for row in connection.execute(_IDS, given)}


def decided(connection: Connection, images: Collection[int], taxonomy: str, label: str) -> set[int]:
    """Those of the images about which a person has decided."""
    given = {"ids": list(images), "taxonomy": taxonomy, "label": label}
    return set(connection.execute(_DECIDED, given).scalars())


def stored(
    connection: Connection, images: Collection[int], *, space: int, taxonomy: str, label: str
) -> dict[int, float]:
    """The probability with which the model gave the label, for those of the images that it gave it to."""
    given = {"ids": list(images), "space": space, "taxonomy": taxonomy, "label": label}
    return {row.image_id: row.probability for row in connection.execute(_STORED, given)}


def _answers(
    connection: Connection,
    asked: Asked,
    which: str,
    order: str,
    limit: int,
    *,
    decided: str | None = None,
    labelled: bool = True,
    **more: Any,
) -> tuple[list[StoredAnswer], int]:
    which += "" if asked.label is None else " AND t.label = :label"
    rows = _rows(asked, labelled=labelled)
    query = _WITH.format(rows=rows, which=which, order=order, open=_OPEN.format(label="coalesce(t.label, :decided)"))
    found = connection.execute(text(query), {**_given(asked), "decided": decided, "limit": limit, **more}).all()
    return [StoredAnswer(**_without_total(row)) for row in found], found[0].total if found else 0


def _rows(asked: Asked, *, labelled: bool) -> str:
    if asked.drawn is not None:
        return _DRAWN
    return _EITHER if labelled else _ALL


def _given(asked: Asked) -> dict[str, Any]:
    return {
        "space": asked.space,
        "taxonomy": asked.taxonomy,
        "label": asked.label,
        "drawn": None if asked.drawn is None else list(asked.drawn),
        "skipped": list(asked.skipped),
        "seed": asked.seed,
    }


def _without_total(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "total"}  # noqa: SLF001
