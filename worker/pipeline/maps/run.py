"""The use case: draw and update what was asked for. What the scheduler's process for maps does."""

from __future__ import annotations

from collections.abc import Callable

from worker import catalog, logs
from worker.catalog.maps import Map
from worker.db import Engine, transaction
from worker.errors import EnrichError
from worker.pipeline.maps.draw import draw
from worker.pipeline.maps.update import update

_log = logs.get("maps")


def run_requested(engine: Engine) -> int:
    """Draw requested maps, then place new images where that was asked for, until nothing is left.

    Returns:
        How many failed: the log says why, and the row of a map that could not be drawn.
    """
    failed = 0
    while (map_ := _begin(engine)) is not None:
        failed += _fails(lambda each: draw(engine, each), map_, "map {} was not drawn")
    with transaction(engine) as connection:
        wanting = catalog.maps.take_updates(connection)
    for each in wanting:
        failed += _fails(lambda some: update(engine, some), each, "new images were not placed on map {}")
    return failed


def _begin(engine: Engine) -> Map | None:
    with transaction(engine) as connection:
        return catalog.maps.begin(connection)


def _fails(action: Callable[[Map], object], map_: Map, sentence: str) -> bool:
    try:
        action(map_)
    except EnrichError as error:
        _log.warning(sentence.format(map_.id), action="map", map=map_.id, error=str(error))
        return True
    return False
