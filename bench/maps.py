"""The map of a large catalog: drawn, updated, and read as the page reads it. ``python -m bench.maps [IMAGES]``."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from bench import clusters
from bench.clusters import Clustered
from worker import catalog
from worker.catalog.maps import Map
from worker.db import Engine, transaction
from worker.pipeline.maps import colours, points, requests
from worker.pipeline.maps.draw import draw
from worker.pipeline.maps.requests import MapRequest
from worker.pipeline.maps.update import update

_CALLS = 5
_STEP = 100_000
_TAGS = text("""
    INSERT INTO tags (image_id, space_id, taxonomy, taxonomy_version, label, score, probability, source)
    SELECT i.id, :space, 'scene', 'v', CASE WHEN i.id % 11 > 0 THEN 'scene-' || i.id % 40 END, 0.2, 0.9, 'zero-shot'
    FROM images i WHERE i.id > :after AND i.id <= :last
""")
_HAS_TAGS = text("SELECT EXISTS (SELECT FROM tags WHERE taxonomy = 'scene')")
_TIMES = text("""
    UPDATE images SET taken_at = timestamp '2019-01-01' + abs(hashint8(id)) % 200000000 * interval '1 second'
    WHERE id > :after AND id <= :last
""")


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--method", default="pca", choices=("pca", "umap"))
    parser.add_argument("--sample", type=int, default=requests.USUAL_SAMPLE)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    given = parser.parse_args()
    wanted = MapRequest(method=given.method, sample=given.sample)
    with clusters.clustered(given.folder, images=given.images, indexed=False) as filled:
        _tagged(filled, given.images)
        found = {"images": given.images, **dict(_drawn(filled.engine, wanted)), **dict(_read(filled.engine))}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


def _tagged(filled: Clustered, images: int) -> None:
    """One label of forty for each image, and a time."""
    with transaction(filled.engine) as connection:
        if connection.execute(_HAS_TAGS).scalar_one():
            return
    for after in range(0, images, _STEP):
        with transaction(filled.engine) as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(_TAGS, {"space": filled.space.id, "after": after, "last": after + _STEP})
            connection.execute(_TIMES, {"after": after, "last": after + _STEP})
    with filled.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE images, tags"))
        connection.invalidate()


def _drawn(engine: Engine, wanted: MapRequest) -> Iterator[tuple[str, object]]:
    stages: list[tuple[str, float]] = []

    def note(stage: str, _: float) -> None:
        if not stages or stages[-1][0] != stage:
            stages.append((stage, time.perf_counter()))

    with _cpu() as used:
        map_ = _draw(engine, wanted, note)
    stages.append(("end", time.perf_counter()))
    yield (
        "drawing_seconds",
        {name: round(end - begun, 1) for (name, begun), (_, end) in pairwise(stages)},
    )
    yield "drawing_processor_seconds", round(used[0], 1)
    yield "memory_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    yield "poor_share", round(map_.poor_share, 4)
    again = _draw(engine, wanted, lambda _, __: None)
    yield "alignment_of_the_same_map", again.explained
    with transaction(engine) as connection:
        apart = np.abs(_places(engine, map_) - _places(engine, again)).max()
        yield "steps_between_two_maps_of_the_same", int(apart)
        connection.execute(text("DELETE FROM map_chunks WHERE map_id = :id AND first > 0"), {"id": map_.id})
        kept = {"id": map_.id, "images": min(map_.images, 65_536)}
        connection.execute(text("UPDATE maps SET images = :images WHERE id = :id"), kept)
    short = Map(**{name: getattr(map_, name) for name in map_.__dataclass_fields__} | {"images": kept["images"]})
    with _cpu() as used:
        added = update(engine, short).added
    yield "update", {"images": added, "processor_seconds": round(used[0], 1)}


def _draw(engine: Engine, wanted: MapRequest, note: Callable[[str, float], None]) -> Map:
    asked, _ = requests.request(engine, wanted)
    with transaction(engine) as connection:
        begun = catalog.maps.begin(connection, asked.id)
    if begun is None:
        raise RuntimeError(f"map {asked.id} is being drawn elsewhere")
    return draw(engine, begun, note)


def _places(engine: Engine, map_: Map) -> npt.NDArray[np.int64]:
    """Steps of the grid, from 0 to 65,535."""
    return np.frombuffer(points.points(engine, map_.id, count=map_.images), "<u2").astype(np.int64)


def _read(engine: Engine) -> Iterator[tuple[str, object]]:
    with transaction(engine) as connection:
        map_ = requests.current(connection)
    some = np.random.default_rng(0).choice(map_.images, points.MOST_IMAGES, replace=False).tolist()
    asked: dict[str, Callable[[], object]] = {
        "points": lambda: points.points(engine, map_.id, count=map_.images),
        **{f"colours by {by}": _coloured(engine, map_, by) for by in ("tag:scene", "time", "bucket", "decision")},
        "1 image": lambda: points.picked(engine, map_.id, some[:1]),
        "1,000 images": lambda: points.picked(engine, map_.id, some),
    }
    yield "reading_milliseconds", {name: round(_median(ask) * 1000) for name, ask in asked.items()}
    yield "points_bytes", 4 * map_.images


def _coloured(engine: Engine, map_: Map, by: str) -> Callable[[], object]:
    return lambda: colours.colours(engine, map_.id, by)


def _median(ask: Callable[[], object]) -> float:
    taken = []
    for _ in range(_CALLS):
        begun = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


@contextmanager
def _cpu() -> Iterator[list[float]]:
    """Seconds of this process's processor time."""
    used, begun = [0.0], time.process_time()
    yield used
    used[0] = time.process_time() - begun


if __name__ == "__main__":
    main()
