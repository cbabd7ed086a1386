"""Claims are leases: who holds what, and what becomes of it when the holder is gone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.ledger.acting import claim, complete, hint, keys, retry
from tests.ledger import expire_leases, row
from worker import ledger
from worker.db import transaction
from worker.ledger.completion import Completion, QuarantineRecord
from worker.types import Outcome, Reason


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
    poison_images = [claim(engine) for _ in range(3)]
    assert [(s.suspect, len(s.objects), s.objects[0].attempts) for s in poison_images] == [(True, 1, 2)] * 3
    assert ["fresh"] == keys(claim(engine))


def test_a_claim_without_suspects_takes_fresh_work(engine):
    """A process that has a suspect in hand goes on with ordinary work elsewhere."""
    hint(engine, "a")
    claim(engine)
    expire_leases(engine)
    hint(engine, "fresh")
    assert ["fresh"] == keys(claim(engine, poison_images=False))


def test_a_late_worker_changes_nothing(engine):
    """The fencing token decides, not who finishes first."""
    hint(engine, "a")
    late = claim(engine, worker="late")
    expire_leases(engine)
    current = claim(engine, worker="current")
    assert 0 == complete(engine, late)
    retry(engine, late)
    with transaction(engine) as connection:
        # Even a caller that forgets to lock first cannot get past the guard.
        stale = [Completion(id=late.objects[0].id, outcome=Outcome.GONE)]
        ledger.completion.complete(connection, late.token, stale)
    assert (current.token, "current", None) == tuple(
        getattr(row(engine, "a"), name) for name in ("token", "worker", "outcome")
    )
    assert 1 == complete(engine, current)


def test_a_late_worker_may_finish_while_nobody_else_took_over(engine):
    """An ended lease alone loses no finished work."""
    hint(engine, "a")
    taken = claim(engine)
    expire_leases(engine)
    assert 1 == complete(engine, taken)


def test_a_renewed_lease_holds_and_an_ended_one_cannot_be_renewed(engine):
    """Renewal tells the holder which of its claims are still its own."""
    hint(engine, "a")
    first = claim(engine, lease=0.2)
    with transaction(engine) as connection:
        assert {first.token} == ledger.claims.renew(connection, [first.token, 12345], lease=60)
    assert claim(engine) is None
    expire_leases(engine)
    with transaction(engine) as connection:
        assert set() == ledger.claims.renew(connection, [first.token], lease=60)


def test_released_claims_are_visible_at_once_and_uncounted(engine):
    """A worker that shuts down gives back what it did not touch."""
    hint(engine, "a", "b")
    taken = claim(engine)
    with transaction(engine) as connection:
        assert 2 == ledger.completion.release(connection, [taken.token])
    again = claim(engine)
    assert (False, 2, 1) == (again.suspect, len(again.objects), again.objects[0].attempts)


def test_an_abandoned_batch_is_taken_apart_at_once(engine):
    """When a batch fails as a whole its members need not wait for the lease."""
    hint(engine, "a", "b")
    taken = claim(engine)
    with transaction(engine) as connection:
        ledger.completion.abandon(connection, taken.token)
    assert [True, True] == [claim(engine).suspect for _ in range(2)]


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
        ledger.completion.abandon(connection, take().token)
    take()
    expire_leases(engine)
    with transaction(engine) as connection:
        ledger.completion.release(connection, [take().token])
    complete(engine, take())
    hint(engine, "a")
    take()
    assert [(1, 0), (2, 0), (3, 0), (4, 1), (4, 1), (1, 0)] == seen


def test_a_late_worker_moves_nothing_into_quarantine_or_out_of_it(engine):
    """Quarantine is guarded by the token, too: also for a caller that forgets to lock first."""
    hint(engine, "a")
    late = claim(engine)
    expire_leases(engine)
    complete(engine, claim(engine))
    entry = QuarantineRecord(reason=Reason.CORRUPT, message="bad", attempts=1)
    with transaction(engine) as connection:
        stale = Completion(id=late.objects[0].id, outcome=Outcome.QUARANTINED, quarantine=entry)
        ledger.completion.complete(connection, late.token, [stale])
        assert [] == ledger.quarantine.page(connection)


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


def test_a_death_is_evidence_if_the_bytes_were_at_work(engine):
    """Exposed under the very claim that ended without a word; not under an earlier one."""
    hint(engine, "a")
    seen = []
    for exposes in (False, True, False, True, False):
        taken = claim(engine)
        seen.append((taken.objects[0].deaths, taken.objects[0].exposed_deaths))
        if exposes:
            with transaction(engine) as connection:
                assert ledger.claims.expose(connection, taken.token, taken.objects[0].id)
        expire_leases(engine)
    assert [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)] == seen


def test_a_hint_since_then_takes_the_evidence_back(engine):
    """It may mean other bytes, at which nobody has worked yet."""
    hint(engine, "a")
    taken = claim(engine)
    with transaction(engine) as connection:
        ledger.claims.expose(connection, taken.token, taken.objects[0].id)
    expire_leases(engine)
    assert 1 == claim(engine).objects[0].exposed_deaths
    hint(engine, "a")
    expire_leases(engine)
    assert 0 == claim(engine).objects[0].exposed_deaths


def test_only_who_holds_an_object_exposes_it(engine):
    """A late worker changes nothing; one whose lease has run out is late."""
    hint(engine, "a")
    late = claim(engine)
    expire_leases(engine)
    with transaction(engine) as connection:
        assert not ledger.claims.expose(connection, late.token, late.objects[0].id)
    holder = claim(engine)
    with transaction(engine) as connection:
        assert not ledger.claims.expose(connection, late.token, late.objects[0].id)
        assert ledger.claims.expose(connection, holder.token, holder.objects[0].id)


@pytest.mark.parametrize("ending", ["retry", "release", "abandon", "complete"])
def test_an_orderly_end_takes_exposure_back(engine, ending):
    """What comes after it is another matter, and the next death no evidence by itself."""
    hint(engine, "a")
    taken = claim(engine)
    with transaction(engine) as connection:
        ledger.claims.expose(connection, taken.token, taken.objects[0].id)
        if ending == "release":
            ledger.completion.release(connection, [taken.token])
        elif ending == "abandon":
            ledger.completion.abandon(connection, taken.token)
    if ending == "retry":
        retry(engine, taken)
    elif ending == "complete":
        complete(engine, taken)
        hint(engine, "a")
    claim(engine)
    expire_leases(engine)
    assert 0 == claim(engine).objects[0].exposed_deaths


def test_tries_are_attempts_that_did_not_end_in_a_death(engine):
    """Also after a hint that has deaths counted anew."""
    hint(engine, "a")
    tries = []
    for hinted in (False, False, False, True, False):
        if hinted:
            hint(engine, "a")
        tries.append(claim(engine).objects[0].tries)
        expire_leases(engine)
    assert [1, 1, 1, 1, 1] == tries
