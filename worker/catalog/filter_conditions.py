"""Filters in SQL: conditions on a row ``i`` of ``images``."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from worker.catalog.image_filter import Box, ImageFilter, Near, TagFilter
from worker.catalog.in_force import ACTIVE, REJECTED, applied, by_people, in_force, open_suggestion, suggested

_EARTH_KM = 6371.0088  # mean radius
_KM_PER_DEGREE = 111.19


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One member of a filter in SQL."""

    check: str  # of an image i
    ids: str  # of all images that pass
    rows: str | None  # at least as many as pass, in the order of an index; None: there is no index to count by
    tag: TagFilter | None = None  # if it is just a plain tag


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """A filter in SQL. Bucket and prefix are apart: they are a range of the index on both."""

    keys: str  # of an image i
    members: tuple[Condition, ...]
    parameters: Mapping[str, object]

    @property
    def check(self) -> str:
        """All of it, of an image i."""
        return " AND ".join((self.keys, *(each.check for each in self.members)))


def conditions(filter_: ImageFilter) -> Conditions:
    """The SQL of a filter whose names are resolved; its parameters are named ``filter0``, ``filter1`` …

    Raises:
        ValueError: a time is still an age.
    """
    values = _Values()
    keys = " AND ".join(_keys(filter_, values))
    members = tuple(_members(filter_, values))
    return Conditions(keys=keys, members=members, parameters=values.bound)


@dataclass(kw_only=True)
class _Values:
    """Bound values. Equal ones share a parameter."""

    bound: dict[str, object] = field(default_factory=dict)
    _names: dict[tuple[type, Hashable], str] = field(default_factory=dict)

    def __call__(self, value: Hashable) -> str:
        name = self._names.setdefault((type(value), value), f"filter{len(self.bound)}")
        self.bound[name] = value
        return f":{name}"


def _keys(filter_: ImageFilter, value: _Values) -> Iterator[str]:
    yield "true"
    if filter_.bucket is not None:
        yield f"i.bucket = {value(filter_.bucket)}"
    if filter_.prefix is not None:
        yield f"starts_with(i.key, {value(filter_.prefix)})"


def _members(filter_: ImageFilter, value: _Values) -> Iterator[Condition]:
    yield from _of_tags(filter_, value)
    for name in filter_.undecided:
        yield _undecided(value(name))
    yield from _of_source(filter_, value)
    yield from _of_times(filter_, value)
    yield from _of_files(filter_, value)
    if filter_.box is not None:
        yield _in_images(_inside("u", filter_.box, value), _inside("i", filter_.box, value))
    if filter_.near is not None:
        yield _around(filter_.near, value)
    for name, wanted in filter_.metadata:
        pair = f"CAST({value(json.dumps({name: wanted}))} AS jsonb)"
        yield _in_images(f"u.user_metadata @> {pair}", f"i.user_metadata @> {pair}")
    if filter_.any:
        yield _any(filter_.any, value)
    for each in filter_.none:
        yield _not(_conditions(each, value).check)


# -- tags --------------------------------------------------------------------------------------------------------------
def _of_tags(filter_: ImageFilter, value: _Values) -> Iterator[Condition]:
    for tag in filter_.tags:
        label = f"f.taxonomy = {value(tag.taxonomy)} AND f.label = {value(tag.label)}"
        source = tag.source if tag.source is not None else filter_.source
        more = [] if source is None else [f"f.source = {value(source)}"]
        # Probabilities are stored in single precision: 0.6 must be neither above nor below 0.6.
        if tag.min_probability is not None:
            more.append(f"coalesce(f.probability, 1) >= CAST({value(tag.min_probability)} AS real)")
        if tag.max_probability is not None:
            most = f"CAST({value(tag.max_probability)} AS real)"
            more.append(f"coalesce(f.probability, {most}) <= {most}")
        yield _tagged(
            " AND ".join((label, *more)),
            rows=f"SELECT FROM tags f WHERE {label} AND {applied('f')}",
            tag=None if more else tag,
        )
    for tag in filter_.suggested:
        label = f"f.taxonomy = {value(tag.taxonomy)} AND f.label = {value(tag.label)}"
        ids = f"SELECT f.image_id FROM tags f WHERE {label} AND {open_suggestion('f')}"  # noqa: S608
        yield Condition(
            check=f"EXISTS ({ids} AND f.image_id = i.id OFFSET 0)",
            ids=ids,
            rows=f"SELECT FROM tags f WHERE {label} AND {suggested('f')}",
        )


def _of_source(filter_: ImageFilter, value: _Values) -> Iterator[Condition]:
    if filter_.source == "human":
        # Spelled out: only so are people's decisions seen to be in an index of their own.
        rows = f"SELECT f.image_id FROM tags f WHERE f.space_id IS NULL AND f.label IS NOT NULL AND {by_people('f')}"  # noqa: S608
        yield Condition(check=f"EXISTS ({rows} AND f.image_id = i.id OFFSET 0)", ids=rows, rows=rows)
    elif filter_.source is not None and not filter_.tags:
        yield _tagged(f"f.source = {value(filter_.source)}", rows=None)


def _tagged(holds: str, *, rows: str | None, tag: TagFilter | None = None) -> Condition:
    # OFFSET keeps the check from becoming a join, which would be planned as if what passes lay evenly among the keys.
    return Condition(
        check=f"EXISTS (SELECT FROM image_tags f WHERE f.image_id = i.id AND {holds} OFFSET 0)",
        ids=f"SELECT f.image_id FROM image_tags f WHERE {holds}",  # noqa: S608
        rows=rows,
        tag=tag,
    )


