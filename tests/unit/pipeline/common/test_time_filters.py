"""Ages and times, as people write them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pipeline.common import time_filters

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("12h", timedelta(hours=12)),
        ("2d", timedelta(days=2)),
        ("1w", timedelta(days=7)),
        ("1d12h", timedelta(hours=36)),
        ("0s", timedelta()),
    ],
)
def test_a_duration_is_counted_back_from_now(text, ago):
    """One unit or several, the largest first."""
    assert NOON - ago == time_filters.at(time_filters.parse(text), now=NOON)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-01-30T12:00:00Z", datetime(2026, 1, 30, 12, tzinfo=UTC)),
        ("2026-01-30T13:30:00.25+01:30", datetime(2026, 1, 30, 12, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-01-30T12:00:00+23:59", datetime(2026, 1, 29, 12, 1, tzinfo=UTC)),
        ("2026-01-30T12:00:00-23:59", datetime(2026, 1, 31, 11, 59, tzinfo=UTC)),
        ("1900-01-01T00:00:00+16:00", datetime(1899, 12, 31, 8, tzinfo=UTC)),
    ],
)
def test_a_time_is_itself(text, when):
    """With its offset, whatever now is; in UTC, for PostgreSQL takes offsets of less than sixteen hours only."""
    moment = time_filters.at(time_filters.parse(text), now=NOON)
    assert moment is not None
    assert (when, UTC) == (moment, moment.tzinfo)


@pytest.mark.parametrize(
    "text",
    ["", " ", "2", "2 d", "d", "-2d", "h2", "12h1d", "1.5h", "2D", "٢d", "2026-01-30", "2026-01-30T12:00:00",
     "2026-01-30T12:00:00 01:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday"],
)  # fmt: skip
def test_what_is_neither_says_what_to_write(text):
    """A time without an offset could be anybody's; a bare number has no unit."""
    with pytest.raises(ValueError, match=r"neither a duration, such as 2d or 12h, nor a time with its offset"):
        time_filters.parse(text)


def test_an_age_that_no_calendar_has_is_refused():
    """Before PostgreSQL or Python would."""
    with pytest.raises(ValueError, match="longer than a hundred years"):
        time_filters.parse("9999999w")


@given(st.text())
def test_any_text_is_a_moment_or_a_sentence(text):
    """Never another error."""
    with suppress(ValueError):
        assert time_filters.at(time_filters.parse(text), now=NOON) is not None
