"""The equation: listed = enriched + excluded + quarantined + pending, with every difference named."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import text

from tests.ledger import BUCKET, make_due, ref
from tests.pictures import picture
from worker import inbox
from worker.db import transaction
from worker.errors import BucketNotFoundError, StoreUnavailableError
from worker.pipeline.verify import Verify


@pytest.fixture
def verify(world):
    return Verify(engine=world.engine, store=world.store, ring=world.enricher.ring, settle=0)


def differences(verify, **options):
    found = []
    result = verify.run(BUCKET, report=lambda each: found.append((each.kind, each.key)), **options)
    return result, sorted(found)


def drain(world):
    make_due(world.engine)
    while world.run() is not None:
        continue


def test_the_equation_holds_for_every_kind_of_outcome(world, verify):
    """Enriched, excluded, quarantined and pending add up to what the bucket lists."""
    world.upload("a.jpg", picture())
    world.upload("notes.txt", b"text", "text/plain")
    world.upload("bad.jpg", b"rubbish")
    world.upload("deleted.jpg", picture())
    drain(world)
    world.store.delete(ref("deleted.jpg"))
    world.hint("deleted.jpg")
    drain(world)
    world.upload("waiting.jpg", picture())
    result, found = differences(verify)
    assert (True, []) == (result.holds, found)
    assert (4, 1, 1, 1, 1) == (result.listed, result.enriched, result.excluded, result.quarantined, result.pending)


def test_every_difference_is_named_and_repaired(world, verify):
    """Lost events of an upload, an overwrite and a delete: found without any event, and mended by one more run."""
    world.upload("overwritten.jpg", picture("red"))
    world.upload("deleted.jpg", picture())
    drain(world)
    world.store.put(ref("lost.jpg"), picture(), "image/jpeg")
    world.store.put(ref("overwritten.jpg"), picture("blue"), "image/jpeg")
    world.store.delete(ref("deleted.jpg"))
    expected = [("ghost", "deleted.jpg"), ("missing", "lost.jpg"), ("stale", "overwritten.jpg")]
    result, found = differences(verify)
    assert (False, expected) == (result.holds, found)
    result, _ = differences(verify, repair=True)
    assert 3 == result.repaired
    drain(world)
    result, found = differences(verify)
    assert (True, [], 2, 2) == (result.holds, found, result.listed, result.enriched)
    assert ({"colour": "blue"}, None) == (world.tags("overwritten.jpg"), world.image("deleted.jpg"))


def test_an_object_that_came_back_after_its_delete_is_missing(world, verify):
    """ "Gone" is an outcome of the past."""
    world.upload("a.jpg", picture())
    drain(world)
    world.store.delete(ref("a.jpg"))
    world.hint("a.jpg")
    drain(world)
    world.store.put(ref("a.jpg"), picture(), "image/jpeg")
    assert [("missing", "a.jpg")] == differences(verify)[1]


def test_a_prefix_is_compared_with_its_own_part_of_the_ledger(world, verify):
    """Objects outside of the prefix are neither listed nor ghosts; % and _ in it are characters."""
    for key in ("a_1/x.jpg", "a%1/x.jpg", "b/x.jpg"):
        world.upload(key, picture())
    drain(world)
    result, found = differences(verify, prefix="a_1/")
    assert (True, [], 1) == (result.holds, found, result.listed)


def test_an_upload_during_the_listing_is_no_difference(world, verify):
    """What changed meanwhile is judged by what is true in the end."""
    world.upload("a.jpg", picture())
    drain(world)
    listing = world.store.list

    def upload_meanwhile(bucket, prefix="", start_after=""):
        yield from listing(bucket, prefix=prefix, start_after=start_after)
        world.upload("b.jpg", picture())
        world.store.delete(ref("a.jpg"))
        world.hint("a.jpg")
        drain(world)

    world.store.list = upload_meanwhile
    result, found = differences(verify)
    assert (True, [], 1, 1) == (result.holds, found, result.listed, result.enriched)


def test_a_listing_that_breaks_off_concludes_nothing(world, verify):
    """Half a listing would make ghosts of the other half."""
    world.upload("a.jpg", picture())
    drain(world)

    listing = world.store.list

    def break_off(bucket, prefix="", start_after=""):
        yield from itertools.islice(listing(bucket, prefix=prefix, start_after=start_after), 1)
        raise StoreUnavailableError("503")

    world.store.list = break_off
    with pytest.raises(StoreUnavailableError):
        verify.run(BUCKET, repair=True)
    with transaction(world.engine) as connection:
        assert 0 == inbox.totals(connection).pending


def test_a_bucket_that_does_not_exist_is_an_error(verify):
    """A typo does not prove anything."""
    with pytest.raises(BucketNotFoundError):
        verify.run("no-such-bucket")


def test_quarantined_without_a_read_is_not_stale(world, verify):
    """Where nothing was read there is no etag to compare."""
    world.upload("a.jpg", b"rubbish")
    drain(world)
    with transaction(world.engine) as connection:
        connection.execute(text("UPDATE inbox SET etag = NULL"))
    result, _ = differences(verify)
    assert (True, 1) == (result.holds, result.quarantined)


def test_many_pages(world, verify):
    """More keys than fit one page, known and unknown."""
    for number in range(2_500):
        world.store.put(ref(f"{number:04}.txt"), b"x", "text/plain")
    world.hint(*(f"{number:04}.txt" for number in range(2_499)))
    result, found = differences(verify)
    assert (False, [("missing", "2499.txt")]) == (result.holds, found)
    assert (2_500, 2_499) == (result.listed, result.pending)
