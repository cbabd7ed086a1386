"""Gauges of what the model says about the images of the last 24 hours, against the days before; in the scheduler."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta

from worker import catalog, metrics
from worker.catalog.tag_samples import Cell
from worker.db import Engine, snapshot
from worker.pipeline.operations import tag_stats
from worker.pipeline.operations.tag_stats import REFERENCE_DAYS, Tally
from worker.pipeline.resilience.periodic import PeriodicThread
from worker.tagging import drift

#: Seconds between two readings. One takes about a second of the database, however large the catalog is.
INTERVAL = 600.0
#: Most labels of a taxonomy with series of their own, those of most images first. Vocabularies have thousands.
MOST_LABELS = 50
#: Buckets have series of their own if there are at most so many.
MOST_BUCKETS = 10
_RECENT = timedelta(hours=24)
#: The value of the label ``bucket`` for all buckets together: the same, to Prometheus, as no such label.
_ALL = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Recent:
    """One taxonomy in all buckets or in one: the last 24 hours, and the days before."""

    taxonomy: str
    bucket: str
    now: Tally
    before: Tally


def publisher(engine: Engine) -> PeriodicThread:
    """Publishes the gauges, once it is started."""
    return PeriodicThread(
        "label statistics",
        lambda: publish(engine),
        action="stats",
        failure="the gauges of recent labels were not updated; retrying",
        interval=INTERVAL,
    )


def publish(engine: Engine) -> None:
    """Read a sample of bounded size, and set the gauges. What has no images of the last 24 hours has no series."""
    with snapshot(engine) as connection:
        space = catalog.spaces.active(connection)
        now = catalog.embedding_queue.now(connection).astimezone(UTC)
        first = (now - _RECENT).date() - REFERENCE_DAYS * timedelta(days=1)
        cells = catalog.tag_samples.cells(connection, first=first, last=now.date()) if space else []
        sample = catalog.tag_samples.read(connection, space.id if space else 0, cells, recent=now - _RECENT)
    tallies = tag_stats.tallies_of(sample)
    buckets = {cell.bucket for cell in cells}
    found = []
    for taxonomy in sorted({name for name, _, _ in tallies}):
        for bucket in (_ALL, *sorted(buckets if 1 < len(buckets) <= MOST_BUCKETS else ())):
            among = {bucket} if bucket else buckets
            recent, before = _total(tallies, taxonomy, among, recent=True), _total(tallies, taxonomy, among)
            if recent.counted:
                found.append(_Recent(taxonomy=taxonomy, bucket=bucket, now=recent, before=before))
    metrics.clear_recent_labels()
    for each in found:
        _set(each)


def _total(
    tallies: Mapping[tuple[str, Cell, bool], Tally], taxonomy: str, buckets: Collection[str], *, recent: bool = False
) -> Tally:
    return tag_stats.total(
        each
        for (name, cell, is_recent), each in tallies.items()
        if name == taxonomy and cell.bucket in buckets and is_recent is recent
    )


def _set(found: _Recent) -> None:
    whose = {"taxonomy": found.taxonomy, "bucket": found.bucket}
    metrics.RECENT_IMAGES.labels(**whose).set(round(found.now.weights))
    metrics.RECENT_NO_LABEL_SHARE.labels(**whose).set(found.now.without / found.now.weights)
    for each in tag_stats.label_stats(found.now)[:MOST_LABELS]:
        metrics.RECENT_LABEL_SHARE.labels(label=each.label, **whose).set(each.share)
        for quantile, value in (("0.1", each.p10), ("0.5", each.median), ("0.9", each.p90)):
            if found.bucket == _ALL and value is not None:
                of = {"taxonomy": found.taxonomy, "label": each.label, "quantile": quantile}
                metrics.RECENT_LABEL_PROBABILITY.labels(**of).set(value)
    compared = drift.drift(found.now.answers, found.before.answers)
    if compared.level != "too-few":
        metrics.LABEL_DRIFT.labels(**whose).set(compared.psi)
        metrics.LABEL_DRIFT_BY_CHANCE.labels(**whose).set(compared.by_chance)
        metrics.NO_LABEL_CHANGE.labels(**whose).set(compared.abstentions if compared.jump else 0.0)
