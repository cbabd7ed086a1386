"""What images are coloured by on a map: tags in force, people's decisions, when they were taken, their buckets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from worker.catalog.in_force import REJECTED, by_people, in_force
from worker.catalog.map_points import Images, copied
from worker.db import Connection

Numbers = npt.NDArray[np.int64]

#: Instead of the number of a label: one that has come since, and none of the labels.
NEW, NONE = -1, -2

# From one to the next by the index.
_LABELS = text("""
    WITH RECURSIVE named AS (
        SELECT min(label) AS name FROM tags
        WHERE taxonomy = :taxonomy AND label IS NOT NULL AND source <> 'suggestion'
        UNION ALL
        SELECT (SELECT min(t.label) FROM tags t
                WHERE t.taxonomy = :taxonomy AND t.label > n.name AND t.source <> 'suggestion')
        FROM named n WHERE n.name IS NOT NULL
    )
    SELECT name FROM named WHERE name IS NOT NULL
""")
_BUCKETS = text("""
    WITH RECURSIVE named AS (
        SELECT min(bucket) AS name FROM images
        UNION ALL
        SELECT (SELECT min(i.bucket) FROM images i WHERE i.bucket > n.name) FROM named n WHERE n.name IS NOT NULL
    )
    SELECT name FROM named WHERE name IS NOT NULL
""")
_NUMBERED = "unnest(%s::text[]) WITH ORDINALITY AS a (name, number)"
_ANSWERS = f"""
    SELECT t.image_id, CASE WHEN t.label IS NULL THEN {NONE} ELSE coalesce(a.number - 1, {NEW}) END::bigint,
           CASE WHEN t.space_id IS NULL THEN 2 ELSE coalesce(t.probability, 0) END::real
    FROM tags t LEFT JOIN {_NUMBERED} ON a.name = t.label
    WHERE t.taxonomy = %s AND {in_force("t", space="%s")}
"""  # noqa: S608  # made of this package's texts, here and below
# Images of which people rejected all that the model says: the taxonomy applies, and none of its labels.
_LEFT_WITHOUT = f"""
    SELECT DISTINCT t.image_id FROM tags t
    WHERE t.space_id IS NULL AND t.source = '{REJECTED}' AND t.taxonomy = %s
    AND EXISTS (SELECT FROM tags m WHERE m.image_id = t.image_id AND m.space_id = %s AND m.taxonomy = t.taxonomy)
"""  # noqa: S608
_DECISIONS = f"SELECT t.image_id, ({by_people('t')})::integer FROM tags t WHERE t.space_id IS NULL"  # noqa: S608
_TIMES = "SELECT id, extract(epoch FROM taken_at)::bigint FROM images WHERE taken_at IS NOT NULL"
_IN_BUCKETS = f"""
    SELECT i.id, coalesce(a.number - 1, {NEW})::bigint
    FROM images i LEFT JOIN {_NUMBERED.replace("text[]", 'text[] COLLATE "C"')} ON a.name = i.bucket
"""  # noqa: S608


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Column:
    """k values of images; an image may have none, or several."""

    images: Images  # [k]
    values: Numbers  # [k]
    weights: npt.NDArray[np.float32] | None = None  # [k]: of an image's values, the heaviest stands for it


def existing(connection: Connection) -> Images:
    """All images of the catalog, ascending."""
    found: Images = np.sort(copied(connection, "SELECT id FROM images", ("image", ">i8"))["image"])
    return found


def labels(connection: Connection, taxonomy: str) -> list[str]:
    """The labels of a taxonomy that any image has."""
    return list(connection.execute(_LABELS, {"taxonomy": taxonomy}).scalars())


def answers(connection: Connection, space: int, taxonomy: str, names: Sequence[str]) -> Column:
    """The tags in force: places in ``names``, ``NEW`` for another label, ``NONE`` for none of the labels.

    A person's label weighs more than a model's, and that of a higher probability more than others.
    """
    columns = (("image", ">i8"), ("label", ">i8"), ("weight", ">f4"))
    found = copied(connection, _ANSWERS, *columns, values=(list(names), taxonomy, space))
    left = copied(connection, _LEFT_WITHOUT, ("image", ">i8"), values=(taxonomy, space))["image"]
    return Column(
        images=np.concatenate([found["image"], left]),
        values=np.concatenate([found["label"], np.full(len(left), NONE)]),
        weights=np.concatenate([found["weight"], np.full(len(left), -1, np.float32)]).astype(np.float32),
    )


def decisions(connection: Connection) -> Column:
    """People's decisions in force: 1 where a label was accepted, 0 where one was rejected."""
    found = copied(connection, _DECISIONS, ("image", ">i8"), ("accepted", ">i4"))
    return Column(images=found["image"], values=found["accepted"].astype(np.int64))


def taken(connection: Connection) -> Column:
    """When images were taken, by the camera's clock, in seconds since 1970."""
    found = copied(connection, _TIMES, ("image", ">i8"), ("second", ">i8"))
    return Column(images=found["image"], values=found["second"])


def buckets(connection: Connection) -> list[str]:
    """The buckets that have images."""
    return list(connection.execute(_BUCKETS).scalars())


def in_buckets(connection: Connection, names: Sequence[str]) -> Column:
    """The bucket of each image: places in ``names``, or ``NEW``."""
    found = copied(connection, _IN_BUCKETS, ("image", ">i8"), ("bucket", ">i8"), values=(list(names),))
    return Column(images=found["image"], values=found["bucket"])
