"""Estimates of how many images were enriched in a minute, and quantiles of weighted values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from worker.catalog.throughput import MOST_OF_A_MINUTE, CountedMinute, CountedSpan
from worker.pipeline.operations import throughput

START = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING = CountedSpan(images=0, start=None, end=None)


def span(images: int, start: float, end: float) -> CountedSpan:
    """Images from one second of the minute to another."""
    return CountedSpan(images=images, start=START + timedelta(seconds=start), end=START + timedelta(seconds=end))


def estimate(first: CountedSpan, last: CountedSpan = NOTHING) -> tuple[int, bool]:
    found = throughput.minute(CountedMinute(start=START, first=first, last=last))
    return found.images, found.exact


def test_few_images_are_counted():
    """Below the limit nothing is estimated."""
    assert (0, True) == estimate(NOTHING)
    assert (249, True) == estimate(span(249, 1, 59))


def test_a_steady_rate_is_estimated():
    """Images between the two parts that were read are as dense as in these: 25 a second for a minute."""
    assert (1_500, False) == estimate(span(MOST_OF_A_MINUTE, 0, 10), span(MOST_OF_A_MINUTE, 50, 60))


def test_a_pause_is_not_filled():
    """A burst at the beginning of a minute says nothing about the rest of it."""
    assert (400, False) == estimate(span(MOST_OF_A_MINUTE, 0, 1), span(150, 1, 1.5))
    assert (500, False) == estimate(span(MOST_OF_A_MINUTE, 0, 1), span(MOST_OF_A_MINUTE, 1, 2))


def test_images_of_one_moment_are_a_lower_bound():
    """Where a transaction wrote more than is read, what was read is the answer."""
    assert (500, False) == estimate(span(MOST_OF_A_MINUTE, 7, 7), span(MOST_OF_A_MINUTE, 7, 7))


def test_quantiles_of_weighted_values():
    """A value with three times the weight counts like three values."""
    assert 1.0 == throughput.quantile([(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)], 0.1)
    assert 2.0 == throughput.quantile([(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)], 0.5)
    assert 3.0 == throughput.quantile([(1.0, 1.0), (2.0, 1.0), (3.0, 3.0)], 0.5)
    assert 3.0 == throughput.quantile([(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)], 0.99)
