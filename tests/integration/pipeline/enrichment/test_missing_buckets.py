"""A bucket that was deleted takes its images with it; one that only this endpoint does not have takes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.bad_store import BadStore, bad_store
from tests.integration.pipeline.conftest import World
from tests.ledger import BUCKET, pending
from tests.pictures import picture
from worker import ledger
from worker.db import transaction
from worker.errors import ChoiceError, NotFoundError, StoreUnavailableError
from worker.objects import S3Store, WatchedStore
from worker.pipeline.enrichment.missing_buckets import MissingBucketCheck
from worker.pipeline.operations import buckets
from worker.types import Hint, ObjectRef
from worker.watched_buckets import Watched

DAY = 86_400.0


@pytest.fixture
def bad() -> Iterator[BadStore]:
    """A store over HTTP, from which buckets can be taken."""
    with bad_store() as store:
        yield store


class Site:
    """A worker and a scheduler's watch, both before that store."""

    def __init__(self, world: World, bad: BadStore) -> None:
        self.world, self.bad = world, bad
        self.objects = S3Store(endpoint_url=bad.url, access_key_id="id", secret_access_key="secret", timeout=5)
        world.read_from(self.objects)
        self.watch = MissingBucketCheck(
            engine=world.engine, store=self.objects, endpoint=bad.url, patience=DAY, notify=lambda: None
        )

    def upload(self, bucket: str, *keys: str) -> None:
        for key in keys:
            self.bad.put(bucket, key, picture())
        self.hint(bucket, *keys)

    def hint(self, bucket: str, *keys: str) -> None:
        with transaction(self.world.engine) as connection:
            refs = [ObjectRef(bucket=bucket, key=key) for key in keys]
            ledger.hints.hint(connection, [Hint(ref=each, source="test", event="created") for each in refs])

    def work(self) -> None:
        """Until nothing is due, without any retry's time having come."""
        while self.world.run() is not None:
            pass

    def hours_pass(self, hours: float) -> None:
        """For what is known of missing buckets."""
        with transaction(self.world.engine) as connection:
            connection.execute(
                text("UPDATE buckets SET missing_since = missing_since - make_interval(secs => :s)"),
                {"s": hours * 3600},
            )

    def images(self, bucket: str) -> set[str]:
        with transaction(self.world.engine) as connection:
            rows = connection.execute(text("SELECT key FROM images WHERE bucket = :b"), {"b": bucket}).scalars()
            return set(rows)

    def standing(self, bucket: str, key: str) -> tuple[bool, str | None]:
        with transaction(self.world.engine) as connection:
            found = ledger.totals.object_state(connection, ObjectRef(bucket=bucket, key=key))
        return (found.pending, found.outcome) if found is not None else (False, None)


@pytest.fixture
def site(world: World, bad) -> Iterator[Site]:
    """Two buckets, of two images each, found by the watch."""
    site = Site(world, bad)
    site.upload(BUCKET, "a.jpg", "b.jpg")
    site.upload("archive", "c.jpg", "d.jpg")
    site.work()
    site.watch.look()
    yield site
    site.objects.close()


def test_a_deleted_bucket_takes_its_images_out_of_the_catalog(site):
    """A minute after it was first missed, where another bucket shows that the store is the same; the feed says so."""
    del site.bad.buckets["archive"]
    site.watch.look()
    site.work()
    assert {"c.jpg", "d.jpg"} == site.images("archive")
    site.hours_pass(1 / 60)
    site.watch.look()
    site.work()
    assert set() == site.images("archive")
    assert (False, "gone") == site.standing("archive", "c.jpg")
    assert [("removed", "c.jpg"), ("removed", "d.jpg")] == sorted(site.world.feed()[-2:])
    assert {"a.jpg", "b.jpg"} == site.images(BUCKET)
    assert 0 == pending(site.world.engine)


def test_where_no_other_bucket_shows_that_the_store_is_the_same_it_takes_a_day(site):
    """A disk that is not mounted, or a store begun anew at the same address, has none of them."""
    site.bad.buckets.clear()
    site.watch.look()
    site.hours_pass(23)
    site.watch.look()
    site.work()
    assert {"a.jpg", "b.jpg", "c.jpg", "d.jpg"} == site.images(BUCKET) | site.images("archive")
    site.hours_pass(1.1)
    site.watch.look()
    site.work()
    assert set() == site.images(BUCKET) | site.images("archive")


