"""The use case: place images on a map that were added since it was drawn. The map is not fitted anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from worker import catalog, logs
from worker.catalog.map_points import Images, Points
from worker.catalog.maps import Map
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.errors import NotFoundError
from worker.pipeline.maps import requests
from worker.pipeline.maps.draw import frame_of
from worker.pipeline.maps.placement import Placement
from worker.types import Floats

_log = logs.get("maps")

#: Above this share of poorly placed images a map no longer shows what the collection has: it should be drawn anew.
POOR_SHARE: Final = 0.05
_BLOCK = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Updated:
    """A map after an update."""

    map: Map
    added: int  # images

    @property
    def is_worn(self) -> bool:
        """Whether so many images are poorly placed that the map should be drawn anew."""
        return self.map.poor_share > POOR_SHARE


def update(engine: Engine, map_: Map, progress: Callable[[float], None] = lambda _: None) -> Updated:
    """Place the images of its space that are not on a map. Points that are there stay where they are.

    Args:
        engine: the database.
        map_: one that is ready.
        progress: told how much is done, 0 to 1.

    Raises:
        NotFoundError: the map or its space is gone, or none of the images that it was fitted to exists any more.
    """
    with transaction(engine) as connection:
        space = catalog.spaces.space(connection, map_.space)
        if space is None:
            raise NotFoundError(f"space {map_.space} was dropped, and its maps with it")
        known = catalog.map_points.images(connection, map_.id, count=map_.images)
        new = np.setdiff1d(catalog.map_points.embedded(connection, space), known, assume_unique=True)
    points = None
    if len(new):
        at = _Updating(engine=engine, space=space, map=map_, progress=progress)
        points = at.placed(at.placement(known[: map_.fitted]), new)
    if not _extended(engine, map_, points):
        return Updated(map=_get(engine, map_.id), added=0)
    done = Updated(map=_get(engine, map_.id), added=0 if points is None else len(points.images))
    _log.info(f"{done.added:,} images were placed on map {map_.id}", action="map", map=map_.id, poor=done.map.poor)
    return done


def _extended(engine: Engine, map_: Map, points: Points | None) -> bool:
    """Append points. False if another process was quicker, or the map was replaced: nothing is stored."""
    distances = np.empty(0, np.float32) if points is None else points.distances
    poor = int((distances > (map_.far or 0)).sum())
    with transaction(engine) as connection:
        if not catalog.maps.extend(connection, map_, more=len(distances), poor=poor, distances=float(distances.sum())):
            return False
        if points is not None:
            catalog.map_points.write(connection, map_.id, points, first=map_.images)
        return True


@dataclass(frozen=True, kw_only=True, slots=True)
class _Updating:
    """An update under way."""

    engine: Engine
    space: Space
    map: Map
    progress: Callable[[float], None]

    def placement(self, fitted: Images) -> Placement:
        """Among those images that the map was fitted to and that exist still."""
        alive, vectors = self._read(fitted)
        if not len(alive):
            raise NotFoundError("none of the images that the map was fitted to exists any more: draw a new map")
        with transaction(self.engine) as connection:
            grid = catalog.map_points.grid(connection, self.map.id, count=self.map.fitted)
        order = np.argsort(fitted)
        rows = order[np.searchsorted(fitted, alive, sorter=order)]
        return Placement(vectors, frame_of(self.map).places(grid[rows]), seed=self.map.seed)

    def placed(self, placement: Placement, new: Images) -> Points:
        images, found = [], []
        for first in range(0, len(new), _BLOCK):
            some, vectors = self._read(new[first : first + _BLOCK])
            images.append(some)
            found.append(placement.place(vectors))
            self.progress(min(first + _BLOCK, len(new)) / len(new))
        places = np.concatenate([each.places for each in found])
        distances = np.concatenate([each.distances for each in found])
        return Points(images=np.concatenate(images), grid=frame_of(self.map).grid(places), distances=distances)

    def _read(self, images: Images) -> tuple[Images, Floats]:
        with transaction(self.engine) as connection:
            return catalog.bulk_read.read_vectors(connection, self.space, images.tolist())


def _get(engine: Engine, number: int) -> Map:
    with transaction(engine) as connection:
        return requests.get(connection, number)
