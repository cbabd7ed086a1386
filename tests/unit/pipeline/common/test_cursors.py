"""Opaque cursors: what is given comes back, and nothing else is taken."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import CursorError
from worker.pipeline.common import cursors

TIMES = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
NUMBERS = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def forged(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@given(TIMES, NUMBERS, KEYS)
def test_what_is_given_comes_back(time, number, key):
    """To the microsecond, whatever the key, and in letters that need no escaping in an address."""
    cursor = cursors.encode("list", time, number, key)
    assert set(cursor) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert (time, number, key) == cursors.decode(cursor, "list", datetime, int, str)


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_anything_else_is_refused_with_a_sentence(text):
    """Never another error, however it was mangled."""
    with pytest.raises(CursorError, match="is not a cursor of this list: pass `next`"):
        cursors.decode(text, "list", datetime, int)


@pytest.mark.parametrize(
    "value",
    [
        ["other", 1, "k"],
        ["list", 1],
        ["list", 1, "k", 2],
        ["list", "1", "k"],
        ["list", True, "k"],
        ["list", 1.0, "k"],
        ["list", 1 << 63, "k"],
        ["list", 1, "a\0b"],
        ["list", 1, "\ud800"],
        ["list", 1, None],
        "list",
        {"list": 1},
        None,
        [],
    ],
)
def test_a_forged_cursor_reaches_no_database(value):
    """Wrong lists, shapes and types, and what PostgreSQL cannot hold."""
    with pytest.raises(CursorError):
        cursors.decode(forged(value), "list", int, str)


def test_a_time_beyond_the_calendar_is_refused():
    """A number that is no date is no cursor."""
    with pytest.raises(CursorError):
        cursors.decode(forged(["list", (1 << 63) - 1]), "list", datetime)


@pytest.mark.parametrize("year", [1, 1899, 9001])
def test_a_time_that_nothing_was_made_at_is_refused(year):
    """An age cannot be subtracted from the first of them."""
    cursor = cursors.encode("list", datetime(year, 1, 1, tzinfo=UTC))
    with pytest.raises(CursorError, match="is not a cursor of this list"):
        cursors.decode(cursor, "list", datetime)
