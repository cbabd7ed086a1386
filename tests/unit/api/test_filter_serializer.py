"""Filters as JSON: what a command writes is what the API reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from worker.api.filter_models import from_text
from worker.api.filter_serializer import filter_json
from worker.catalog.image_filter import EVERY_IMAGE, Box, ImageFilter, Near, TagFilter
from worker.pipeline.common import periods

NIGHT = TagFilter(taxonomy="time-of-day", label="night", source="human", min_probability=0.5)


@pytest.mark.parametrize(
    "filter_",
    [
        EVERY_IMAGE,
        ImageFilter(bucket="photos", prefix="2026/", tags=(NIGHT,), suggested=(TagFilter(taxonomy="a", label="b"),)),
        ImageFilter(undecided=("setting",), source="zero-shot", camera="Canon EOS R5", format="JPEG"),
        ImageFilter(enriched_since=timedelta(days=2, hours=3), enriched_until=datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ImageFilter(taken_since=periods.begin("2024-06"), taken_until=periods.end("2024-06")),
        ImageFilter(taken_until=periods.end("2024-06-01T12:30:15")),
        ImageFilter(min_bytes=0, max_bytes=10, min_width=1, max_width=2, min_height=3, max_height=4),
        ImageFilter(box=Box(west=170, south=-10, east=-170, north=10), metadata=(("owner", "ada"), ("size", "2"))),
        ImageFilter(near=Near(latitude=48, longitude=11, kilometres=20.5)),
        ImageFilter(any=(ImageFilter(tags=(NIGHT,)), ImageFilter(format="PNG")), none=(ImageFilter(bucket="old"),)),
    ],
)
def test_a_filter_comes_back_as_it_was(filter_):
    """Every member, also those within others."""
    assert filter_ == from_text(json.dumps(filter_json(filter_)))


def test_only_what_is_given_is_written():
    """An empty filter has no members."""
    assert {} == filter_json(EVERY_IMAGE)
