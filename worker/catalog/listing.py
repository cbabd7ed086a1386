"""Lists images by key, page by page, with bounded work whatever the filters and however large the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from worker.catalog.read import COLUMNS, ImageRecord, with_tags
from worker.catalog.search import TagFilter
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
class ImageFilter:
    """Which images to list: they must match all that is given; nothing given means all."""

    bucket: str | None = None
    prefix: str | None = None  # of the key
    tags: tuple[TagFilter, ...] = ()  # that hold now: of the active model, or of people
    source: str | None = None  # of these tags; without any, of at least one tag that holds
    updated_since: datetime | None = None  # enriched then or later


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePage:
    """Images sorted by the bytes of bucket and key."""

    images: tuple[ImageRecord, ...]
    end: ObjectRef | None  # more images follow after it; None: no more


@dataclass(frozen=True, kw_only=True, slots=True)
class _Condition:
    """One filter in SQL."""

    check: str  # of an image i
    ids: str  # of all images that pass
    rows: str | None  # at least as many as pass, in the order of an index; None: there is no index to count by


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


class _Listing:
    """The statements for one page. They are made of this module's texts; values are bound."""

    def __init__(self, *, connection: Connection, filter: ImageFilter, behind: ObjectRef | None) -> None:  # noqa: A002
        self.conditions = tuple(_conditions(filter))
        self._connection = connection
        self._keys = " AND ".join(_keys(filter, behind))
        self._checks = " AND ".join(("true", *(each.check for each in self.conditions)))
        self._parameters = _parameters(filter, behind)

    def are_few(self, condition: _Condition) -> bool:
        """Whether what passes one condition is known to be little enough to be sorted."""
        if condition.rows is None:
            return False
        [[count]] = self._rows(f"SELECT count(*) FROM ({condition.rows} LIMIT {_FEW + 1}) AS rows")  # noqa: S608
        return int(count) <= _FEW

    def few(self, condition: _Condition, limit: int) -> Sequence[Any]:
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

    def end_of_walk(self) -> ObjectRef | None:
        """The last image that a walk can have checked; None if it came to the end of the images."""
        if not self.conditions:
            return None
        part = f"{_IN_ORDER} OFFSET {_WALK - 1} LIMIT 1"
        found = self._rows(f"SELECT i.bucket, i.key FROM images i WHERE {self._keys} {part}")  # noqa: S608
        return _ref(found[0]) if found else None

    def _rows(self, query: str) -> Sequence[Any]:
        return self._connection.execute(text(query), self._parameters).all()


def _conditions(filter_: ImageFilter) -> Iterator[_Condition]:
    source = " AND f.source = :source" if filter_.source is not None else ""
    for n in range(len(filter_.tags)):
        label = f"f.taxonomy = :taxonomy{n} AND f.label = :label{n}"
        yield _tagged(label + source, rows=f"SELECT FROM tags f WHERE {label}")
    if filter_.source == "human":
        # Spelled out: only so are people's decisions seen to be in an index of their own.
        yield _tagged("f.source = 'human'", rows="SELECT FROM tags f WHERE f.source = 'human'")
    elif filter_.source is not None and not filter_.tags:
        yield _tagged("f.source = :source", rows=None)
    if filter_.updated_since is not None:
        since = "FROM images u WHERE u.enriched_at >= :updated_since"
        yield _Condition(check="i.enriched_at >= :updated_since", ids=f"SELECT u.id {since}", rows=f"SELECT {since}")


def _tagged(holds: str, *, rows: str | None) -> _Condition:
    # OFFSET keeps the check from becoming a join, which would be planned as if what passes lay evenly among the keys.
    return _Condition(
        check=f"EXISTS (SELECT FROM image_tags f WHERE f.image_id = i.id AND {holds} OFFSET 0)",
        ids=f"SELECT f.image_id FROM image_tags f WHERE {holds}",  # noqa: S608
        rows=rows,
    )


def _keys(filter_: ImageFilter, behind: ObjectRef | None) -> Iterator[str]:
    """Conditions that are a range of the index on bucket and key."""
    yield "true"
    if filter_.bucket is not None:
        yield "i.bucket = :bucket"
    if filter_.prefix is not None:
        yield "starts_with(i.key, :prefix)"
    if behind is not None:
        yield "(i.bucket, i.key) > (:behind_bucket, :behind_key)" if filter_.bucket is None else "i.key > :behind_key"


def _parameters(filter_: ImageFilter, behind: ObjectRef | None) -> dict[str, object]:
    return {
        "bucket": filter_.bucket,
        "prefix": filter_.prefix,
        "source": filter_.source,
        "updated_since": filter_.updated_since,
        "behind_bucket": behind.bucket if behind else None,
        "behind_key": behind.key if behind else None,
        **{f"taxonomy{n}": tag.taxonomy for n, tag in enumerate(filter_.tags)},
        **{f"label{n}": tag.label for n, tag in enumerate(filter_.tags)},
    }


def _ref(row: Any) -> ObjectRef:
    return ObjectRef(bucket=row.bucket, key=row.key)
