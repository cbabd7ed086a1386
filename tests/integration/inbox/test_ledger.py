"""The ledger on a real PostgreSQL: hint, claim, complete, expire, fail, in the orders that matter."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, text

from tests.ledger import expire_leases, hints, make_due, pending, row
from worker import inbox
from worker.db import Engine, transaction
from worker.inbox import Completion, QuarantineEntry, Retry, claims, completion
from worker.types import Lane, Outcome, Reason


def claim(engine: Engine, *, size: int = 10, lease: float = 60, suspects: bool = True, worker: str = "w"):
    with transaction(engine) as connection:
        return inbox.claim(connection, worker=worker, size=size, lease=lease, suspects=suspects)


def hint(engine: Engine, *keys: str, lane: Lane = Lane.LIVE):
    with transaction(engine) as connection:
        return inbox.hint(connection, hints(*keys), lane=lane)


def complete(engine: Engine, taken, outcome: Outcome = Outcome.ENRICHED) -> int:
    with transaction(engine) as connection:
        held = inbox.lock(connection, taken.token, [each.id for each in taken.objects])
        inbox.complete(connection, taken.token, [Completion(id=id_, outcome=outcome, etag="e") for id_ in held])
        return len(held)


def retry(engine: Engine, taken, *, delay: float = 0, counted: bool = True) -> None:
    with transaction(engine) as connection:
        retries = [Retry(id=each.id, delay=delay, error="boom", counted=counted) for each in taken.objects]
        inbox.retry(connection, taken.token, retries)


def keys(taken) -> list[str]:
    return [each.ref.key for each in taken.objects] if taken else []


def test_a_hint_makes_work_pending_and_completing_ends_it(engine):
    """One hint is one piece of work."""
    hint(engine, "a")
    taken = claim(engine)
    assert keys(taken) == ["a"]
    complete(engine, taken)
    assert pending(engine) == 0
    assert claim(engine) is None


def test_hints_coalesce(engine):
    """Ten hints for one object, in one request and in many, are one claim."""
    for _ in range(5):
        hint(engine, "a", "a")
    assert row(engine, "a").wanted == 5
    complete(engine, claim(engine))
    assert claim(engine) is None


def test_hint_reports_what_is_newly_pending(engine):
    """Callers learn whether anybody needs to be woken."""
    hint(engine, "a")
    assert inbox.Hinted(objects=2, newly_pending=1) == hint(engine, "a", "b")


def test_a_hint_that_arrives_mid_flight_is_not_lost(engine):
    """Completing covers only what the claim saw."""
    hint(engine, "a")
    taken = claim(engine)
    hint(engine, "a")
    complete(engine, taken)
    assert pending(engine) == 1
    assert keys(claim(engine)) == ["a"]


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
    assert [keys(claim(engine, size=1))[0] for _ in range(3)] == ["new", "again", "old"]


def test_a_live_hint_lifts_a_backfill_row(engine):
    """An upload is not queued behind the archive it belongs to."""
    hint(engine, "x", "y", lane=Lane.BACKFILL)
    hint(engine, "y")
    assert keys(claim(engine, size=1)) == ["y"]


def test_a_batch_is_filled_across_lanes(engine):
    """Capacity that live work leaves goes to the lanes behind it."""
    hint(engine, "b1", "b2", "b3", lane=Lane.BACKFILL)
    hint(engine, "live")
    assert {"live", "b1", "b2"} == set(keys(claim(engine, size=3)))


def test_concurrent_claims_are_disjoint_and_leave_nothing(engine):
    """Eight threads empty the ledger; every object is in exactly one hand."""
    hint(engine, *(f"k{number:03}" for number in range(300)))

    def drain(_: int) -> list[str]:
        mine: list[str] = []
        while (taken := claim(engine, size=7)) is not None:
            mine += keys(taken)
        return mine

    with ThreadPoolExecutor(8) as pool:
        hands = list(pool.map(drain, range(8)))
    assert sorted(f"k{number:03}" for number in range(300)) == sorted(key for hand in hands for key in hand)


def test_members_of_a_dead_workers_batch_are_retried_alone(engine):
    """After a lease ended without a word, each object is claimed by itself and says so."""
    hint(engine, "a", "b", "c")
    claim(engine)
    expire_leases(engine)
    hint(engine, "fresh")
    suspects = [claim(engine) for _ in range(3)]
    assert [(s.suspect, len(s.objects), s.objects[0].attempts) for s in suspects] == [(True, 1, 2)] * 3
    assert keys(claim(engine)) == ["fresh"]


def test_a_claim_without_suspects_takes_fresh_work(engine):
    """A process that has a suspect in hand goes on with ordinary work elsewhere."""
    hint(engine, "a")
    claim(engine)
    expire_leases(engine)
    hint(engine, "fresh")
    assert keys(claim(engine, suspects=False)) == ["fresh"]


def test_a_late_worker_changes_nothing(engine):
    """The fencing token decides, not who finishes first."""
    hint(engine, "a")
    late = claim(engine, worker="late")
    expire_leases(engine)
    current = claim(engine, worker="current")
    assert complete(engine, late) == 0
    retry(engine, late)
    with transaction(engine) as connection:
        # Even a caller that forgets to lock first cannot get past the guard.
        stale = [Completion(id=late.objects[0].id, outcome=Outcome.GONE)]
        inbox.complete(connection, late.token, stale)
    assert (current.token, "current", None) == tuple(
        getattr(row(engine, "a"), name) for name in ("token", "worker", "outcome")
    )
    assert complete(engine, current) == 1


def test_a_late_worker_may_finish_while_nobody_else_took_over(engine):
    """An ended lease alone loses no finished work."""
    hint(engine, "a")
    taken = claim(engine)
    expire_leases(engine)
    assert complete(engine, taken) == 1


def test_a_renewed_lease_holds_and_an_ended_one_cannot_be_renewed(engine):
    """Renewal tells the holder which of its claims are still its own."""
    hint(engine, "a")
    first = claim(engine, lease=0.2)
    with transaction(engine) as connection:
        assert {first.token} == inbox.renew(connection, [first.token, 12345], lease=60)
    assert claim(engine) is None
    expire_leases(engine)
    with transaction(engine) as connection:
        assert set() == inbox.renew(connection, [first.token], lease=60)


def test_a_retry_waits_for_its_delay(engine):
    """Backoff is in the ledger: nobody gets the row before its time."""
    hint(engine, "a")
    retry(engine, claim(engine), delay=300)
    assert claim(engine) is None
    found = row(engine, "a")
    assert (1, "boom", int(Lane.RETRY), None) == (found.attempts, found.last_error, found.lane, found.token)


def test_a_hint_cuts_neither_a_retry_short_nor_its_attempts(engine):
    """Duplicated events must not turn backoff into a busy loop."""
    hint(engine, "a")
    retry(engine, claim(engine), delay=300)
    hint(engine, "a")
    assert claim(engine) is None
    assert row(engine, "a").attempts == 1


def test_an_outage_takes_the_attempt_back(engine):
    """What was not the object's fault does not count against it."""
    hint(engine, "a")
    for _ in range(10):
        retry(engine, claim(engine), counted=False)
        make_due(engine)
    assert row(engine, "a").attempts == 0