def _undecided(taxonomy: str) -> Condition:
    """As ``label_counts`` counts them: an abstention is in force, or people rejected all that the model says."""
    own = f"SELECT FROM tags f WHERE f.image_id = i.id AND f.taxonomy = {taxonomy}"
    return _checked(
        f"(EXISTS ({own} AND f.label IS NULL AND {in_force('f')} OFFSET 0) OR "
        f"EXISTS ({own} AND f.space_id IS NULL AND f.source = '{REJECTED}' OFFSET 0) AND "
        f"EXISTS ({own} AND f.space_id = {ACTIVE} OFFSET 0)) AND "
        f"NOT EXISTS ({own} AND f.label IS NOT NULL AND {in_force('f')} OFFSET 0)"
    )


def camera(image: str) -> str:
    """SQL of a camera's make and model, as the index has them."""
    known = f"({image}.camera_make IS NOT NULL OR {image}.camera_model IS NOT NULL)"
    return f"{known} AND (coalesce({image}.camera_make, ''), coalesce({image}.camera_model, ''))"


# -- what is known of the file -----------------------------------------------------------------------------------------
def _of_times(filter_: ImageFilter, value: _Values) -> Iterator[Condition]:
    for column, operator, moment in (
        ("enriched_at", ">=", filter_.enriched_since),
        ("enriched_at", "<", filter_.enriched_until),
        ("taken_at", ">=", filter_.taken_since),
        ("taken_at", "<", filter_.taken_until),
    ):
        if isinstance(moment, timedelta):
            raise ValueError(f"{moment} is relative to no moment")  # noqa: TRY004  # a value that is not resolved yet
        if moment is not None:
            bound = value(moment)
            yield _in_images(f"u.{column} {operator} {bound}", f"i.{column} {operator} {bound}")


def _of_files(filter_: ImageFilter, value: _Values) -> Iterator[Condition]:
    if filter_.cameras:
        pairs = ", ".join(f"({value(make)}, {value(model)})" for make, model in filter_.cameras)
        yield _in_images(f"{camera('u')} IN ({pairs})", f"{camera('i')} IN ({pairs})")
    if filter_.format is not None:
        yield _checked(f"i.format = {value(filter_.format)}")
    for column, low, high in (
        ("size", filter_.min_bytes, filter_.max_bytes),
        ("width", filter_.min_width, filter_.max_width),
        ("height", filter_.min_height, filter_.max_height),
    ):
        if low is not None:
            yield _checked(f"i.{column} >= {value(low)}")
        if high is not None:
            yield _checked(f"i.{column} <= {value(high)}")


# -- places ------------------------------------------------------------------------------------------------------------
def _inside(image: str, box: Box, value: _Values) -> str:
    west, east = f"{image}.longitude >= {value(box.west)}", f"{image}.longitude <= {value(box.east)}"
    across = f"({west} OR {east})" if box.west > box.east else f"{west} AND {east}"
    return f"{image}.latitude BETWEEN {value(box.south)} AND {value(box.north)} AND {across}"


def _around(near: Near, value: _Values) -> Condition:
    """By the great circle (haversine), within a box that an index can find."""
    latitude, longitude, kilometres = value(near.latitude), value(near.longitude), value(near.kilometres)

    def within(image: str) -> str:
        box = f"{image}.latitude BETWEEN {latitude} - {span} AND {latitude} + {span}"
        return (
            f"{box} AND 2 * {_EARTH_KM} * asin(sqrt(least(1, power(sind(({image}.latitude - {latitude}) / 2), 2) "
            f"+ cosd({latitude}) * cosd({image}.latitude) * power(sind(({image}.longitude - {longitude}) / 2), 2)))) "
            f"<= {kilometres}"
        )

    span = value(near.kilometres / _KM_PER_DEGREE + 1e-6)
    return _in_images(within("u"), within("i"))


# -- together ----------------------------------------------------------------------------------------------------------
def _conditions(filter_: ImageFilter, value: _Values) -> Conditions:
    return Conditions(
        keys=" AND ".join(_keys(filter_, value)), members=tuple(_members(filter_, value)), parameters=value.bound
    )


def _any(alternatives: Sequence[ImageFilter], value: _Values) -> Condition:
    made = [_conditions(each, value) for each in alternatives]
    drivers = [driver for each in made if (driver := _driver(each)) is not None]
    rows = " UNION ALL ".join(f"SELECT FROM ({each.rows}) AS r" for each in drivers)
    return Condition(
        check=f"({' OR '.join(f'({each.check})' for each in made)})",
        ids=" UNION ".join(f"({_ids(each)})" for each in made),
        rows=rows if len(drivers) == len(made) else None,
    )


def _driver(made: Conditions) -> Condition | None:
    """The first member whose images an index finds."""
    return next((each for each in made.members if each.rows is not None), None)


def _ids(made: Conditions) -> str:
    """All that pass one alternative: by the first member that an index finds, checked for the others."""
    driver = _driver(made)
    if driver is not None and made.members == (driver,) and made.keys == "true":
        return driver.ids
    among = "" if driver is None else f"i.id = ANY(ARRAY({driver.ids})) AND "
    return f"SELECT i.id FROM images i WHERE {among}{made.check}"  # noqa: S608


def _not(check: str) -> Condition:
    return _checked(f"({check}) IS NOT TRUE")


def _checked(check: str) -> Condition:
    return Condition(check=check, ids=f"SELECT i.id FROM images i WHERE {check}", rows=None)  # noqa: S608


def _in_images(found: str, check: str) -> Condition:
    """A condition that an index of ``images``, there named ``u``, finds."""
    return Condition(
        check=check,
        ids=f"SELECT u.id FROM images u WHERE {found}",  # noqa: S608
        rows=f"SELECT FROM images u WHERE {found}",
    )
