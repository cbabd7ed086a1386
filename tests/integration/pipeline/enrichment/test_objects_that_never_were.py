"""Names of objects that the store has never had: nothing is kept of them, and nobody is told that they were deleted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.integration.pipeline.conftest import World
from tests.ledger import BUCKET, hints, make_due, pending, ref, row
from tests.pictures import picture
from tests.unit.events.event_fixtures import s3_record
from worker import ledger
from worker.db import transaction
from worker.errors import AccessDeniedError, ObjectArchivedError, ObjectUnreadableError
from worker.ledger.completion import Completion
from worker.pipeline.intake.ingest import Ingest
from worker.pipeline.operations import system_status
from worker.pipeline.reading import image_lookup
from worker.pipeline.reading.image_lookup import ImageNotFoundError
from worker.pipeline.reconciliation.listing_diff import UNREADABLE
from worker.types import Outcome
from worker.watched_buckets import Watched


def known(world: World) -> list[str]:
    with transaction(world.engine) as connection:
        return list(connection.execute(text("SELECT key FROM inbox ORDER BY key")).scalars())


def guess(world: World, *keys: str) -> None:
    with transaction(world.engine) as connection:
        ledger.hints.hint(connection, [replace(each, guess=True) for each in hints(*keys)])


def refusal(world: World, key: str) -> ImageNotFoundError:
    with pytest.raises(ImageNotFoundError) as error:
        image_lookup.image(world.engine, ref(key))
    return error.value


@pytest.fixture
def without_listing(world: World, monkeypatch):
    """AWS without s3:ListBucket: what is not there is denied."""
    present = world.store.get

    def get(asked, **options):
        found = present(asked, **options)
        if type(found).__name__ == "Gone":
            raise AccessDeniedError(asked)
        return found

    monkeypatch.setattr(world.store, "get", get)
    return world


def test_an_event_for_an_object_that_never_was_leaves_nothing(world: World):
    """No row, no word of a deletion, nothing in the feed, nothing in quarantine; as if it had never been named."""
    world.hint("never.jpg")
    assert {Outcome.GONE: 1} == world.run()
    assert ([], [], {}) == (known(world), world.feed(), world.quarantine())
    error = refusal(world, "never.jpg")
    assert ("unknown", True) == (error.state, "the store had no such object" in str(error))
    totals = system_status.totals(world.engine)
    assert (0, 0) == (totals.gone, totals.pending)


def test_an_object_that_was_there_was_deleted(world: World):
    """Whether it was enriched or not; the next event for it changes nothing in that."""
    world.upload("a.jpg", picture())
    world.upload("b.jpg", b"broken")
    world.run()
    for key in ("a.jpg", "b.jpg"):
        world.store.delete(ref(key))
    for _ in range(2):
        world.hint("a.jpg", "b.jpg")
        world.run()
        assert ["gone", "gone"] == [refusal(world, key).state for key in ("a.jpg", "b.jpg")]
    assert "the object was deleted" in str(refusal(world, "a.jpg"))


def test_an_object_that_comes_while_it_is_not_found_is_not_forgotten(world: World):
    """The event that names it again arrives between the store's answer and the end of the claim."""
    world.hint("late.jpg")
    with transaction(world.engine) as connection:
        taken = ledger.claims.claim(connection, worker="slow", size=1, lease=60)
    assert taken is not None
    world.upload("late.jpg", picture())
    with transaction(world.engine) as connection:
        ledger.completion.lock(connection, taken.token, [taken.objects[0].id])
        ledger.completion.complete(connection, taken.token, [Completion(id=taken.objects[0].id, outcome=Outcome.GONE)])
    assert 1 == pending(world.engine)
    assert {Outcome.ENRICHED: 1} == world.run()
    assert world.image("late.jpg") is not None


def test_a_listed_name_that_is_no_text_and_is_not_found_is_remembered(world: World):
    """The listing shows it again and again: without a row it would be looked for each time."""
    key = f"caf{UNREADABLE}.jpg"
    world.hint(key)
    world.run()
    assert [key] == known(world)


# -- other readings of a name ------------------------------------------------------------------------------------------
def test_of_two_readings_the_one_that_is_there_is_enriched_and_nothing_is_left_of_the_other(world: World):
    """Whichever it is."""
    world.store.put(ref("a+b.jpg"), picture(), "image/jpeg")
    world.hint("a b.jpg")
    guess(world, "a+b.jpg")
    world.run()
    assert (["a+b.jpg"], [("enriched", "a+b.jpg")]) == (known(world), world.feed())


def test_a_reading_to_which_access_is_denied_is_not_quarantined(without_listing):
    """What the producer says that it sends is: there may be an object that we may not read."""
    without_listing.hint("a b.jpg")
    guess(without_listing, "a+b.jpg")
    for _ in range(3):
        without_listing.run()
        make_due(without_listing.engine)
    assert {"a b.jpg": "access-denied"} == without_listing.quarantine()
    assert ["a b.jpg"] == known(without_listing)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ObjectArchivedError("it is archived"), "archived"), (ObjectUnreadableError("it is encrypted"), "not-readable")],
)
def test_a_reading_that_is_there_and_cannot_be_read_is_quarantined(world: World, monkeypatch, error, reason):
    """The store's refusal says that it has the object."""

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(world.store, "get", refuse)
    guess(world, "a+b.jpg")
    for _ in range(3):
        world.run()
        make_due(world.engine)
    assert {"a+b.jpg": reason} == world.quarantine()


@pytest.mark.parametrize("order", [("certain", "guess"), ("guess", "certain")])
@pytest.mark.parametrize("together", [True, False])
def test_a_name_that_one_event_gives_is_no_guess_because_another_may_mean_it(without_listing, order, together):
    """In whichever order they come, in one notification or two."""
    given = {"certain": hints("a+b.jpg"), "guess": [replace(each, guess=True) for each in hints("a+b.jpg")]}
    batches = [[*given[order[0]], *given[order[1]]]] if together else [given[each] for each in order]
    for batch in batches:
        with transaction(without_listing.engine) as connection:
            ledger.hints.hint(connection, batch)
    for _ in range(3):
        without_listing.run()
        make_due(without_listing.engine)
    assert {"a+b.jpg": "access-denied"} == without_listing.quarantine()


def test_a_guess_at_an_object_that_is_known_is_an_event_for_it(world: World):
    """It was overwritten, perhaps; or deleted."""
    world.upload("a+b.jpg", picture())
    world.run()
    world.store.put(ref("a+b.jpg"), picture("blue"), "image/jpeg")
    guess(world, "a+b.jpg")
    assert {Outcome.ENRICHED: 1} == world.run()
    world.store.delete(ref("a+b.jpg"))
    guess(world, "a+b.jpg")
    world.run()
    assert "gone" == row(world.engine, "a+b.jpg").outcome
    assert f"{BUCKET}/a+b.jpg" in str(refusal(world, "a+b.jpg"))


def test_a_reading_that_is_not_watched_is_neither_counted_nor_told_of(world: World):
    """The object that the event names is watched: there is nothing to set."""
    watched = Watched((f"{BUCKET}/a b/",))
    intake = Ingest(engine=world.engine, refusal=watched.refusal, watches=watched.covers, notify=world.enricher.notify)
    accepted = intake.parse("s3", json.dumps({"Records": [s3_record("a+b/x.jpg", bucket=BUCKET)]}).encode())
    intake.commit("s3", [accepted])
    assert (1, {}, ["a b/x.jpg"]) == (accepted.hinted, accepted.ignored, known(world))
    with transaction(world.engine) as connection:
        assert 0 == ledger.rejected_events.count(connection)
