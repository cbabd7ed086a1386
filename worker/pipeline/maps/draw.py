"""The use case: draw a map that was asked for. Reads vectors in blocks, and writes all points in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from worker import catalog, logs
from worker.catalog.map_points import Images, Points
from worker.catalog.maps import LEASE, Map
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.errors import EnrichError, NotFoundError
from worker.pipeline.maps import clusters, geometry, projection, requests
from worker.pipeline.maps.geometry import Alignment, Frame
from worker.pipeline.maps.placement import Placed, Placement
from worker.pipeline.resilience.periodic import PeriodicThread
from worker.types import Floats

_log = logs.get("maps")

Stage: TypeAlias = Literal["sampling", "fitting", "placing", "storing"]
#: Told how far a stage is, 0 to 1.
Note: TypeAlias = Callable[[Stage, float], None]

#: Images drawn at random, among which the sample is chosen, for each image of the sample.
_CANDIDATES = 3
#: Candidates in a cluster, on average, and most clusters.
_PER_CLUSTER, _MOST_CLUSTERS = 100, 256
#: Vectors read at once: some 80 MB at 1,024 dimensions.
_BLOCK = 10_000
#: Common images from which the alignment is computed.
_MOST_COMMON = 100_000


class DrawingLostError(EnrichError):
    """The drawing was taken for dead, and another may be under way: its result was not stored."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Drawn:
    """All images of a map, the fitted ones first."""

    images: Images  # [n]
    placed: Placed  # [n]
    fitted: int
    far: float


def draw(engine: Engine, map_: Map, note: Note = lambda _, __: None) -> Map:
    """Draw a map that ``catalog.maps.begin`` returned, and make it the one to show. What fails is noted with it.

    Args:
        engine: the database.
        map_: what to draw.
        note: told how far it is.

    Raises:
        NotFoundError: the space was dropped, or has no vectors.
        ChoiceError: UMAP is asked for and not installed.
        DrawingLostError: it took so long without a sign of life that it was given up.
    """
    try:
        with _renewing(engine, map_, note) as noting:
            drawn, method = _drawn(engine, _space(engine, map_), map_, noting)
            noting("storing", 0.0)
            found = _store(engine, map_, drawn, method)
    except BaseException as error:  # also when a person interrupts the command
        with transaction(engine) as connection:
            catalog.maps.fail(connection, map_.id, str(error) or type(error).__name__, began=map_.began_at)
        raise
    _log.info(
        f"map {found.id} is drawn: {found.images:,} images, {found.fitted:,} of them fitted by {found.method}",
        action="map", map=found.id, images=found.images, poor=found.poor,
    )  # fmt: skip
    return found


def _space(engine: Engine, map_: Map) -> Space:
    with transaction(engine) as connection:
        found = catalog.spaces.space(connection, map_.space)
    if found is None:
        raise NotFoundError(f"space {map_.space} was dropped")
    return found


def _drawn(engine: Engine, space: Space, map_: Map, note: Note) -> tuple[_Drawn, projection.Method]:
    note("sampling", 0.0)
    fitted, vectors = _sample(engine, space, map_)
    method = projection.chosen(requests.asked(map_.method), len(fitted))
    note("fitting", 0.0)
    places = projection.project(vectors, method, seed=map_.seed)
    placement = Placement(vectors, places, seed=map_.seed)
    far = placement.usual_distance()
    known = Placed(places=places, distances=np.zeros(len(places), np.float32))
    images, placed = [fitted], [known]
    for some, found in _others(engine, space, fitted, placement, note):
        images.append(some)
        placed.append(found)
    together = Placed(
        places=np.concatenate([each.places for each in placed]),
        distances=np.concatenate([each.distances for each in placed]),
    )
    return _Drawn(images=np.concatenate(images), placed=together, fitted=len(fitted), far=far), method


