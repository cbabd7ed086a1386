"""Lists images by when they were added, the newest first, with bounded work whatever the filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from worker.catalog.filter_conditions import Condition, Conditions, conditions
from worker.catalog.image_filter import ImageFilter
from worker.catalog.matched import array
from worker.catalog.read import COLUMNS, ImageRecord, with_tags
from worker.db import Connection

# Rows are numbered as they are added, so the index of their numbers has them in order. As for lists by key, few images
# that pass one of the filters are sorted, and else images are walked in order and each is checked.
_FEW = 10_000
_WALK = 50_000
_BY_INDEX = text("SELECT set_config('enable_seqscan', 'off', true)")


@dataclass(frozen=True, kw_only=True, slots=True)
class NewestPage:
    """Images, the one added last first."""

    images: tuple[ImageRecord, ...]
    end: int | None  # the row from which to go on; None: no more images follow


def page(connection: Connection, filter_: ImageFilter, *, limit: int, behind: int | None = None) -> NewestPage:
    """The next ``limit`` images that were added before row ``behind``; fewer where many had to be checked to find them.

    An image keeps its place when it is enriched again. Use a connection that sees one moment
    (:func:`worker.db.snapshot`): images and tags are two statements.
    """
    connection.execute(_BY_INDEX)
    newest = _Newest(connection, conditions(filter_), behind)
    few = next((each for each in newest.made.members if newest.are_few(each)), None)
    found = newest.walk(limit + 1) if few is None else newest.few(few, limit + 1)
    end = found[limit - 1].id if len(found) > limit else None
    if end is None and few is None:
        end = newest.end_of_walk()
    return NewestPage(images=tuple(with_tags(connection, found[:limit])), end=end)


class _Newest:
    """The statements for one page. They are made of this module's texts; values are bound."""

    def __init__(self, connection: Connection, made: Conditions, behind: int | None) -> None:
        self.made = made
        self._connection = connection
        self._behind = "true" if behind is None else "i.id < :behind"
        self._parameters = {**made.parameters, "behind": behind}

    def are_few(self, condition: Condition) -> bool:
        """Whether what passes one condition is known to be little enough to be sorted."""
        if condition.rows is None:
            return False
        [[count]] = self._rows(f"SELECT count(*) FROM ({condition.rows} LIMIT {_FEW + 1}) AS rows")  # noqa: S608
        return int(count) <= _FEW

    def few(self, condition: Condition, limit: int) -> Sequence[Any]:
        """All that pass one condition, checked for the others and sorted."""
        # In two statements: an array that the planner knows is searched by hash, one from a subquery from end to end.
        self._parameters["few"] = array(each[0] for each in self._rows(condition.ids))
        where = f"i.id = ANY(CAST(:few AS bigint[])) AND {self._behind} AND {self.made.check}"
        return self._rows(f"SELECT i.id, {COLUMNS} FROM images i WHERE {where} ORDER BY i.id DESC LIMIT {limit:d}")  # noqa: S608

    def walk(self, limit: int) -> Sequence[Any]:
        """From the newest on, each checked, until there are enough, or enough were checked."""
        walked = f"SELECT * FROM images i WHERE {self._behind} ORDER BY i.id DESC LIMIT {_WALK}"  # noqa: S608
        return self._rows(
            f"SELECT i.id, {COLUMNS} FROM ({walked}) AS i WHERE {self.made.check} ORDER BY i.id DESC LIMIT {limit:d}"  # noqa: S608
        )

    def end_of_walk(self) -> int | None:
        """The last row that a walk can have checked; None if it came to the end of the images."""
        query = f"SELECT i.id FROM images i WHERE {self._behind} ORDER BY i.id DESC OFFSET {_WALK - 1} LIMIT 1"  # noqa: S608
        found = self._rows(query)
        return None if not found else int(found[0].id)

    def _rows(self, query: str) -> Sequence[Any]:
        return self._connection.execute(text(query), self._parameters).all()
