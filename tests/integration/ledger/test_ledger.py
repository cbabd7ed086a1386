"""Hints and lanes: what is pending, and in which order it is taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from tests.integration.ledger.acting import claim, complete, hint, keys, retry
from tests.ledger import hints, pending, row
from worker import ledger
from worker.db import transaction
from worker.types import Lane


def test_a_hint_makes_work_pending_and_completing_ends_it(engine):
    """One hint is one piece of work."""
    hint(engine, "a")
    taken = claim(engine)
    assert ["a"] == keys(taken)
    complete(engine, taken)
    assert 0 == pending(engine)
    assert claim(engine) is None


def test_hints_coalesce(engine):
    """Ten hints for one object, in one request and in many, are one claim."""
    for _ in range(5):
        hint(engine, "a", "a")
    assert 5 == row(engine, "a").wanted
    complete(engine, claim(engine))
    assert claim(engine) is None


def test_hint_reports_what_is_newly_pending(engine):
    """Callers learn whether anybody needs to be woken."""
    hint(engine, "a")
    assert ledger.hints.HintResult(objects=2, newly_pending=1) == hint(engine, "a", "b")


def test_a_hint_that_arrives_mid_flight_is_not_lost(engine):
    """Completing covers only what the claim saw."""
    hint(engine, "a")
    taken = claim(engine)
    hint(engine, "a")
    complete(engine, taken)
    assert 1 == pending(engine)
    assert ["a"] == keys(claim(engine))


def test_a_row_in_flight_is_not_claimed_twice(engine):
    """A lease excludes everybody else while it runs, also when new hints arrive."""
    hint(engine, "a")
    claim(engine)
    hint(engine, "a")
    assert claim(engine) is None


def test_live_comes_before_retries_and_retries_before_backfill(engine):
    """Priority lives in the ledger."""
    hint(engine, "old", lane=Lane.BACKFILL)
    hint(engine, "again")
    retry(engine, claim(engine, size=1))
    hint(engine, "new")
    assert ["new", "again", "old"] == [keys(claim(engine, size=1))[0] for _ in range(3)]


def test_a_live_hint_lifts_a_backfill_row(engine):
    """An upload is not queued behind the archive it belongs to."""
    hint(engine, "x", "y", lane=Lane.BACKFILL)
    hint(engine, "y")
    assert ["y"] == keys(claim(engine, size=1))


def test_a_batch_is_filled_across_lanes(engine):
    """Capacity that live work leaves goes to the lanes behind it."""
    hint(engine, "b1", "b2", "b3", lane=Lane.BACKFILL)
    hint(engine, "live")
    assert {"live", "b1", "b2"} == set(keys(claim(engine, size=3)))


def test_a_hint_cuts_neither_a_retry_short_nor_its_attempts(engine):
    """Duplicated events must not turn backoff into a busy loop."""
    hint(engine, "a")
    retry(engine, claim(engine), delay=300)
    hint(engine, "a")
    assert claim(engine) is None
    assert 1 == row(engine, "a").attempts


def test_keys_are_kept_byte_for_byte(engine):
    """Spaces, plus, percent, emoji, slashes, dots and 1,024 bytes arrive as they were sent."""
    odd = ["a b", "a+b", "a%20b", "🙂/ü", "//x//", "./..", "k" * 1024, "A", "á", "a\u0301"]
    hint(engine, *odd)
    assert sorted(odd) == sorted(keys(claim(engine, size=100)))


def test_the_time_of_an_event_belongs_to_the_work_it_caused(engine):
    """A listing knows no times: it must not inherit last year's, or latencies are measured from there."""
    [upload] = hints("a")
    with transaction(engine) as connection:
        ledger.hints.hint(connection, [replace(upload, event_time=datetime(2025, 1, 1, tzinfo=UTC))])
    complete(engine, claim(engine))
    hint(engine, "a")
    assert claim(engine).objects[0].event_at is None
