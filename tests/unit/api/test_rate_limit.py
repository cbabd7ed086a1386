"""The limit on images that requests make a process encode."""

from __future__ import annotations

import pytest
from fastapi import HTTPException

from worker.api.rate_limit import ImageRate
from worker.api.refusals import Refusals


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rate(clock: Clock) -> ImageRate:
    return ImageRate(per_second=2, burst=10, refusals=Refusals(), clock=clock)


def test_a_burst_then_the_average(rate, clock):
    """As many at once as the burst, then as many as the rate allows."""
    rate.take(10)
    with pytest.raises(HTTPException) as refused:
        rate.take(3)
    assert (429, "2") == (refused.value.status_code, (refused.value.headers or {})["Retry-After"])
    clock.now = 1.5
    rate.take(3)
    with pytest.raises(HTTPException):
        rate.take(1)


def test_a_pause_saves_no_more_than_a_burst(rate, clock):
    """An hour of silence allows no hour's worth of images."""
    clock.now = 3_600
    rate.take(10)
    with pytest.raises(HTTPException):
        rate.take(1)


def test_a_refused_request_costs_nothing(rate, clock):
    """Otherwise a client that repeats too early would never be served."""
    rate.take(9)
    for _ in range(5):
        with pytest.raises(HTTPException):
            rate.take(5)
    clock.now = 2
    rate.take(5)


def test_requests_without_images_are_always_taken(rate):
    """They cost no encoding."""
    rate.take(10)
    rate.take(0)
