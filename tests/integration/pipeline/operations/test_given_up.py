"""What a person gives up stays given up for as long as its bytes are the same, and nobody takes it back."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.conftest import World
from tests.ledger import BUCKET, expire_leases, make_due, ref, row
from tests.pictures import picture
from worker import ledger
from worker.db import transaction
from worker.errors import AccessDeniedError
from worker.pipeline.enrichment.poison_images import EXPOSED_DEATHS
from worker.pipeline.operations import quarantine
from worker.pipeline.operations.quarantine import QuarantineQuery
from worker.pipeline.reading import image_lookup
from worker.pipeline.reading.image_lookup import ImageNotFoundError
from worker.pipeline.reconciliation.backfill import Backfill
from worker.pipeline.reconciliation.verify import Verifier
from worker.types import Outcome, Reason

CUT = picture(size=(640, 480))[:-500]


@pytest.fixture
def given_up(world: World):
    """A file that is cut short, which a person has given up."""
    world.upload("cut.jpg", CUT)
    world.run()
    assert 1 == quarantine.drop(world.engine, QuarantineQuery(bucket=BUCKET, key="cut.jpg")).count
    return world


def backfill(world: World, **options):
    *_, last = Backfill(engine=world.engine, store=world.store, notify=world.enricher.notify).run(BUCKET, **options)
    return last


def state(world: World, key="cut.jpg") -> tuple[str, str | None]:
    with pytest.raises(ImageNotFoundError) as error:
        image_lookup.image(world.engine, ref(key))
    return error.value.state, error.value.reason


def settle(world: World) -> None:
    """Until nothing is pending, retries and all."""
    while True:
        make_due(world.engine)
        if world.run() is None:
            return


def retry(world: World, **choice) -> int:
    return quarantine.retry(world.engine, QuarantineQuery(**choice), notify=world.enricher.notify).count


STAYS = ("given-up", "truncated")


def test_a_backfill_does_not_undo_it(given_up):
    """Not even one that looks again at what was refused."""
    assert (1, 0, 1) == ((found := backfill(given_up)).seen, found.to_do, found.excluded)
    assert 1 == backfill(given_up, refused=True).to_do
    settle(given_up)
    assert (STAYS, {}, "excluded") == (state(given_up), given_up.quarantine(), row(given_up.engine, "cut.jpg").outcome)


def test_an_event_for_the_same_bytes_does_not_undo_it(given_up, monkeypatch):
    """And costs one request that is answered with 304: the bytes are not read again."""
    monkeypatch.setattr(given_up.enricher.preparer.encoder, "preprocess", None)
    given_up.upload("cut.jpg", CUT)
    assert {Outcome.UNCHANGED: 1} == given_up.run()
    assert (STAYS, {}) == (state(given_up), given_up.quarantine())


def test_a_store_without_conditional_requests_does_not_undo_it(given_up, monkeypatch):
    """The file is read and refused again, and is as it was when it was given up."""
    get = given_up.store.get
    monkeypatch.setattr(given_up.store, "get", lambda asked, etag=None, **options: get(asked, etag=None, **options))
    given_up.hint("cut.jpg")
    settle(given_up)
    assert (STAYS, {}) == (state(given_up), given_up.quarantine())


def test_verify_and_its_repair_leave_it(given_up):
    """It is accounted for."""
    verify = Verifier(engine=given_up.engine, store=given_up.store, notify=given_up.enricher.notify, settle=0)
    found = verify.run(BUCKET, repair=True)
    assert (True, 1, 0) == (found.holds, found.excluded, found.repaired)


@pytest.mark.parametrize(
    ("data", "expected"), [(picture(), {}), (b"other bytes", {"cut.jpg": "not-an-image"})], ids=["good", "bad"]
)
def test_other_bytes_are_looked_at(given_up, data, expected):
    """The decision was about those before; and is not in force again should they come back."""
    given_up.upload("cut.jpg", data)
    settle(given_up)
    assert expected == given_up.quarantine()
    given_up.upload("cut.jpg", CUT)
    settle(given_up)
    assert {"cut.jpg": "truncated"} == given_up.quarantine()


def test_a_deletion_ends_it(given_up):
    """As that of any object that was there."""
    given_up.store.delete(ref("cut.jpg"))
    given_up.hint("cut.jpg")
    settle(given_up)
    assert ("gone", None) == state(given_up)


def test_who_gave_up_may_try_again_one_object_or_a_choice(given_up):
    """What fails again is in quarantine."""
    for choice in ({"bucket": BUCKET, "key": "cut.jpg"}, {"given_up": True, "reason": Reason.TRUNCATED}):
        assert 1 == retry(given_up, **choice)
        settle(given_up)
        assert {"cut.jpg": "truncated"} == given_up.quarantine()
        quarantine.drop(given_up.engine, QuarantineQuery())
    assert 0 == retry(given_up)
    assert 0 == retry(given_up, given_up=True, reason=Reason.CORRUPT)


def test_what_was_given_up_is_listed_apart(given_up):
    """With the reason and what the file begins with."""
    assert () == quarantine.listing(given_up.engine, QuarantineQuery(), limit=9).entries
    [entry] = quarantine.listing(given_up.engine, QuarantineQuery(given_up=True), limit=9).entries
    assert ("cut.jpg", "truncated", CUT[:512]) == (entry.key, entry.reason, entry.first_bytes)
    assert {"truncated": 1} == quarantine.counts(given_up.engine, QuarantineQuery(given_up=True))


def test_what_the_store_denies_stays_given_up_until_it_can_be_read(world: World, monkeypatch):
    """Of its bytes nothing is known: what changes is whether they can be had."""

    def deny(asked, **_options):
        raise AccessDeniedError(asked)

    world.store.put(ref("a.jpg"), picture(), "image/jpeg")
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "get", deny)
        world.hint("a.jpg")
        settle(world)
        quarantine.drop(world.engine, QuarantineQuery(reason=Reason.ACCESS_DENIED))
        world.hint("a.jpg")
        settle(world)
        assert (("given-up", "access-denied"), {}) == (state(world, "a.jpg"), world.quarantine())
    world.hint("a.jpg")
    settle(world)
    assert world.image("a.jpg") is not None


def test_a_killer_that_was_given_up_is_not_let_loose_again(world: World):
    """Nothing of it was read, and it is not decoded again."""
    world.upload("killer.jpg", picture())
    for _ in range(EXPOSED_DEATHS):
        with transaction(world.engine) as connection:
            taken = ledger.claims.claim(connection, worker="dies", size=8, lease=60)
            assert taken is not None
            ledger.claims.expose(connection, taken.token, taken.objects[0].id)
        expire_leases(world.engine)
    world.run()
    assert {"killer.jpg": "killed-worker"} == world.quarantine()
    quarantine.drop(world.engine, QuarantineQuery(reason=Reason.KILLED_WORKER))
    passes = list(world.encoder.passes)
    world.hint("killer.jpg")
    settle(world)
    assert (("given-up", "killed-worker"), {}, passes) == (
        state(world, "killer.jpg"), world.quarantine(), list(world.encoder.passes),
    )  # fmt: skip
