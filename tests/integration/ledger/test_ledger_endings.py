"""How claims end: outcomes, retries, quarantine, and the counting of all of it."""

from __future__ import annotations

from tests.integration.ledger.acting import claim, complete, hint, retry
from tests.ledger import expire_leases, make_due, row
from worker import ledger
from worker.db import transaction
from worker.ledger.completion import Completion, QuarantineRecord, Retry
from worker.types import Lane, Outcome, Reason


def test_a_retry_waits_for_its_delay(engine):
    """Backoff is in the ledger: nobody gets the row before its time."""
    hint(engine, "a")
    retry(engine, claim(engine), delay=300)
    assert claim(engine) is None
    found = row(engine, "a")
    assert (1, "boom", int(Lane.RETRY), None) == (found.attempts, found.last_error, found.lane, found.token)


def test_an_outage_takes_the_attempt_back(engine):
    """What was not the object's fault does not count against it."""
    hint(engine, "a")
    for _ in range(10):
        retry(engine, claim(engine), counted=False)
        make_due(engine)
    assert 0 == row(engine, "a").attempts


def test_attempts_start_anew_with_new_work(engine):
    """An object that was finished and is hinted again has all its attempts."""
    hint(engine, "a")
    retry(engine, claim(engine))
    complete(engine, claim(engine), Outcome.EXCLUDED)
    hint(engine, "a")
    assert 1 == claim(engine).objects[0].attempts


def test_unchanged_keeps_outcome_and_etag(engine):
    """A 304 confirms what is there."""
    hint(engine, "a")
    complete(engine, claim(engine))
    hint(engine, "a")
    taken = claim(engine)
    with transaction(engine) as connection:
        ledger.completion.complete(
            connection, taken.token, [Completion(id=taken.objects[0].id, outcome=Outcome.UNCHANGED)]
        )
    assert ("enriched", "e") == (row(engine, "a").outcome, row(engine, "a").etag)


def test_quarantine_is_entered_with_its_reason_and_left_by_success(engine):
    """The reason and the first bytes are kept until the object becomes something better."""
    hint(engine, "a")
    taken = claim(engine)
    entry = QuarantineRecord(reason=Reason.CORRUPT, message="bad", attempts=1, size=7, first_bytes=b"\x00\xff")
    with transaction(engine) as connection:
        done = Completion(id=taken.objects[0].id, outcome=Outcome.QUARANTINED, etag="q", quarantine=entry)
        ledger.completion.complete(connection, taken.token, [done])
        [found] = ledger.quarantine.page(connection)
    assert ("a", "corrupt", "bad", "q", 7, b"\x00\xff") == (
        found.key, found.reason, found.message, found.etag, found.size, found.first_bytes,
    )  # fmt: skip
    hint(engine, "a")
    complete(engine, claim(engine))
    with transaction(engine) as connection:
        assert [] == ledger.quarantine.page(connection)


def test_every_object_is_counted_once(engine):
    """The five totals partition the ledger."""
    hint(engine, "c")
    complete(engine, claim(engine))  # found once: so it was deleted
    hint(engine, *"abcdef")
    for outcome in (Outcome.ENRICHED, Outcome.EXCLUDED, Outcome.GONE, Outcome.QUARANTINED):
        complete(engine, claim(engine, size=1), outcome)
    claim(engine, size=1)
    with transaction(engine) as connection:
        found = ledger.totals.totals(connection)
    assert (1, 1, 1, 1, 2, 1) == (
        found.enriched, found.excluded, found.gone, found.quarantined, found.pending, found.in_flight,
    )  # fmt: skip
    with transaction(engine) as connection:
        assert 0 == ledger.totals.totals(connection, bucket="other").pending


def test_pending_work_is_counted_by_lane(engine):
    """The gauge sees what waits and what is in hand, and nothing that is done."""
    hint(engine, "done")
    complete(engine, claim(engine))
    hint(engine, "a", "b")
    hint(engine, "old", lane=Lane.BACKFILL)
    claim(engine, size=1)
    with transaction(engine) as connection:
        assert {Lane.LIVE: 2, Lane.BACKFILL: 1} == ledger.totals.pending_by_lane(connection)


def test_claimable_says_what_a_claim_would_find(engine):
    """The sweeper's question has the claim's answer."""

    def claimable() -> bool:
        with transaction(engine) as connection:
            return ledger.totals.claimable(connection)

    answers = [claimable()]
    hint(engine, "a")
    answers.append(claimable())
    claim(engine)
    answers.append(claimable())
    expire_leases(engine)
    answers.append(claimable())
    assert [False, True, False, True] == answers


def test_errors_are_kept_whatever_characters_they_quote(engine):
    """A message that PostgreSQL cannot store would fail the batch that it explains."""
    hint(engine, "a", "b")
    one, other = claim(engine, size=1), claim(engine, size=1)
    entry = QuarantineRecord(reason=Reason.CORRUPT, message="nul \0, half \ud800", attempts=1)
    with transaction(engine) as connection:
        ledger.completion.retry(
            connection, one.token, [Retry(id=one.objects[0].id, delay=0, error="nul \0, half \udcff")]
        )
        done = Completion(id=other.objects[0].id, outcome=Outcome.QUARANTINED, etag="\0", quarantine=entry)
        ledger.completion.complete(connection, other.token, [done])
    assert {"nul \N{REPLACEMENT CHARACTER}, half ?"} == {row(engine, key).last_error for key in "ab"}