def test_what_another_endpoint_does_not_have_is_never_given_up(site):
    """ENRICH_S3_ENDPOINT_URL names another store, which even has a bucket of the same name: nothing is taken away."""
    del site.bad.buckets["archive"]
    elsewhere = replace(site.watch, endpoint="http://another.store.example")
    for _ in range(3):
        elsewhere.look()
        site.hours_pass(48)
    site.work()
    assert {"c.jpg", "d.jpg"} == site.images("archive")


def test_a_bucket_that_comes_back_is_not_missing(site):
    """What was missing yesterday and is there today begins anew when it is missed again."""
    held = site.bad.buckets.pop("archive")
    site.watch.look()
    site.hours_pass(48)
    site.bad.buckets["archive"] = held
    site.watch.look()
    del site.bad.buckets["archive"]
    site.watch.look()
    site.work()
    assert {"c.jpg", "d.jpg"} == site.images("archive")


def test_events_for_a_bucket_that_never_was_end(site):
    """Retried for a minute, then nothing is kept of them; later ones end at their first try."""
    site.hint("typo", "x.jpg")
    site.work()
    assert (True, None) == site.standing("typo", "x.jpg")
    site.watch.look()
    site.hours_pass(1)
    site.watch.look()
    site.work()
    assert (False, None) == site.standing("typo", "x.jpg")
    site.hint("typo", "y.jpg")
    site.work()
    assert (False, None) == site.standing("typo", "y.jpg")


def test_a_bucket_that_is_made_after_it_was_given_up_is_read(site):
    """The store's answer about the object is what counts."""
    site.hint("new", "early.jpg")
    site.watch.look()
    site.hours_pass(1)
    site.watch.look()
    site.work()
    site.upload("new", "late.jpg")
    site.work()
    site.watch.look()
    assert {"late.jpg"} == site.images("new")
    assert [None] == [each.gone_at for each in buckets.listing(site.world.engine) if each.name == "new"]


def test_without_the_right_to_list_buckets_each_is_asked_for(site):
    """By the first page of its listing."""
    site.bad.lists_buckets = False
    del site.bad.buckets["archive"]
    site.watch.look()
    site.hours_pass(1)
    site.watch.look()
    site.work()
    assert (set(), {"a.jpg", "b.jpg"}) == (site.images("archive"), site.images(BUCKET))


def test_a_store_that_is_away_says_nothing_about_buckets(site):
    """Nothing is noted as missing."""
    away = S3Store(endpoint_url="http://127.0.0.1:1", access_key_id="id", secret_access_key="secret", timeout=1)
    with pytest.raises(StoreUnavailableError):
        replace(site.watch, store=away).look()
    away.close()
    assert {None} == {each.missing_since for each in buckets.listing(site.world.engine)}


def test_a_missing_bucket_is_dropped_by_a_person_at_once(site):
    """Without a minute's patience, and although another endpoint had it last."""
    del site.bad.buckets["archive"]
    site.hint("archive", "c.jpg")
    site.work()
    replace(site.watch, endpoint="http://another.store.example").look()
    buckets.drop(site.world.engine, "archive", notify=lambda: None)
    site.watch.look()
    site.work()
    assert set() == site.images("archive")
    assert (False, "gone") == site.standing("archive", "c.jpg")


def test_a_bucket_that_the_store_has_is_not_dropped(site):
    """Nor one that nobody ever named: that is a slip of the keyboard."""
    with pytest.raises(ChoiceError, match="photos: the store has this bucket"):
        buckets.drop(site.world.engine, BUCKET, notify=lambda: None)
    with pytest.raises(NotFoundError, match="known are: archive, photos"):
        buckets.drop(site.world.engine, "photo", notify=lambda: None)


def test_buckets_that_are_not_watched_are_not_looked_for(world: World, bad):
    """One that is left in the ledger keeps nobody from finding that a watched one is gone."""
    site = Site(world, bad)
    site.upload("kept", "a.jpg")
    site.upload("left", "b.jpg")
    watched = Watched(("kept/a",))
    store = WatchedStore(site.objects, watched)
    replace(site.watch, store=store, watched=watched).look()
    with transaction(world.engine) as connection:
        found = {each.name: each.found_at is not None for each in ledger.buckets.buckets(connection)}
    assert {"kept": True, "left": False} == found
