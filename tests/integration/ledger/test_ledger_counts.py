"""The counters of the ledger: always what they count, whoever writes, and at no cost that others wait for."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.integration.ledger.acting import claim, complete, hint
from worker import ledger
from worker.db import transaction
from worker.ledger.completion import Completion, QuarantineRecord, Retry
from worker.ledger.quarantine import QuarantineSelection
from worker.ledger.totals import BY_COUNTING
from worker.pipeline.operations.counters import keep_counts
from worker.types import Lane, Outcome, Reason


def totals(engine, bucket=None) -> dict[str, float]:
    with transaction(engine) as connection:
        return {
            name: getattr(ledger.totals.totals(connection, bucket=bucket), name)
            for name in ledger.totals.Totals.__dataclass_fields__
        }


def recounted(engine, bucket=None) -> dict[str, float]:
    with transaction(engine) as connection:
        return dict(connection.execute(BY_COUNTING, {"bucket": bucket}).one()._mapping)


def agree(engine) -> bool:
    with transaction(engine) as connection:
        assert [] == ledger.counters.miscounts(connection)
    one, other = totals(engine), recounted(engine)
    del one["oldest_pending_seconds"], other["oldest_pending_seconds"]
    return one == other


def end(engine, taken, choose: random.Random) -> None:
    """End a claim in all the ways there are."""
    entry = QuarantineRecord(reason=Reason.CORRUPT, message="bad", attempts=1)
    ended, again = [], []
    for each in taken.objects:
        outcome = choose.choice([*Outcome])
        if outcome is Outcome.RETRY:
            again.append(Retry(id=each.id, delay=0, error="no"))
        else:
            quarantine = entry if outcome is Outcome.QUARANTINED else None
            ended.append(Completion(id=each.id, outcome=outcome, etag="e", quarantine=quarantine))
    with transaction(engine) as connection:
        ledger.completion.complete(connection, taken.token, ended)
        ledger.completion.retry(connection, taken.token, again)


@pytest.mark.parametrize("seed", range(3))
def test_counters_are_what_they_count(engine, seed):
    """After any sequence of hints, claims, ends, retries and drops, folded or not: as a recount says."""
    choose = random.Random(seed)
    for _ in range(12):
        hint(engine, *(f"k{choose.randrange(60)}" for _ in range(20)))
        taken = claim(engine, size=choose.randrange(1, 30))
        if choose.random() < 0.3:
            hint(engine, *(f"k{choose.randrange(60)}" for _ in range(5)))  # mid-flight
        if taken is not None:
            end(engine, taken, choose)
        with transaction(engine) as connection:
            if choose.random() < 0.4:
                ledger.quarantine.retry(connection, QuarantineSelection(), limit=3)
            if choose.random() < 0.4:
                ledger.quarantine.drop(connection, QuarantineSelection(), limit=2)
            if choose.random() < 0.3:
                connection.execute(text("DELETE FROM inbox WHERE id IN (SELECT id FROM inbox LIMIT 3)"))
        if choose.random() < 0.5:
            keep_counts(engine)
        assert agree(engine)


def test_many_writers_and_folding_at_once(engine):
    """Nobody waits for a counter, and nothing is counted twice or not at all."""

    def work(number: int) -> None:
        hint(engine, *(f"{number % 7}-{each}" for each in range(20)))
        if (taken := claim(engine, size=15)) is not None:
            complete(engine, taken)
        if number % 5 == 0:
            keep_counts(engine)

    with ThreadPoolExecutor(6) as pool:
        for each in [pool.submit(work, number) for number in range(60)]:
            each.result()
    assert agree(engine)


def test_writers_do_not_wait_for_a_transaction_that_counts(engine):
    """An open transaction has moved objects of the same bucket and state: another one moves more and commits."""
    with transaction(engine) as slow:
        slow.execute(text("SET LOCAL lock_timeout = '1s'"))
        ledger.hints.hint(slow, [])
        slow.execute(text("INSERT INTO inbox (bucket, key, source) VALUES ('photos', 'slow', 's3')"))
        hint(engine, "quick")
        keep_counts(engine)
        assert 1 == totals(engine)["pending"]
    assert 2 == totals(engine)["pending"]


def test_a_ledger_that_was_there_before_its_counters_is_counted_once(engine):
    """After an upgrade: until then totals are counted as before, from then on by the counters."""
    hint(engine, "a", "b")
    complete(engine, claim(engine, size=1))
    with transaction(engine) as connection:
        connection.execute(text("TRUNCATE ledger_counts, ledger_deltas, ledger_counted"))
    hint(engine, "c")
    assert (1, 2) == (totals(engine)["enriched"], totals(engine)["pending"])
    for _ in range(2):
        keep_counts(engine)
        assert agree(engine)


def fill(engine, *, done: int, pending: int, retried: int, bucket: str = "b") -> None:
    """That many rows of each; the oldest that is pending was hinted an hour ago."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO inbox "
                "(bucket, key, source, wanted, done, outcome, hinted_at, lane, retry_reason, last_error) "
                "SELECT :bucket, n::text, 's3', 1, (n <= :done)::int, CASE WHEN n <= :done THEN 'enriched' END, "
                "       now() - interval '1 hour' * (n = :done + 1)::int, (n > :done + :pending)::int, "
                "       CASE WHEN n > :done + :pending THEN 'store-away' END, "
                "       CASE WHEN n > :done + :pending THEN 'no answer' END "
                "FROM generate_series(1, :done + :pending + :retried) n"
            ),
            {"bucket": bucket, "done": done, "pending": pending, "retried": retried},
        )
        connection.execute(text("ANALYZE inbox"))
    keep_counts(engine)


