"""A backfill says what is so: how many keys there are, and how many of them there is anything to do for."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from sqlalchemy import text

from tests.integration.pipeline.conftest import World
from tests.ledger import BUCKET, pending, ref
from tests.pictures import picture
from worker.cli.operations import _counted
from worker.db import transaction
from worker.pipeline.reconciliation.backfill import Backfill


@pytest.fixture
def backfill(world: World):
    def run(**options):
        found = list(
            Backfill(engine=world.engine, store=world.store, notify=world.enricher.notify).run(BUCKET, **options)
        )
        return found[-1]

    return run


def counts(found) -> dict[str, int]:
    return {name: count for name, count in asdict(found).items() if name != "last" and count}


def test_of_an_unchanged_key_there_is_nothing_to_do(world: World, backfill):
    """Nor is anything made pending, or anybody woken."""
    world.upload("a.jpg", picture())
    world.run()
    rung = len(world.rung)
    found = backfill()
    assert {"seen": 1, "unchanged": 1} == counts(found)
    assert ("1 key seen, 0 to do: 1 unchanged", 0, rung) == (_counted(found), pending(world.engine), len(world.rung))


def test_each_key_is_counted_as_what_it_is(world: World, backfill):
    """New, overwritten, without its vector, and they are made pending; done, no image, refused, under way."""
    for key in ("done.jpg", "overwritten.jpg", "lacking.jpg"):
        world.upload(key, picture())
    world.upload("text", b"see readme", content_type="text/plain")
    world.upload("cut.jpg", picture(size=(640, 480))[:-500])
    world.run()
    world.store.put(ref("overwritten.jpg"), picture("blue"), "image/jpeg")
    world.store.put(ref("new.jpg"), picture(), "image/jpeg")
    world.upload("under way.jpg", picture())
    with transaction(world.engine) as connection:
        lacking = "(SELECT id FROM images WHERE key = 'lacking.jpg')"
        connection.execute(text(f"DELETE FROM embeddings WHERE image_id = {lacking}"))
    found = backfill()
    assert {
        "seen": 7, "to_do": 3, "new": 1, "changed": 1, "incomplete": 1, "unchanged": 1, "pending": 1, "excluded": 1,
        "quarantined": 1,
    } == counts(found)  # fmt: skip
    assert 4 == pending(world.engine)
    assert (
        "7 keys seen, 3 to do: 1 new, 1 changed, 1 incomplete, 1 unchanged, 1 already pending, "
        "1 not images or given up, 1 in quarantine"
    ) == _counted(found)
    assert (2, 4) == ((again := backfill(refused=True)).to_do, again.pending)
    world.run()
    assert world.image("new.jpg") is not None


def test_where_the_store_lists_no_etags_every_object_is_asked_for(world: World, backfill, monkeypatch):
    """Only reading it shows whether it is the same."""
    world.upload("a.jpg", picture())
    world.run()
    listed = [replace(each, etag="") for each in world.store.list(BUCKET)]
    monkeypatch.setattr(world.store, "list", lambda *_args, **_options: iter(listed))
    assert (1, 1) == ((found := backfill()).to_do, found.unchanged)


def test_it_goes_on_behind_a_key(world: World, backfill):
    """Each page says which."""
    for key in ("a.jpg", "b.jpg"):
        world.store.put(ref(key), picture(), "image/jpeg")
    found = backfill(start_after="a.jpg")
    assert ("b.jpg", {"seen": 1, "to_do": 1, "new": 1}) == (found.last, counts(found))
