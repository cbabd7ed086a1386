"""Rows of buckets that are not watched any more: never read, and given up where they can be seen and tried again."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.conftest import World
from tests.ledger import BUCKET, pending, row
from tests.pictures import picture
from worker.objects import WatchedStore
from worker.types import ObjectRef, Outcome
from worker.watched_buckets import Watched


@pytest.fixture
def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> list[ObjectRef]:
    """What is read of the store, by a worker that watches another bucket from now on."""
    read: list[ObjectRef] = []
    get = world.store.get

    def noted(wanted: ObjectRef, **how: object) -> object:
        read.append(wanted)
        return get(wanted, **how)

    monkeypatch.setattr(world.store, "get", noted)
    watch(world, "other")
    return read


def watch(world: World, *names: str) -> None:
    """Start the worker again, with this in ENRICH_BUCKETS."""
    world.read_from(WatchedStore(world.store, Watched(names)))


def test_an_object_that_is_not_watched_is_never_read(world: World, asked):
    """A row from before ends in quarantine, with what to set; until then workers may come that watch it."""
    world.upload("a.jpg", picture())
    assert world.run() == {Outcome.RETRY: 1}
    assert "not-watched" == row(world.engine, "a.jpg").retry_reason
    for _ in range(2):
        world.time_passes()
        world.run()
    [entry] = world.quarantined()
    assert ("not-watched", []) == (entry.reason, asked)
    assert f"{BUCKET}/a.jpg is not watched: ENRICH_BUCKETS names other" in entry.message


def test_what_the_catalog_knows_of_it_stays(world: World):
    """Nothing was learnt about the object, so what was true when it was read is not taken back."""
    world.upload("a.jpg", picture())
    world.run()
    watch(world, "other")
    world.hint("a.jpg")
    for _ in range(3):
        world.run()
        world.time_passes()
    assert {"a.jpg": "not-watched"} == world.quarantine()
    assert world.image("a.jpg") is not None


def test_many_of_them_are_no_sign_of_anything_else(world: World, asked):
    """Neither of a store that is away nor of a bad release: no breaker opens, and all of them end."""
    world.set_quarantine_ratio(0.1)
    for number in range(40):
        world.upload(f"{number}.jpg", picture())
    while world.run():
        world.time_passes()
    assert ({"not-watched"}, 40, []) == (set(world.quarantine().values()), len(world.quarantine()), asked)
    assert (0, None) == (pending(world.engine), world.enricher.breakers.waiting())