def test_attempts_start_anew_with_new_work(engine):
    """An object that was finished and is hinted again has all its attempts."""
    hint(engine, "a")
    retry(engine, claim(engine))
    complete(engine, claim(engine), Outcome.EXCLUDED)
    hint(engine, "a")
    assert claim(engine).objects[0].attempts == 1


def test_released_claims_are_visible_at_once_and_uncounted(engine):
    """A worker that shuts down gives back what it did not touch."""
    hint(engine, "a", "b")
    taken = claim(engine)
    with transaction(engine) as connection:
        assert inbox.release(connection, [taken.token]) == 2
    again = claim(engine)
    assert (again.suspect, len(again.objects), again.objects[0].attempts) == (False, 2, 1)


def test_an_abandoned_batch_is_taken_apart_at_once(engine):
    """When a batch fails as a whole its members need not wait for the lease."""
    hint(engine, "a", "b")
    taken = claim(engine)
    with transaction(engine) as connection:
        inbox.abandon(connection, taken.token)
    assert [claim(engine).suspect for _ in range(2)] == [True, True]


def test_unchanged_keeps_outcome_and_etag(engine):
    """A 304 confirms what is there."""
    hint(engine, "a")
    complete(engine, claim(engine))
    hint(engine, "a")
    taken = claim(engine)
    with transaction(engine) as connection:
        inbox.complete(connection, taken.token, [Completion(id=taken.objects[0].id, outcome=Outcome.UNCHANGED)])
    assert (row(engine, "a").outcome, row(engine, "a").etag) == ("enriched", "e")


