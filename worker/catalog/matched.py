"""The images that match a filter: all of them if they are few, else a uniform sample, in bounded time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import text

from worker.catalog.filter_conditions import Condition, Conditions, conditions
from worker.catalog.image_filter import ImageFilter
from worker.db import Connection

#: Up to so many images that match are all taken.
MOST = 50_000
#: Of more, so many are.
SAMPLED = 20_000
# Of a larger catalog a sample is checked, unless fewer than this of it match: then all images are.
_CHECKED, _LEAST = 60_000, 2_000
_SMALL = 250_000  # images: a smaller catalog is checked as a whole
_GAPS = 8  # numbers drawn for each image wanted, at most

_ROWS = text("SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = to_regclass('images')")
_THESE = "SELECT i.id FROM images i WHERE i.id = ANY(CAST(:numbers AS bigint[]))"
_BOUNDS = text("SELECT min(id), max(id) FROM images")


@dataclass(frozen=True, kw_only=True, slots=True)
class Matched:
    """Images that match a filter."""

    images: Sequence[int]  # their numbers, ascending
    total: int  # how many match in all
    counted: bool  # whether the total was counted; else it is estimated from the sample
    drawn: int = 0  # images of the whole catalog of which ``images`` are those that match, if not counted
    catalog: int = 0  # images of the whole catalog, if not counted

    @property
    def is_all(self) -> bool:
        """Whether these are all of them."""
        return self.counted and len(self.images) == self.total


def matched(connection: Connection, filter_: ImageFilter, *, seed: int = 0) -> Matched:
    """The images that match, each of them equally likely to be taken where there are too many.

    The same filter and seed give the same sample for as long as no image comes or goes.

    Args:
        connection: in a snapshot.
        filter_: its names are resolved.
        seed: of the sample.
    """
    made = conditions(filter_)
    random = np.random.default_rng(seed)
    driver = _few(connection, made)
    if driver is None and _rows(connection) > _SMALL:
        checked = _drawn(connection, random)
        found = _checked(connection, made, checked)
        if len(found) >= _LEAST or (not made.members and made.keys == "true"):
            total = round(_rows(connection) * len(found) / max(len(checked), 1))
            images = _some(found, random, SAMPLED)
            drawn = round(len(checked) * len(images) / max(len(found), 1))
            return Matched(images=images, total=total, counted=False, drawn=drawn, catalog=round(_rows(connection)))
    ids = _all(connection, made) if driver is None else _among(connection, made, driver)
    return Matched(images=ids if len(ids) <= MOST else _some(ids, random, SAMPLED), total=len(ids), counted=True)


def array(numbers: Iterable[int]) -> str:
    """PostgreSQL's form of an array, which it reads much more quickly than thousands of parameters."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _few(connection: Connection, made: Conditions) -> Condition | None:
    """A condition that few images pass, if an index knows one."""
    members = [each for each in made.members if each.rows is not None]
    if made.keys != "true":
        members.append(
            Condition(
                check=made.keys,
                ids=f"SELECT i.id FROM images i WHERE {made.keys}",  # noqa: S608
                rows=f"SELECT FROM images i WHERE {made.keys}",
            )
        )
    for each in members:
        query = f"SELECT count(*) FROM ({each.rows} LIMIT {MOST + 1}) AS r"  # noqa: S608
        if connection.execute(text(query), dict(made.parameters)).scalar_one() <= MOST:
            return each
    return None


def _all(connection: Connection, made: Conditions) -> list[int]:
    if made.members and made.keys == "true" and all(each.rows is not None for each in made.members):
        found = [set(_ids(connection, each.ids, made.parameters)) for each in made.members]
        return sorted(set.intersection(*found))  # each from its index, instead of every image checked
    return _ids(connection, f"SELECT i.id FROM images i WHERE {made.check} ORDER BY i.id", made.parameters)  # noqa: S608


def _among(connection: Connection, made: Conditions, driver: Condition) -> list[int]:
    """Those that pass one condition, checked for the others.

    In two statements: an array that the planner knows is searched by hash, one from a subquery from end to end.
    """
    ids = _ids(connection, driver.ids, made.parameters)
    alone = made.members == (driver,) and made.keys == "true"
    return sorted(set(ids) if alone else _checked(connection, made, ids))


def _rows(connection: Connection) -> float:
    return float(connection.execute(_ROWS).scalar_one())


def _drawn(connection: Connection, random: np.random.Generator) -> list[int]:
    """A uniform sample of all images: numbers between the first and the last are drawn, and kept if they are one."""
    lowest, highest = connection.execute(_BOUNDS).one()
    span = highest - lowest + 1
    wanted = min(int(_CHECKED * min(_GAPS, 1.2 * span / max(_rows(connection), 1))), span)
    numbers = np.unique(random.integers(lowest, highest + 1, wanted)).tolist()
    return _ids(connection, _THESE, {"numbers": array(numbers)})


def _checked(connection: Connection, made: Conditions, images: Sequence[int]) -> list[int]:
    query = f"{_THESE} AND {made.check}"
    return _ids(connection, query, {**made.parameters, "numbers": array(images)})


def _ids(connection: Connection, query: str, parameters: Any) -> list[int]:
    return list(connection.execute(text(query), dict(parameters)).scalars())


def _some(images: Sequence[int], random: np.random.Generator, most: int) -> list[int]:
    if len(images) <= most:
        return sorted(images)
    return sorted(random.choice(np.asarray(images, dtype=np.int64), most, replace=False).tolist())
