"""Lists images by key, page by page, with bounded work whatever the filters and however large the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from worker.catalog.filter_conditions import Condition, conditions
from worker.catalog.image_filter import ImageFilter
from worker.catalog.in_force import in_force
from worker.catalog.read import COLUMNS, ImageRecord, with_tags
from worker.db import Connection
from worker.types import ObjectRef

# A page is found in one of two ways, chosen by counting and not by the planner's estimates, which know nothing of where
# in the order of keys the images with a label lie:
#
# - few images pass one of the filters: all of them are looked up by that filter's index, and sorted;
# - many do: images are walked in the order of their keys and each is checked. Whoever asks for what is rare in just
#   this part of the keys gets less than a page, or nothing, and the place to go on from.
#
#: Up to so many are sorted.
_FEW = 10_000
#: So many images are checked for one page.
_WALK = 50_000

# A scan is planned where most rows pass, as if they came first: those with a label may all lie at the table's end.
_BY_INDEX = text("SELECT set_config('enable_seqscan', 'off', true)")
# The walk is planned as if it were always taken to its end, for which sorting is quicker; nearly always it ends early.
_STEP_BY_STEP = text("SELECT set_config('enable_sort', :allow, true), set_config('enable_bitmapscan', :allow, true)")
_IN_ORDER = "ORDER BY i.bucket, i.key"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePage:
    """Images sorted by the bytes of bucket and key."""

    images: tuple[ImageRecord, ...]
    end: ObjectRef | None  # more images follow after it; None: no more


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchingImages:
    """How many images match a filter, and a few of them."""

    count: int  # at most as many as were to be counted
    examples: tuple[ImageRecord, ...]  # those with the least probable tags first


def page(connection: Connection, filter_: ImageFilter, *, limit: int, behind: ObjectRef | None = None) -> ImagePage:
    """The next ``limit`` images whose keys come behind ``behind``; fewer where many had to be checked to find them.

    Images that exist all the while are on exactly one page, whatever is written meanwhile. Use a connection that sees
    one moment (:func:`worker.db.snapshot`): images and tags are two statements.
    """
    connection.execute(_BY_INDEX)
    listing = _Listing(connection=connection, filter=filter_, behind=behind)
    few = next((each for each in listing.conditions if listing.are_few(each)), None)
    if few is not None:
        found = listing.few(few, limit + 1)
        end = _ref(found[limit - 1]) if len(found) > limit else None
        return ImagePage(images=tuple(with_tags(connection, found[:limit])), end=end)
    found = listing.walk(limit)
    end = _ref(found[-1]) if len(found) == limit else listing.end_of_walk()
    return ImagePage(images=tuple(with_tags(connection, found)), end=end)


def matching(
    connection: Connection, filter_: ImageFilter, *, taxonomy: str, most: int, examples: int
) -> MatchingImages:
    """Count the images that match, up to ``most``, with those whose tag in force in a taxonomy is least probable.

    Use a connection that sees one moment: this is several statements.
    """
    listing = _Listing(connection=connection, filter=filter_, behind=None)
    ids = listing.least_probable(taxonomy, most, examples)
    query = f"SELECT i.id, {COLUMNS} FROM images i WHERE i.id = ANY(CAST(:ids AS bigint[]))"  # noqa: S608
    rows = {row.id: row for row in connection.execute(text(query), {"ids": [image for _, image in ids]})}
    found = with_tags(connection, [rows[image] for _, image in ids])
    return MatchingImages(count=ids[0][0] if ids else 0, examples=tuple(found))


class _Listing:
    """The statements for one page. They are made of this module's texts; values are bound."""

    def __init__(self, *, connection: Connection, filter: ImageFilter, behind: ObjectRef | None) -> None:  # noqa: A002
        made = conditions(filter)
        self.conditions = made.members
        self._connection = connection
        self._keys = " AND ".join((made.keys, *_behind(filter, behind)))
        self._checks = " AND ".join(("true", *(each.check for each in self.conditions)))
        self._parameters = {
            **made.parameters,
            "behind_bucket": behind.bucket if behind else None,
            "behind_key": behind.key if behind else None,
        }

    def are_few(self, condition: Condition) -> bool:
        """Whether what passes one condition is known to be little enough to be sorted."""
        if condition.rows is None:
            return False
        [[count]] = self._rows(f"SELECT count(*) FROM ({condition.rows} LIMIT {_FEW + 1}) AS rows")  # noqa: S608
        return int(count) <= _FEW

    def few(self, condition: Condition, limit: int) -> Sequence[Any]:
        """All that pass one condition, checked for the others and sorted."""
        where = f"i.id = ANY(ARRAY({condition.ids})) AND {self._keys} AND {self._checks}"
        return self._rows(f"SELECT i.id, {COLUMNS} FROM images i WHERE {where} {_IN_ORDER} LIMIT {limit:d}")  # noqa: S608

    def walk(self, limit: int) -> Sequence[Any]:
        """In the order of keys, each checked, until there are enough, or enough were checked."""
        if not self.conditions:
            return self._rows(f"SELECT i.id, {COLUMNS} FROM images i WHERE {self._keys} {_IN_ORDER} LIMIT {limit:d}")  # noqa: S608
        walked = f"SELECT * FROM images i WHERE {self._keys} {_IN_ORDER} LIMIT {_WALK}"  # noqa: S608
        self._connection.execute(_STEP_BY_STEP, {"allow": "off"})
        found = self._rows(
            f"SELECT i.id, {COLUMNS} FROM ({walked}) AS i WHERE {self._checks} {_IN_ORDER} LIMIT {limit:d}"  # noqa: S608
        )
        self._connection.execute(_STEP_BY_STEP, {"allow": "on"})
        return found

    def least_probable(self, taxonomy: str, most: int, limit: int) -> list[tuple[int, int]]:
        """(how many match, the id) of those whose tag in force in a taxonomy is least probable; none has one: first."""
        among = "".join(f" AND i.id IN ({each.ids})" for each in self.conditions)
        query = f"""
            WITH found AS MATERIALIZED (SELECT i.id FROM images i WHERE {self._keys}{among} LIMIT {most:d})
            SELECT (SELECT count(*) FROM found) AS images, f.id FROM found f
            LEFT JOIN tags t ON t.image_id = f.id AND t.taxonomy = :of AND {in_force("t")}
            GROUP BY f.id ORDER BY min(t.probability) NULLS FIRST, f.id LIMIT {limit:d}
        """  # noqa: S608
        rows = self._connection.execute(text(query), {**self._parameters, "of": taxonomy})
        return [(row.images, row.id) for row in rows]

    def end_of_walk(self) -> ObjectRef | None:
        """The last image that a walk can have checked; None if it came to the end of the images."""
        if not self.conditions:
            return None
        part = f"{_IN_ORDER} OFFSET {_WALK - 1} LIMIT 1"
        found = self._rows(f"SELECT i.bucket, i.key FROM images i WHERE {self._keys} {part}")  # noqa: S608
        return _ref(found[0]) if found else None

    def _rows(self, query: str) -> Sequence[Any]:
        return self._connection.execute(text(query), self._parameters).all()


def _behind(filter_: ImageFilter, behind: ObjectRef | None) -> Iterator[str]:
    """Where the last page ended, as a range of the index on bucket and key."""
    if behind is not None:
        yield "(i.bucket, i.key) > (:behind_bucket, :behind_key)" if filter_.bucket is None else "i.key > :behind_key"


def _ref(row: Any) -> ObjectRef:
    return ObjectRef(bucket=row.bucket, key=row.key)