def test_quarantine_is_entered_with_its_reason_and_left_by_success(engine):
    """The reason and the first bytes are kept until the object becomes something better."""
    hint(engine, "a")
    taken = claim(engine)
    entry = QuarantineEntry(reason=Reason.CORRUPT, message="bad", attempts=1, size=7, first_bytes=b"\x00\xff")
    with transaction(engine) as connection:
        done = Completion(id=taken.objects[0].id, outcome=Outcome.QUARANTINED, etag="q", quarantine=entry)
        inbox.complete(connection, taken.token, [done])
        [found] = inbox.quarantined(connection)
    assert (
        found.key, found.reason, found.message, found.etag, found.size, found.first_bytes,
    ) == ("a", "corrupt", "bad", "q", 7, b"\x00\xff")  # fmt: skip
    hint(engine, "a")
    complete(engine, claim(engine))
    with transaction(engine) as connection:
        assert inbox.quarantined(connection) == []


def test_every_object_is_counted_once(engine):
    """The five totals partition the ledger."""
    hint(engine, *"abcdef")
    for outcome in (Outcome.ENRICHED, Outcome.EXCLUDED, Outcome.GONE, Outcome.QUARANTINED):
        complete(engine, claim(engine, size=1), outcome)
    claim(engine, size=1)
    with transaction(engine) as connection:
        found = inbox.totals(connection)
    assert (
        found.enriched, found.excluded, found.gone, found.quarantined, found.pending, found.in_flight,
    ) == (1, 1, 1, 1, 2, 1)  # fmt: skip
    with transaction(engine) as connection:
        assert inbox.totals(connection, bucket="other").pending == 0


def test_pending_work_is_counted_by_lane(engine):
    """The gauge sees what waits and what is in hand, and nothing that is done."""
    hint(engine, "done")
    complete(engine, claim(engine))
    hint(engine, "a", "b")
    hint(engine, "old", lane=Lane.BACKFILL)
    claim(engine, size=1)
    with transaction(engine) as connection:
        assert {Lane.LIVE: 2, Lane.BACKFILL: 1} == inbox.pending_by_lane(connection)


def test_claimable_says_what_a_claim_would_find(engine):
    """The sweeper's question has the claim's answer."""

    def claimable() -> bool:
        with transaction(engine) as connection:
            return inbox.claimable(connection)

    answers = [claimable()]
    hint(engine, "a")
    answers.append(claimable())
    claim(engine)
    answers.append(claimable())
    expire_leases(engine)
    answers.append(claimable())
    assert answers == [False, True, False, True]


def test_requests_naming_the_same_objects_in_opposite_order_do_not_deadlock(engine):
    """Hints lock in key order whatever the order of the request."""
    names = [f"k{number}" for number in range(200)]

    def send(turn: int) -> None:
        hint(engine, *(names if turn % 2 else reversed(names)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(40)))
    assert row(engine, "k0").wanted == 40


