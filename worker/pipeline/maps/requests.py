"""The use cases: ask for a map, list maps, and note what becomes of a drawing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from worker import catalog
from worker.catalog.maps import Map
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, snapshot, transaction
from worker.errors import ChoiceError, EnrichError, NotFoundError
from worker.pipeline.maps import projection
from worker.pipeline.maps.projection import AskedMethod
from worker.suggestions import shown, suggested

METHODS: Final[Mapping[str, AskedMethod]] = {"auto": "auto", "pca": "pca", "umap": "umap"}
#: Images that a map is fitted to: unless said otherwise, and at most.
USUAL_SAMPLE: Final = 20_000
MOST_SAMPLE: Final = 50_000
LEAST_SAMPLE: Final = 100


class NoMapError(EnrichError):
    """There is nothing to draw, or no map to update yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MapRequest:
    """What to draw."""

    method: AskedMethod = "auto"
    sample: int = USUAL_SAMPLE
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class MapView:
    """A map, and whether it is the one to show."""

    map: Map
    current: bool  # the newest one that is ready, of the active space
    added: int | None  # images of the space that are not on it yet; None: not known without counting very many


def request(engine: Engine, wanted: MapRequest, *, draws_here: bool = False) -> tuple[Map, bool]:
    """Ask for a map of the active space. One that is under way is returned instead.

    Args:
        engine: the database.
        wanted: how to draw it.
        draws_here: whether this process is going to draw it, so that it must have what the method needs.

    Returns:
        The map, and whether it is a new one.

    Raises:
        ChoiceError: the sample is too small or too large, or UMAP is not installed here.
        NoMapError: no image has a vector yet.
    """
    if not LEAST_SAMPLE <= wanted.sample <= MOST_SAMPLE:
        raise ChoiceError(f"sample: choose {LEAST_SAMPLE:,} to {MOST_SAMPLE:,} images, not {wanted.sample:,}")
    if draws_here:
        projection.chosen(wanted.method, MOST_SAMPLE)
    with transaction(engine) as connection:
        space = active(connection)
        if space is None or not len(catalog.map_points.vectors_after(connection, space, 0, limit=1)[0]):
            raise NoMapError("no image has a vector yet, so there is nothing to draw: upload images first")
        return catalog.maps.request(connection, space.id, method=wanted.method, sample=wanted.sample, seed=wanted.seed)


def requested(engine: Engine, wanted: MapRequest) -> MapView:
    """Like ``request``; the map as lists show it."""
    return MapView(map=request(engine, wanted)[0], current=False, added=None)


def asked(method: str) -> AskedMethod:
    """A method by its name.

    Raises:
        ChoiceError: there is none of this name.
    """
    if method not in METHODS:
        otherwise = "choose auto, pca or umap"
        raise ChoiceError(f"there is no method {shown(method)}; {suggested(method, METHODS, otherwise=otherwise)}")
    return METHODS[method]


def request_update(engine: Engine) -> MapView:
    """Ask that images added since be placed on the current map.

    Raises:
        NoMapError: there is no map yet.
    """
    with transaction(engine) as connection:
        found = current(connection)
        catalog.maps.want_update(connection, found.id)
        return MapView(map=get(connection, found.id), current=True, added=None)


def maps(engine: Engine) -> list[MapView]:
    """All maps, newest first. Of each space, two that are ready are kept."""
    with snapshot(engine) as connection:
        space = active(connection)
        newest = None if space is None else catalog.maps.newest(connection, space.id)
        found = catalog.maps.every(connection)
        vectors, exact = (0, False) if newest is None else catalog.bulk_read.count_vectors(connection, newest.space)
        return [
            MapView(
                map=each,
                current=newest is not None and each.id == newest.id,
                added=max(vectors - each.images, 0) if exact and newest is not None and each.id == newest.id else None,
            )
            for each in found
        ]


def current(connection: Connection) -> Map:
    """The map to show.

    Raises:
        NoMapError: there is none yet.
    """
    space = active(connection)
    found = None if space is None else catalog.maps.newest(connection, space.id)
    if found is None:
        raise NoMapError("there is no map of the active space yet: draw one with `enrich map draw` or POST /v1/maps")
    return found


def get(connection: Connection, number: int) -> Map:
    """A map by its number.

    Raises:
        NotFoundError: there is none.
    """
    found = catalog.maps.get(connection, number)
    if found is None:
        raise NotFoundError(
            f"there is no map {number}, or it was replaced by newer ones; GET /v1/maps and `enrich map list` show all"
        )
    return found


def points_of(map_: Map, wanted: int | None) -> int:
    """How many points to read of a map: those asked for, or all.

    Raises:
        NoMapError: it is not ready.
        ChoiceError: it has fewer.
    """
    if map_.state != "ready":
        why = f"drawing it failed ({map_.error})" if map_.state == "failed" else "it is not drawn yet: ask again later"
        raise NoMapError(f"map {map_.id} has no points: {why}")
    if wanted is not None and wanted > map_.images:
        raise ChoiceError(f"count: map {map_.id} has {map_.images:,} points, not {wanted:,}")
    return map_.images if wanted is None else wanted


def active(connection: Connection) -> Space | None:
    """The active space; None if nothing was ever embedded."""
    return catalog.spaces.active(connection)
