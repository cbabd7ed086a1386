"""The use case: colour the points of a map by a tag, people's decisions, time or bucket; one byte for each point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from worker import catalog, label_names
from worker.catalog.map_colours import NEW, NONE, Column
from worker.catalog.map_points import Images
from worker.db import Connection, Engine, snapshot
from worker.errors import ChoiceError
from worker.pipeline.common.tag_filters import require_taxonomies
from worker.pipeline.maps import requests
from worker.suggestions import shown, suggested

#: Values that mean the same on every map. All others are numbers of the legend, from 0.
GONE, UNKNOWN, OTHER, WITHOUT = 255, 254, 253, 252
#: Most entries of a legend with values of their own.
MOST: Final = 252

#: value: one of many, without order; time: one of many, in order; without: none of the labels; other: all values beyond
#: those listed; unknown: nothing is known of it; gone: no longer in the catalog.
ColourKind: TypeAlias = Literal["value", "time", "without", "other", "unknown", "gone"]

_BY = ("tag:TAXONOMY", "decision", "time", "bucket")
_KINDS: Mapping[int, tuple[ColourKind, str]] = {
    WITHOUT: ("without", "none of the labels"),
    OTHER: ("other", "others"),
    UNKNOWN: ("unknown", "unknown"),
    GONE: ("gone", "no longer in the catalog"),
}
_DECIDED = ("accepted", "rejected", "accepted and rejected")
_NUMPY_UNITS: Sequence[tuple[str, int]] = (("D", 92), ("M", 8 * 12), ("Y", MOST))  # and most parts of each


@dataclass(frozen=True, kw_only=True, slots=True)
class Colour:
    """An entry of a legend."""

    value: int
    kind: ColourKind
    name: str
    title: str
    images: int  # points of this colour


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Colours:
    """A colour for each point."""

    column: bytes  # one for each point
    legend: tuple[Colour, ...]  # only what points have; most images first, times in order


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Named:
    """Values of images, and what they are called."""

    column: Column
    names: Sequence[str]
    titles: Mapping[str, str]
    kind: ColourKind = "value"
    unknown: str = "unknown"


def colours(engine: Engine, number: int, by: str, *, count: int | None = None) -> Colours:
    """Colour the first ``count`` points of a map, or all.

    Args:
        engine: the database.
        number: of the map.
        by: ``tag:TAXONOMY``, ``decision``, ``time`` or ``bucket``.
        count: how many points.

    Raises:
        NotFoundError: there is no such map.
        ChoiceError: nothing can be coloured by this, or the map has fewer points.
    """
    with snapshot(engine) as connection:
        map_ = requests.get(connection, number)
        points = requests.points_of(map_, count)
        found = _named(connection, map_.space, by)
        images = catalog.map_points.images(connection, number, count=points)
        values = _values(found.column, images, catalog.map_colours.existing(connection))
    return _coloured(values, found)


def _named(connection: Connection, space: int, by: str) -> _Named:
    kind, _, taxonomy = by.partition(":")
    if kind == "tag" and taxonomy:
        return _tags(connection, space, taxonomy)
    if by == "decision":
        return _decisions(connection)
    if by == "time":
        return _times(connection)
    if by == "bucket":
        names = catalog.map_colours.buckets(connection)
        return _Named(column=catalog.map_colours.in_buckets(connection, names), names=names, titles={})
    raise ChoiceError(f"by: {shown(by)} is nothing to colour by; {suggested(by, _BY[1:], otherwise=_choices())}")


def _choices() -> str:
    return f"choose {', '.join(_BY[:-1])} or {_BY[-1]}"


def _tags(connection: Connection, space: int, taxonomy: str) -> _Named:
    require_taxonomies(connection, [taxonomy])
    names = catalog.map_colours.labels(connection, taxonomy)
    titles: dict[str, str] = {}
    for each in catalog.taxonomies.kept(connection, [taxonomy]):
        for label, (title, _) in label_names.titles(each.definition).items():
            titles.setdefault(label, title)
    column = catalog.map_colours.answers(connection, space, taxonomy, names)
    return _Named(column=column, names=names, titles=titles)


def _decisions(connection: Connection) -> _Named:
    found = catalog.map_colours.decisions(connection)
    images, rows = np.unique(found.images, return_inverse=True)
    accepted = np.bincount(rows, found.values == 1, minlength=len(images)) > 0
    rejected = np.bincount(rows, found.values == 0, minlength=len(images)) > 0
    values = np.where(accepted & rejected, 2, np.where(accepted, 0, 1))
    return _Named(column=Column(images=images, values=values), names=_DECIDED, titles={}, unknown="not decided")


def _times(connection: Connection) -> _Named:
    found = catalog.map_colours.taken(connection)
    seconds = found.values.astype("datetime64[s]")
    for unit, most in _NUMPY_UNITS:
        periods = seconds.astype(f"datetime64[{unit}]").astype(np.int64)
        if not len(periods) or np.ptp(periods) < most:
            break
    else:  # clocks that are wrong by centuries: these years share one colour with those before or after
        newest = int(np.quantile(periods, 0.999, method="nearest"))
        periods = np.clip(periods, newest - MOST + 1, newest)
    first = int(periods.min()) if len(periods) else 0
    last = int(periods.max()) if len(periods) else -1
    names = np.arange(first, last + 1).astype(f"datetime64[{unit}]").astype(str).tolist()
    column = Column(images=found.images, values=periods - first)
    return _Named(column=column, names=names, titles={}, kind="time", unknown="no time in the file")


def _values(column: Column, images: Images, existing: Images) -> npt.NDArray[np.int64]:
    """``[n]``: the value of each point's image, or one of those that mean the same on every map, below 0."""
    order = np.argsort(column.images, kind="stable")
    known = column.images[order]
    if column.weights is not None and (known[1:] == known[:-1]).any():
        order = np.lexsort((-column.weights, column.images))  # of an image's values, the heaviest comes first
        known = column.images[order]
    values = np.full(len(images), -UNKNOWN, np.int64)
    if len(known):
        rows = np.minimum(np.searchsorted(known, images), len(known) - 1)
        values = np.where(known[rows] == images, column.values[order][rows], values)
    values[values == NONE] = -WITHOUT
    values[values == NEW] = -OTHER
    if len(existing):
        rows = np.minimum(np.searchsorted(existing, images), len(existing) - 1)
        values[existing[rows] != images] = -GONE
    else:
        values[:] = -GONE
    return values


def _coloured(values: npt.NDArray[np.int64], found: _Named) -> Colours:
    counts = np.bincount(values[values >= 0], minlength=len(found.names))
    frequent = np.argsort(-counts, kind="stable")[:MOST]
    listed = [int(place) for place in (np.sort(frequent) if found.kind == "time" else frequent) if counts[place]]
    own = np.full(len(found.names) + 1, OTHER, np.uint8)
    own[listed] = np.arange(len(listed))
    column = np.where(values >= 0, own[np.maximum(values, 0)], -values).astype(np.uint8)
    totals = np.bincount(column, minlength=256)
    names = [(value, found.names[place]) for value, place in enumerate(listed)]
    legend = [_colour(value, found.kind, name, found.titles.get(name, name), totals) for value, name in names]
    for value, (kind, name) in _KINDS.items():
        if totals[value]:
            called = found.unknown if kind == "unknown" else name
            legend.append(_colour(value, kind, called, called, totals))
    return Colours(column=column.tobytes(), legend=tuple(legend))


def _colour(value: int, kind: ColourKind, name: str, title: str, totals: npt.NDArray[np.intp]) -> Colour:
    return Colour(value=value, kind=kind, name=name, title=title, images=int(totals[value]))
