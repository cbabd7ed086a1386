"""Searches by several examples beside those by one vector, and pages far behind the first; in clustered vectors.

python -m bench.examples FOLDER [IMAGES]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from bench import clusters
from bench.clusters import Clustered
from worker import catalog
from worker.db import snapshot, transaction
from worker.images import ImageLimits
from worker.pipeline.reading.examples import ExampleVectors, Given, Stored
from worker.pipeline.reading.image_towers import ImageTowers
from worker.pipeline.reading.relevance import Relevance
from worker.pipeline.reading.search import Search
from worker.pipeline.reading.search_values import SearchQuery
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots
from worker.types import ObjectRef

_IMAGES, _QUERIES, _HITS = 100_000, 25, 20
_DEEP = (10, 50)  # pages


def rows(folder: Path, *, images: int) -> Iterator[str]:
    """A line for each kind of search: median and 95th percentile of milliseconds."""
    with clusters.clustered(folder, images=images) as filled:
        with transaction(filled.engine) as connection:  # as made, hashes of neighbours hardly differ
            connection.execute(text("UPDATE images SET phash = hashint8extended(id, 1) WHERE phash = id"))
        search, rng = _search(filled), np.random.default_rng(0)

        def given() -> Given:
            return Given(vector=tuple(filled.vectors[rng.integers(images)].astype(float).tolist()))

        def stored() -> Stored:
            return Stored(ref=ObjectRef(bucket="clustered", key=str(rng.integers(1, images + 1))))

        one = SearchQuery(like=(given(),), limit=_HITS, thorough=False, judged=False, collapse=False)
        kinds: dict[str, Callable[[], SearchQuery]] = {
            "one vector, as requests were before": lambda: replace(one, like=(given(),)),
            "one vector, judged, copies collapsed": lambda: SearchQuery(like=(given(),), limit=_HITS),
            "an image of the catalog": lambda: SearchQuery(like=(stored(),), limit=_HITS),
            "3 wanted, 1 not: average": lambda: SearchQuery(
                like=(stored(), stored(), stored()), unlike=(stored(),), limit=_HITS
            ),
            "3 wanted, 1 not: best": lambda: SearchQuery(
                like=(stored(), stored(), stored()), unlike=(stored(),), limit=_HITS, strategy="best"
            ),
            "16 wanted: best": lambda: SearchQuery(
                like=tuple(stored() for _ in range(16)), limit=_HITS, strategy="best"
            ),
            "one vector, exact": lambda: SearchQuery(like=(given(),), limit=_HITS, exact=True),
        }
        yield _line("the catalog alone: nearest", _times(lambda: _nearest(filled, given())))
        for name, make in kinds.items():
            search(make())
            yield _line(name, _times(lambda make=make: search(make())))  # type: ignore[misc]  # bound now
        yield from _pages(search, SearchQuery(like=(given(),), limit=_HITS))


def _search(filled: Clustered) -> Search:
    def no_model(*_: Any) -> Any:
        raise AssertionError("vectors and stored images need no model")

    decoders = DecodeSlots(count=1, memory=ByteBudget(1 << 20))
    limits = ImageLimits(max_bytes=1, max_pixels=1, max_side=1)
    vectors = ExampleVectors(filled.engine, no_model, ImageTowers(no_model, limits=limits, decoders=decoders))
    return Search(filled.engine, vectors, configured=no_model, relevance=Relevance(filled.engine, no_model))


def _nearest(filled: Clustered, example: Given) -> None:
    vector = np.array(example.vector, np.float32)
    with snapshot(filled.engine) as connection:
        catalog.search.nearest(connection, filled.space, vector / np.linalg.norm(vector), limit=_HITS)


def _pages(search: Search, query: SearchQuery) -> Iterator[str]:
    times: list[float] = []
    for number in range(1, max(_DEEP) + 1):
        begun = time.perf_counter()
        answer = search(query)
        times.append(1_000 * (time.perf_counter() - begun))
        if number == 1 or number in _DEEP:
            yield f"page {number:>3} of {_HITS}: {times[-1]:8.1f} ms"
        if answer.next is None:
            yield f"the search ended with page {number}"
            return
        query = replace(query, after=answer.next)


def _times(work: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(_QUERIES):
        begun = time.perf_counter()
        work()
        found.append(1_000 * (time.perf_counter() - begun))
    return found


def _line(what: str, times: list[float]) -> str:
    return f"{what:<40} {np.median(times):8.1f} ms, p95 {np.quantile(times, 0.95):8.1f}"


if __name__ == "__main__":
    for each in rows(Path(sys.argv[1]), images=int(sys.argv[2]) if len(sys.argv) > 2 else _IMAGES):
        print(each, flush=True)