def _sample(engine: Engine, space: Space, map_: Map) -> tuple[Images, Floats]:
    """The images to fit to, ascending, and their vectors."""
    with transaction(engine) as connection:
        drawn = catalog.bulk_read.uniform_sample(connection, space.id, size=_CANDIDATES * map_.sample, seed=map_.seed)
    parts = [_read(engine, space, drawn[first : first + _BLOCK]) for first in range(0, len(drawn), _BLOCK)]
    if not sum(len(images) for images, _ in parts):
        raise NotFoundError(f"space {space.id} has no vectors to draw")
    images = np.concatenate([images for images, _ in parts])
    vectors = np.concatenate([vectors.astype(np.float16) for _, vectors in parts])  # as they are stored
    if len(images) <= map_.sample:
        return images, vectors.astype(np.float32)
    centres = clusters.centres(vectors, min(len(images) // _PER_CLUSTER, _MOST_CLUSTERS), seed=map_.seed)
    chosen = clusters.stratified(clusters.assign(vectors, centres), map_.sample, seed=map_.seed)
    return images[chosen], vectors[chosen].astype(np.float32)


def _read(engine: Engine, space: Space, images: list[int]) -> tuple[Images, Floats]:
    with transaction(engine) as connection:
        return catalog.bulk_read.read_vectors(connection, space, images)


def _others(
    engine: Engine, space: Space, fitted: Images, placement: Placement, note: Note
) -> Iterator[tuple[Images, Placed]]:
    with transaction(engine) as connection:
        total, _ = catalog.bulk_read.count_vectors(connection, space.id)
    after, done = 0, 0
    while True:
        with transaction(engine) as connection:
            images, vectors = catalog.map_points.vectors_after(connection, space, after, limit=_BLOCK)
        if not len(images):
            return
        after, done = int(images[-1]), done + len(images)
        new = ~np.isin(images, fitted, assume_unique=True)
        if new.any():
            yield images[new], placement.place(vectors[new])
        note("placing", min(done / max(total, 1), 1.0))


def _store(engine: Engine, map_: Map, drawn: _Drawn, method: projection.Method) -> Map:
    with transaction(engine) as connection:
        previous = catalog.maps.newest(connection, map_.space)
        alignment, common = (None, 0)
        if previous is not None:
            old = catalog.map_points.images(connection, previous.id, count=previous.images)
            grid = catalog.map_points.grid(connection, previous.id, count=previous.images)
            alignment, common = _alignment(drawn, old, frame_of(previous).places(grid))
        places = drawn.placed.places if alignment is None else alignment(drawn.placed.places)
        frame, rest = geometry.frame_of(places), drawn.placed.distances[drawn.fitted :]
        points = Points(images=drawn.images, grid=frame.grid(places), distances=drawn.placed.distances)
        values = {
            "method": method, "images": len(drawn.images), "fitted": drawn.fitted, "far": drawn.far,
            "poor": int((rest > drawn.far).sum()), "distance": float(rest.mean()) if len(rest) else None,
            "centre_x": frame.x, "centre_y": frame.y, "half": frame.half,
            "previous": None if alignment is None or previous is None else previous.id,
            "common": None if alignment is None else common,
            "explained": None if alignment is None else alignment.explained,
        }  # fmt: skip
        found = catalog.maps.finish(connection, map_, values)
        if found is None:
            raise DrawingLostError(
                f"map {map_.id} was taken for dead while it was drawn; it was not stored: draw again"
            )
        catalog.map_points.write(connection, map_.id, points)
    return found


def _alignment(drawn: _Drawn, old: Images, places: Floats) -> tuple[Alignment | None, int]:
    """How to turn the new map onto the one before, and from how many common images that is known."""
    _, new_rows, old_rows = np.intersect1d(drawn.images, old, assume_unique=True, return_indices=True)
    step = -(-len(new_rows) // _MOST_COMMON) or 1
    new_rows, old_rows = new_rows[::step], old_rows[::step]
    return geometry.align(drawn.placed.places[new_rows], places[old_rows]), len(new_rows)


def frame_of(map_: Map) -> Frame:
    """The square that a map's grid covers."""
    if map_.centre_x is None or map_.centre_y is None or map_.half is None:
        raise ValueError(f"map {map_.id} is {map_.state}, and has no points")
    return Frame(x=map_.centre_x, y=map_.centre_y, half=map_.half)


@contextmanager
def _renewing(engine: Engine, map_: Map, note: Note) -> Iterator[Note]:
    """Notes how far the drawing is, also while nothing else is heard of it."""
    now: list[tuple[Stage, float]] = [("sampling", 0.0)]

    def renew() -> None:
        with transaction(engine) as connection:
            catalog.maps.renew(connection, map_, stage=now[0][0], done=now[0][1])

    thread = PeriodicThread(
        "map", renew, action="map", failure="how far the map is could not be noted; retrying", interval=LEASE / 12
    )

    def noting(stage: Stage, done: float) -> None:
        changed = stage != now[0][0]
        now[0] = (stage, done)
        note(stage, done)
        if changed:
            thread.hurry()

    thread.start()
    try:
        yield noting
    finally:
        thread.stop()
