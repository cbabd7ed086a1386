"""People's decisions: how many are recorded in a second, and what the tags in force cost those who read them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from sqlalchemy import text

from bench import clusters
from bench.clusters import BY_LOT, Clustered
from bench.table import Found, Row
from worker import catalog
from worker.catalog.decisions import Verdict
from worker.catalog.image_filter import ImageFilter
from worker.catalog.in_force import ACTIVE
from worker.db import Connection, Engine, snapshot, transaction
from worker.pipeline.review.decide import MOST, DecisionRequest, decide
from worker.types import ObjectRef

_LEAST = 2_000.0  # decisions in a second
_SHARE = 0.1  # of the images: have the tag that is searched, listed and decided about
_CALLS = 60

#: What readers did before people could reject a label.
_OLD = """
    ({0}.source = 'human' OR ({0}.space_id = {1} AND NOT EXISTS (
        SELECT FROM tags h WHERE h.image_id = {0}.image_id AND h.taxonomy = {0}.taxonomy AND h.source = 'human')))
"""
_OLD_VIEW = text("""
    CREATE SCHEMA IF NOT EXISTS before;
    CREATE OR REPLACE VIEW before.image_tags AS
    SELECT i.bucket, i.key, t.taxonomy, t.label, t.probability, t.score, t.source, s.model, t.taxonomy_version,
           t.decided_at, t.image_id
    FROM tags t JOIN images i ON i.id = t.image_id LEFT JOIN spaces s ON s.id = t.space_id
    WHERE t.label IS NOT NULL AND (t.source = 'human' OR (s.state = 'active' AND NOT EXISTS (
        SELECT FROM tags h WHERE h.image_id = t.image_id AND h.taxonomy = t.taxonomy AND h.source = 'human')))
""")
_OLD_INDEX = text("""
    CREATE INDEX IF NOT EXISTS tags_by_people ON tags (image_id, taxonomy) WHERE source = 'human';
    CREATE INDEX IF NOT EXISTS tags_by_label ON tags (taxonomy, label, image_id) WHERE label IS NOT NULL;
""")
_FORGET = text("""
    SELECT set_config('enrich.deciding', 'projected', true);
    TRUNCATE decisions;
    DELETE FROM tags WHERE space_id IS NULL;
    SELECT set_config('enrich.deciding', '', true);
""")


def rows(folder: Path, *, images: int) -> Iterator[Found]:
    """Decisions about 1 % of the images; then each way of reading by today's rule and by the one before, in turn."""
    with clusters.clustered(folder, images=images) as filled:
        _forget(filled.engine)
        try:
            yield from _written(filled, max(images // 100, MOST))
            yield from _read(filled, images)
        finally:
            _forget(filled.engine)


def _forget(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(_FORGET)
        connection.execute(_OLD_INDEX)
        connection.execute(_OLD_VIEW)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE tags, decisions"))


def _written(filled: Clustered, count: int) -> Iterator[Found]:
    """Half accept what the model says, half reject what it does not say: both rules then give readers the same."""
    rows = np.sort(np.random.default_rng(8).choice(filled.tagged[BY_LOT, _SHARE], size=count, replace=False))
    refs = [ObjectRef(bucket="clustered", key=str(row + 1)) for row in rows]
    batches = [refs[first : first + MOST] for first in range(0, len(refs), MOST)]

    def requests(part: Sequence[ObjectRef]) -> list[DecisionRequest]:
        verdicts = ((Verdict.ACCEPT, clusters.label(_SHARE)), (Verdict.REJECT, "never"))
        return [
            DecisionRequest(ref=ref, taxonomy=BY_LOT, verdict=verdict, label=label)
            for n, ref in enumerate(part)
            for verdict, label in (verdicts[n % 2],)
        ]

    record = partial(decide, filled.engine, new_labels=True)
    seconds = _seconds(lambda: [record(requests(part), reviewer="bench") for part in batches])
    ours = len(refs) / seconds
    alone = 200 / _seconds(lambda: [record(requests([ref]), reviewer="one") for ref in refs[:200]])
    yield Row(
        what=f"decisions recorded, {MOST:,} at once", unit="/s", ours=ours, other="asked for", theirs=_LEAST, goal=1
    )
    yield Row(what=f"decisions recorded, {MOST:,} at once", unit="/s", ours=ours, other="one at a time", theirs=alone)


def _read(filled: Clustered, images: int) -> Iterator[Found]:
    tag = clusters.tag(BY_LOT, _SHARE)
    rng = np.random.default_rng(4)
    queries = np.asarray(filled.vectors[np.sort(rng.integers(images, size=_CALLS))], dtype=np.float32)

    def search(connection: Connection, n: int) -> object:
        return catalog.search.nearest(connection, filled.space, queries[n], limit=10, tags=[tag])

    def page(connection: Connection, n: int) -> object:
        behind = ObjectRef(bucket="clustered", key=str(n))
        return catalog.listing.page(connection, ImageFilter(tags=(tag,)), limit=100, behind=behind)

    def counts(connection: Connection, _: int) -> object:
        return catalog.label_counts.label_counts(connection, filled.space.id, taxonomies=[BY_LOT])

    for what, call, calls in (("search with a tag", search, _CALLS), ("page of 100 with a tag", page, _CALLS),
                              ("labels counted", counts, 5)):  # fmt: skip
        new, old = _in_turn(filled.engine, call, calls)
        yield Row(
            what=f"{what}, 1 % decided, {images:,} images, p50", unit="ms", ours=1_000 * new,
            other="the rule before", theirs=1_000 * old, less_is_better=True, goal=0.9,
        )  # fmt: skip


def _in_turn(engine: Engine, call: Callable[[Connection, int], object], calls: int) -> tuple[float, float]:
    """Median seconds by today's rule and by the one before."""
    took: dict[bool, list[float]] = {False: [], True: []}
    for n in range(calls):
        for before in (False, True) if n % 2 else (True, False):
            with snapshot(engine) as connection, _rule(connection, before=before):
                call(connection, n)  # plans and caches are warm
                took[before].append(_seconds(partial(call, connection, n)))
    return statistics.median(took[False]), statistics.median(took[True])


@contextmanager
def _rule(connection: Connection, *, before: bool) -> Iterator[None]:
    if not before:
        yield
        return
    holds = f"f.taxonomy = :taxonomy{{0}} AND f.label = :label{{0}} AND {_OLD.format('f', ACTIVE)}"
    passing = f"SELECT f.image_id FROM tags f WHERE {holds}"
    connection.execute(text("SELECT set_config('search_path', 'before, ' || current_setting('search_path'), true)"))
    with (
        patch.multiple(catalog.search, _HOLDS=holds, _PASSING=passing),
        patch.object(catalog.label_counts, "in_force", lambda tag, *, space, **_: _OLD.format(tag, space)),
    ):
        yield


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
