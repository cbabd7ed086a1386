"""The use case: how fast images become searchable, from what the catalog has stored about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker import catalog
from worker.catalog.throughput import MOST_OF_A_MINUTE, CountedMinute, CountedSpan, MeasuredLatency
from worker.db import Engine, snapshot

#: Minutes that are looked at.
MINUTES = 60
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Minute:
    """The images that were enriched in one minute."""

    start: datetime
    images: int
    exact: bool  # False: an estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Seconds from the receipt of an event to the commit that made its image searchable."""

    images: int  # that were measured
    median: float
    p95: float
    p99: float
    longest: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """The last hour, up to now."""

    minutes: tuple[Minute, ...]  # oldest first
    last_minute: int  # images
    last_hour: int
    exact: bool  # whether all of the hour's images were counted
    latency: Latency | None  # None: no image of the last hour was announced by an event
    latency_exact: bool  # whether all of these were measured


def throughput(engine: Engine) -> Throughput:
    """Count images by minute and measure a sample of them, in one snapshot.

    Images that have left the catalog meanwhile are not counted, and those that were enriched twice are counted once.
    """
    with snapshot(engine) as connection:
        counted = catalog.throughput.minutes(connection, count=MINUTES)
        measured = catalog.throughput.latencies(connection, count=MINUTES)
    minutes = tuple(minute(each) for each in counted)
    return Throughput(
        minutes=minutes,
        last_minute=minutes[-1].images,
        last_hour=sum(each.images for each in minutes),
        exact=all(each.exact for each in minutes),
        latency=_latency(measured, minutes),
        latency_exact=all(each.images <= catalog.throughput.MOST_LATENCIES for each in minutes),
    )


def minute(counted: CountedMinute) -> Minute:
    """How many images a minute had, by what was counted at its two ends."""
    first, last = counted.first, counted.last
    if first.images < MOST_OF_A_MINUTE or last.images < MOST_OF_A_MINUTE:
        return Minute(start=counted.start, images=first.images + last.images, exact=first.images < MOST_OF_A_MINUTE)
    between = (last.start - first.end).total_seconds() if last.start and first.end else 0.0
    density = (_density(first) + _density(last)) / 2
    return Minute(start=counted.start, images=round(first.images + last.images + density * between), exact=False)


def _density(span: CountedSpan) -> float:
    """Images per second; 0 where all are of one moment."""
    seconds = (span.end - span.start).total_seconds() if span.start and span.end else 0.0
    return span.images / seconds if seconds > 0 else 0.0


def _latency(measured: Sequence[MeasuredLatency], minutes: Sequence[Minute]) -> Latency | None:
    """Quantiles in which each minute counts by its images, however many of them were measured."""
    if not measured:
        return None
    weighted = sorted(
        (each.seconds, max(minutes[each.minute].images / catalog.throughput.MOST_LATENCIES, 1.0)) for each in measured
    )
    return Latency(
        images=len(measured),
        median=quantile(weighted, 0.5),
        p95=quantile(weighted, 0.95),
        p99=quantile(weighted, 0.99),
        longest=weighted[-1][0],
    )


def quantile(weighted: Iterable[tuple[float, float]], share: float) -> float:
    """The smallest of these (value, weight) pairs, which are in order, that this share of the weight is at or below."""
    pairs = list(weighted)
    left = share * sum(weight for _, weight in pairs)
    for value, weight in pairs:
        left -= weight
        if left <= _ROUNDING:
            return value
    return pairs[-1][0]
