"""Searches among images with a tag: how many of the nearest they find, and how long they take; as the API searches,
with codes in memory, as the database alone does, and by pgvector's defaults.

The filter agrees with the query (it lies among what passes), opposes it (it lies as far from that as a tenth of all
images do), or has nothing to do with it, at four shares of images that pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from sqlalchemy import text

from bench import clusters
from bench.clusters import BY_LOT, NEAR, SHARES, Clustered
from bench.table import Found, Note, Row
from worker import catalog
from worker.catalog.search import Nearest
from worker.catalog.write import literal
from worker.db import Connection
from worker.pipeline.reading.filtered_search import FilteredSearch
from worker.types import Floats

_HITS = 10
_RECALL, _MILLISECONDS = 0.95, 50.0
_MEMORY = 512 << 20
_KINDS = {"agrees": NEAR[0], "neutral": BY_LOT, "opposes": NEAR[0]}
_TOLD_APART = 0.6  # length of what a query has beside the image that it is made of
_STEP = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """Queries through one filter, and the rows that are nearest among what passes."""

    kind: str
    taxonomy: str
    share: float
    queries: Floats  # [n, d]
    nearest: Any  # [n, 10]

    @property
    def words(self) -> str:
        return f"filter that {100 * self.share:g} % pass, {self.kind}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Measured:
    """What a way of searching did with the queries of a case."""

    recall: float
    p50: float  # milliseconds
    p95: float
    processor: float  # milliseconds of the server's process, a query, however busy the machine is
    own: float  # milliseconds of this process, a query
    exact: float  # share of the answers
    complete: float


def rows(folder: Path, *, images: int, queries: int) -> Iterator[Found]:
    """Recall and times for each filter, one connection, everything in memory."""
    with clusters.clustered(folder, images=images) as filled, filled.engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.commit()
        search = FilteredSearch(filled.engine, memory=_MEMORY)
        seconds = 0.0
        for case in _cases(filled, queries):
            seconds = max(seconds, _have_read(search, connection, filled, case))
            ours = _measured(connection, case, partial(_ours, search, connection, filled, case))
            alone = _measured(connection, case, partial(_ours, catalog.search.nearest, connection, filled, case))
            theirs = _measured(connection, case, partial(_theirs, connection, filled, case))
            yield Row(
                what=f"{case.words}: recall@{_HITS} among {images:,}",
                unit="",
                ours=ours.recall,
                other="wanted at least",
                theirs=_RECALL,
                goal=1.0,
            )
            yield Row(
                what=f"{case.words}: p95 among {images:,}",
                unit="ms",
                ours=ours.p95,
                other="wanted at most",
                theirs=_MILLISECONDS,
                less_is_better=True,
                goal=1.0,
            )
            yield Note(
                sentence=f"{case.words}, {images:,} images: ours {_told(ours)}, exact {ours.exact:.0%}, complete "
                f"{ours.complete:.0%}; the database alone {_told(alone)}, exact {alone.exact:.0%}; pgvector's "
                f"defaults, filtered afterwards: {_told(theirs)}"
            )
        yield Note(
            sentence=f"codes of {images:,} images and {len(_KINDS) - 1} × {len(SHARES)} tags: "
            f"{search.nbytes / (1 << 20):.0f} MiB, read in {seconds:.1f} s"
        )


def _told(found: _Measured) -> str:
    return (
        f"recall@{_HITS} {found.recall:.3f}, p50 {found.p50:.0f} ms, p95 {found.p95:.0f} ms, "
        f"{found.processor:.0f} + {found.own:.0f} ms of the server's and our processor"
    )


def _have_read(search: FilteredSearch, connection: Connection, filled: Clustered, case: _Case) -> float:
    """Have the codes and the tag in memory, as after the first search; returns seconds of reading them."""
    _ours(search, connection, filled, case, case.queries[0])
    connection.rollback()
    begun = time.perf_counter()
    search.wait()
    return time.perf_counter() - begun


_Search: TypeAlias = Callable[..., Nearest]


def _ours(
    search: _Search, connection: Connection, filled: Clustered, case: _Case, vector: Floats
) -> tuple[set[int], bool, bool]:
    tags = [clusters.tag(case.taxonomy, case.share)]
    found = search(connection, filled.space, vector, limit=_HITS, tags=tags)
    return {int(hit.key) - 1 for hit in found.hits}, found.exact, found.complete


def _theirs(connection: Connection, filled: Clustered, case: _Case, vector: Floats) -> tuple[set[int], bool, bool]:
    """As one would write it: the defaults, and the filter as the view has it."""
    connection.execute(text("SET LOCAL hnsw.iterative_scan = off"))
    connection.execute(text("SET LOCAL hnsw.ef_search = 40"))
    distance = f"e.vector::halfvec({filled.space.dimension}) <#> CAST(:vector AS halfvec({filled.space.dimension}))"
    query = f"""
        SELECT e.image_id FROM embeddings_{filled.space.id} e
        WHERE EXISTS (SELECT FROM image_tags f WHERE f.image_id = e.image_id
                      AND f.taxonomy = :taxonomy AND f.label = :label OFFSET 0)
        ORDER BY {distance} LIMIT {_HITS}
    """
    tag = clusters.tag(case.taxonomy, case.share)
    parameters = {"vector": literal(vector), "taxonomy": tag.taxonomy, "label": tag.label}
    return {image - 1 for image in connection.execute(text(query), parameters).scalars()}, False, False


def _measured(connection: Connection, case: _Case, ask: Callable[[Floats], tuple[set[int], bool, bool]]) -> _Measured:
    """Every query twice: the first time brings what it reads into memory."""
    process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    connection.rollback()
    right, taken, exact, complete = [], [], [], []
    for measured in (False, True):
        used, own = _processor_milliseconds(process), time.process_time()
        for vector, nearest in zip(case.queries, case.nearest, strict=True):
            begun = time.perf_counter()
            found, is_exact, is_complete = ask(vector)
            milliseconds = 1000 * (time.perf_counter() - begun)
            connection.rollback()
            if measured:
                right.append(len(found & set(nearest.tolist())) / _HITS)
                taken.append(milliseconds)
                exact.append(is_exact)
                complete.append(is_complete)
    return _Measured(
        recall=float(np.mean(right)),
        p50=float(np.median(taken)),
        p95=float(np.percentile(taken, 95)),
        processor=(_processor_milliseconds(process) - used) / len(taken),
        own=1000 * (time.process_time() - own) / len(taken),
        exact=float(np.mean(exact)),
        complete=float(np.mean(complete)),
    )


def _processor_milliseconds(process: int) -> float:
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e6
    except FileNotFoundError:  # not Linux
        return float("nan")


def _cases(filled: Clustered, queries: int) -> Sequence[_Case]:
    rng = np.random.default_rng(7)
    drawn = [
        (kind, taxonomy, share, _queries(filled, _pool(filled, kind, taxonomy, share), queries, rng))
        for share in SHARES
        for kind, taxonomy in _KINDS.items()
    ]
    found = _nearest(filled, [(taxonomy, share, vectors) for _, taxonomy, share, vectors in drawn])
    return [
        _Case(kind=kind, taxonomy=taxonomy, share=share, queries=vectors, nearest=nearest)
        for (kind, taxonomy, share, vectors), nearest in zip(drawn, found, strict=True)
    ]


def _pool(filled: Clustered, kind: str, taxonomy: str, share: float) -> Any:
    """The rows that a case's queries are made of."""
    count = len(filled.vectors)
    if kind == "opposes":
        return np.argpartition(filled.scores[taxonomy], count // 10)[: count // 10]
    return filled.tagged[taxonomy, share] if kind == "agrees" else np.arange(count)


def _queries(filled: Clustered, pool: Any, count: int, rng: np.random.Generator) -> Floats:
    of = np.sort(rng.choice(pool, count, replace=False))
    return clusters.unit(filled.vectors[of].astype(np.float32) + _TOLD_APART * clusters.noise(rng, count))


def _nearest(filled: Clustered, asked: Sequence[tuple[str, float, Floats]]) -> list[Any]:
    """By comparing all that pass: for each case ``[n, 10]`` rows."""
    everything = np.concatenate([vectors for _, _, vectors in asked])
    ends = np.cumsum([0, *(len(vectors) for _, _, vectors in asked)])
    kept: list[list[tuple[Any, Any]]] = [[] for _ in asked]
    for first in range(0, len(filled.vectors), _STEP):
        part = np.asarray(filled.vectors[first : first + _STEP], dtype=np.float32)
        similar = everything @ part.T
        for number, (taxonomy, share, _) in enumerate(asked):
            tagged = filled.tagged[taxonomy, share]
            passing = tagged[slice(*np.searchsorted(tagged, (first, first + _STEP)))]
            if len(passing):
                scores = similar[ends[number] : ends[number + 1]][:, passing - first]
                few = min(_HITS, len(passing))
                best = np.argpartition(-scores, few - 1, axis=1)[:, :few]
                kept[number].append((passing[best], np.take_along_axis(scores, best, axis=1)))
    found = []
    for parts in kept:
        images, scores = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
        found.append(np.take_along_axis(images, np.argsort(-scores, axis=1)[:, :_HITS], axis=1))
    return found