def test_completing_and_hinting_the_same_objects_do_not_deadlock(engine):
    """Completion locks in the same order as hints."""
    names = [f"k{number:02}" for number in range(50)]

    def send(_: int) -> None:
        hint(engine, *reversed(names))

    def work(_: int) -> None:
        if (taken := claim(engine, size=50)) is not None:
            complete(engine, taken)

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(send if turn % 2 else work, turn) for turn in range(60)]:
            future.result()
    while (taken := claim(engine, size=50)) is not None:
        complete(engine, taken)
    assert pending(engine) == 0


def test_keys_are_kept_byte_for_byte(engine):
    """Spaces, plus, percent, emoji, slashes, dots and 1,024 bytes arrive as they were sent."""
    odd = ["a b", "a+b", "a%20b", "🙂/ü", "//x//", "./..", "k" * 1024, "A", "á", "a\u0301"]
    hint(engine, *odd)
    assert sorted(odd) == sorted(keys(claim(engine, size=100)))


@pytest.mark.parametrize("done", [20_000])
def test_claims_do_not_read_finished_rows(engine, done):
    """The claim's plan touches the partial indexes only, however much is done."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO inbox (bucket, key, source, wanted, done, outcome) "
                "SELECT 'b', 'done' || n, 's3', 1, 1, 'enriched' FROM generate_series(1, :n) n"
            ),
            {"n": done},
        )
        connection.execute(text("ANALYZE inbox"))
    hint(engine, "a")
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_stat_reset()"))
        plan = "\n".join(
            connection.execute(
                text(
                    "EXPLAIN SELECT id FROM inbox WHERE done < wanted AND token IS NULL AND lane = 0 "
                    "AND visible_at <= now() ORDER BY visible_at LIMIT 10 FOR UPDATE SKIP LOCKED"
                )
            ).scalars()
        )
    assert "inbox_fresh" in plan
    assert "Seq Scan" not in plan


ENDINGS = {
    "renew": lambda connection, token: inbox.renew(connection, [token], lease=60),
    "release": lambda connection, token: inbox.release(connection, [token]),
    "abandon": inbox.abandon,
}


def wait_for_a_blocked_statement(connection) -> None:
    deadline = time.monotonic() + 5
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while not connection.execute(waiting).scalar_one():
        assert time.monotonic() < deadline, "nothing waits for the lock"
        time.sleep(0.01)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_touches_whole_claims_locks_in_the_order_of_hints(engine, ending):
    """Otherwise one of the two is sacrificed to end the deadlock, and if it is the hint, an image is lost."""
    for key in "ba":  # rows lie in another order than their keys
        hint(engine, key)
    taken = claim(engine)
    lock = text("SELECT FROM inbox WHERE key = :key FOR UPDATE")

    def touch() -> None:
        with transaction(engine) as connection:
            ENDINGS[ending](connection, taken.token)

    with ThreadPoolExecutor(1) as pool, transaction(engine) as hinting:
        hinting.execute(lock, {"key": "a"})
        touching = pool.submit(touch)
        wait_for_a_blocked_statement(hinting)
        hinting.execute(lock, {"key": "b"})
        hinting.commit()
        touching.result(10)


@pytest.mark.parametrize("statement", [claims._RENEW, completion._ABANDON, completion._RELEASE])
def test_what_touches_whole_claims_reads_what_is_in_flight_only(engine, statement):
    """Shutting down a worker does not scan the ledger."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO inbox (bucket, key, source, wanted, done, outcome) "
                "SELECT 'b', 'done' || n, 's3', 1, 1, 'enriched' FROM generate_series(1, 20000) n"
            )
        )
        connection.execute(text("ANALYZE inbox"))
        plan = connection.execute(text(f"EXPLAIN {statement}"), {"tokens": [1, 2], "lease": 60}).scalars().all()
    assert "inbox_leased" in "\n".join(plan)
    assert "Seq Scan" not in "\n".join(plan)


