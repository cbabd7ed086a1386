"""The use cases: read the points of a map, and find out which images they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker import catalog
from worker.catalog.read import ImageRecord
from worker.db import Engine, snapshot
from worker.errors import ChoiceError
from worker.pipeline.maps import requests

#: Most images that are looked up at once.
MOST_IMAGES: Final = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PickedImages:
    """Images of some points."""

    images: tuple[tuple[int, ImageRecord], ...]  # with their points, in the order asked for
    gone: tuple[int, ...]  # points whose images are no longer in the catalog


def count(engine: Engine, number: int, wanted: int | None) -> int:
    """How many points ``points`` returns.

    Raises:
        NotFoundError: there is no such map.
        ChoiceError: it has fewer points.
    """
    with snapshot(engine) as connection:
        return requests.points_of(requests.get(connection, number), wanted)


def points(engine: Engine, number: int, *, count: int) -> bytes:
    """x and y of the first ``count`` points of a map: uint16, little-endian.

    Raises:
        NotFoundError: there is no such map; it may have been replaced since ``count`` was asked.
        ChoiceError: it has fewer points.
    """
    with snapshot(engine) as connection:
        requests.points_of(requests.get(connection, number), count)
        return catalog.map_points.raw(connection, number, "places", count=count)


def picked(engine: Engine, number: int, chosen: Sequence[int]) -> PickedImages:
    """The images of some points of a map.

    Raises:
        NotFoundError: there is no such map.
        ChoiceError: it has no such point.
    """
    with snapshot(engine) as connection:
        map_ = requests.get(connection, number)
        beyond = next((point for point in chosen if point >= map_.images), None)
        if beyond is not None:
            raise ChoiceError(
                f"points: map {number} has no point {beyond}; its {map_.images:,} points are numbered from 0"
            )
        wanted = list(dict.fromkeys(chosen))
        ids = catalog.map_points.images_of(connection, number, wanted)
        there = set(catalog.map_points.alive(connection, list(ids.values())))
        kept = [point for point in wanted if ids[point] in there]
        records = catalog.read.images(connection, [ids[point] for point in kept])
    return PickedImages(
        images=tuple(zip(kept, records, strict=True)), gone=tuple(point for point in wanted if ids[point] not in there)
    )
