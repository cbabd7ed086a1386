"""What the ledger reads and locks: no deadlock, and no cost that grows with what is done."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text

from tests.integration.ledger.acting import claim, complete, hint
from tests.ledger import hints, pending, row
from worker import db, ledger
from worker.db import transaction
from worker.ledger import claims, completion, floors
from worker.ledger.completion import Completion, QuarantineRecord
from worker.ledger.floors import Floors
from worker.ledger.totals import _CLAIMABLE
from worker.types import Lane, Outcome, Reason

ENDINGS = {
    "renew": lambda connection, token: ledger.claims.renew(connection, [token], lease=60),
    "release": lambda connection, token: ledger.completion.release(connection, [token]),
    "abandon": ledger.completion.abandon,
}


def test_requests_naming_the_same_objects_in_opposite_order_do_not_deadlock(engine):
    """Hints lock in key order whatever the order of the request."""
    names = [f"k{number}" for number in range(200)]

    def send(turn: int) -> None:
        hint(engine, *(names if turn % 2 else reversed(names)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(40)))
    assert 40 == row(engine, "k0").wanted


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
    assert 0 == pending(engine)


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
        entry = QuarantineRecord(reason=Reason.CORRUPT, message="bad", attempts=1)
        with transaction(engine) as connection:
            ended = [Completion(id=o.id, outcome=Outcome.QUARANTINED, quarantine=entry) for o in taken.objects]
            ledger.completion.complete(connection, taken.token, ended)
            ledger.totals.totals(connection)
    event.remove(engine, "before_cursor_execute", tick)
    assert [6, 6] == counted


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
        parameters = {"size": 10, "lease": 60, "worker": "w", "suspects": 1, **floors.NONE}
        [explained] = connection.execute(statement, parameters).scalar_one()
    plan = explained["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 300


def pages_of(engine, statement, where) -> int:
    """How many pages it reads to find nothing to do."""
    with engine.connect() as connection:
        parameters = {"size": 10, "lease": 60, "worker": "w", "suspects": 1, **where}
        explain = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}")
        [explained] = connection.execute(explain, parameters).scalar_one()
    return int(explained["Plan"]["Shared Hit Blocks"] + explained["Plan"]["Shared Read Blocks"])


@pytest.mark.parametrize("statement", [claims._CLAIM, _CLAIMABLE])
def test_looking_for_work_does_not_walk_over_what_vacuum_may_not_remove(engine, statement):
    """While a snapshot of long ago is held, as `pg_dump` does: from the start it reads all that went through since."""
    with db.snapshot(engine) as old:
        old.execute(text("SELECT count(*) FROM inbox"))
        for part in range(5):
            hint(engine, *(f"{part}-{number}" for number in range(1_000)))
            while (taken := claim(engine, size=1_000)) is not None:
                complete(engine, taken)
        time.sleep(0.2)
        with transaction(engine) as connection:
            known = Floors(slack=0.1).now(connection)
        assert pages_of(engine, statement, known) < 30
        assert pages_of(engine, statement, floors.NONE) > 60


def test_what_lies_below_a_floor_is_found_by_the_next_look(engine):
    """A hint whose transaction took longer than expected: late by the time between two looks, and not lost."""
    known = Floors(interval=0.5, slack=0)

    def claimed() -> list[str]:
        with transaction(engine) as connection:
            taken = ledger.claims.claim(connection, worker="w", size=10, lease=60, floors=known)
        return [each.ref.key for each in taken.objects] if taken is not None else []

    with engine.begin() as slow:
        ledger.hints.hint(slow, hints("slow"))
        time.sleep(0.1)
        assert [] == claimed()
    assert [] == claimed()
    hint(engine, "quick")
    assert ["quick"] == claimed()
    time.sleep(0.6)
    assert ["slow"] == claimed()


def test_a_live_hint_of_what_waits_for_backfill_lies_above_the_floor(engine):
    """A claim that looked before it finds it: where there is much to walk over, the next look may be minutes away."""
    known = Floors(interval=600, slack=0.1)
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("upload", "other"), lane=Lane.BACKFILL)
    time.sleep(0.3)
    with transaction(engine) as connection:
        known.now(connection)
    hint(engine, "upload")
    with transaction(engine) as connection:
        taken = ledger.claims.claim(connection, worker="w", size=1, lease=60, floors=known)
    assert taken is not None
    assert ["upload"] == [each.ref.key for each in taken.objects]