def test_deaths_are_counted_apart_from_attempts(engine):
    """Failing is not dying, and neither is abandoning a batch: only a lease that ended without a word is."""
    hint(engine, "a")
    seen = []

    def take():
        taken = claim(engine)
        seen.append((taken.objects[0].attempts, taken.objects[0].deaths))
        return taken

    retry(engine, take())
    with transaction(engine) as connection:
        inbox.abandon(connection, take().token)
    take()
    expire_leases(engine)
    with transaction(engine) as connection:
        inbox.release(connection, [take().token])
    complete(engine, take())
    hint(engine, "a")
    take()
    assert [(1, 0), (2, 0), (3, 0), (4, 1), (4, 1), (1, 0)] == seen


def test_the_time_of_an_event_belongs_to_the_work_it_caused(engine):
    """A listing knows no times: it must not inherit last year's, or latencies are measured from there."""
    [upload] = hints("a")
    with transaction(engine) as connection:
        inbox.hint(connection, [replace(upload, event_time=datetime(2025, 1, 1, tzinfo=UTC))])
    complete(engine, claim(engine))
    hint(engine, "a")
    assert claim(engine).objects[0].event_at is None


def test_errors_are_kept_whatever_characters_they_quote(engine):
    """A message that PostgreSQL cannot store would fail the batch that it explains."""
    hint(engine, "a", "b")
    one, other = claim(engine, size=1), claim(engine, size=1)
    entry = QuarantineEntry(reason=Reason.CORRUPT, message="nul \0, half \ud800", attempts=1)
    with transaction(engine) as connection:
        inbox.retry(connection, one.token, [Retry(id=one.objects[0].id, delay=0, error="nul \0, half \udcff")])
        done = Completion(id=other.objects[0].id, outcome=Outcome.QUARANTINED, etag="\0", quarantine=entry)
        inbox.complete(connection, other.token, [done])
    assert {"nul \N{REPLACEMENT CHARACTER}, half ?"} == {row(engine, key).last_error for key in "ab"}


def test_counting_and_quarantining_take_a_constant_number_of_statements(engine):
    """Totals are of one moment; a batch of rubbish is as quick to write as a batch of pictures."""
    hint(engine, *(f"k{number}" for number in range(51)))
    counted: list[int] = []

    def tick(*_: object) -> None:
        counted[-1] += 1

    event.listen(engine, "before_cursor_execute", tick)
    for size in (1, 50):
        counted.append(0)
        taken = claim(engine, size=size)
        entry = QuarantineEntry(reason=Reason.CORRUPT, message="bad", attempts=1)
        with transaction(engine) as connection:
            ended = [Completion(id=o.id, outcome=Outcome.QUARANTINED, quarantine=entry) for o in taken.objects]
            inbox.complete(connection, taken.token, ended)
            inbox.totals(connection)
    event.remove(engine, "before_cursor_execute", tick)
    assert [4, 4] == counted


def test_a_claim_reads_as_much_as_it_takes_however_long_the_ledger_is(engine):
    """Behind 60,000 finished rows and among 5,000 pending ones, ten objects cost some dozens of pages."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO inbox (bucket, key, source, wanted, done, lane) "
                "SELECT 'b', 'k' || n, 's3', 1, (n <= 60000)::int, 2 * (n % 2) FROM generate_series(1, 65000) n"
            )
        )
        connection.execute(text("ANALYZE inbox"))
        statement = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {claims._CLAIM}")
        parameters = {"size": 10, "each": 10, "lease": 60, "worker": "w", "suspects": 1}
        [explained] = connection.execute(statement, parameters).scalar_one()
    plan = explained["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 300


def test_a_hint_since_the_last_attempt_counts_deaths_anew(engine):
    """It may mean other bytes, which have killed nobody; the death before still has the object taken alone."""
    hint(engine, "a")
    deaths = []
    for hinted in (False, False, True, False):
        if hinted:
            hint(engine, "a")
        taken = claim(engine)
        deaths.append((taken.suspect, taken.objects[0].deaths))
        expire_leases(engine)
    assert [(False, 0), (True, 1), (True, 1), (True, 2)] == deaths