def pages_read(engine, ask) -> int:
    """By all statements of ``ask``, in PostgreSQL's pages of 8 KiB."""
    asked: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, *_) -> None:
        asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    with transaction(engine) as connection:
        ask(connection)
    event.remove(engine, "before_cursor_execute", note)
    assert asked
    with transaction(engine) as connection:
        explained = [
            connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters).scalar_one()
            for statement, parameters in asked
        ]
    return sum(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] for [plan] in explained)


@pytest.mark.parametrize("ask", [ledger.totals.totals, ledger.totals.retry_totals])
@pytest.mark.parametrize("bucket", [None, "b", "small"])
def test_status_reads_no_more_of_a_large_ledger(engine, ask, bucket):
    """Beside 20,000 objects of each kind, done, pending and tried again: counters, and a row of each."""
    fill(engine, done=20_000, pending=20_000, retried=20_000)
    fill(engine, done=1, pending=1, retried=1, bucket="small")
    assert pages_read(engine, lambda connection: ask(connection, bucket=bucket)) < 60


def test_what_status_says_of_a_large_ledger(engine):
    """The same as reading all of it would."""
    fill(engine, done=200, pending=100, retried=50)
    fill(engine, done=1, pending=1, retried=1, bucket="small")
    with transaction(engine) as connection:
        connection.execute(text("UPDATE inbox SET last_error = 'other' WHERE bucket = 'small'"))
        assert [("store-away", 51, "no answer")] == [
            (each.reason, each.objects, each.example) for each in ledger.totals.retry_totals(connection)
        ]
        assert [("store-away", 1, "other")] == [
            (each.reason, each.objects, each.example) for each in ledger.totals.retry_totals(connection, bucket="small")
        ]
        assert {Lane.LIVE: 101, Lane.RETRY: 51} == ledger.totals.pending_by_lane(connection)
    found = totals(engine, "b")
    assert (200, 150, 100, 50) == tuple(
        found[name] for name in ("enriched", "pending", "pending_live", "pending_retry")
    )
    assert 3600 <= found["oldest_pending_seconds"] < 3700
    assert 0 == totals(engine, "none")["oldest_pending_seconds"]


def test_a_wrong_counter_is_named_and_corrected(engine):
    """Recounting finds which, and by how much."""
    hint(engine, "a", "b")
    with transaction(engine) as connection:
        connection.execute(text("INSERT INTO ledger_deltas VALUES ('photos', 'enriched', '', 5)"))
        [found] = ledger.counters.miscounts(connection, "photos")
        assert ("photos", "enriched", 0, 5) == (found.bucket, found.state, found.recounted, found.counted)
        assert [] == ledger.counters.miscounts(connection, "other")
        ledger.counters.correct(connection, "photos")
        assert [] == ledger.counters.miscounts(connection)
