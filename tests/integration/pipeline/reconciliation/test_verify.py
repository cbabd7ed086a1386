"""The equation: listed = enriched + excluded + quarantined + pending, with every difference named."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.integration.pipeline.conftest import World
from tests.ledger import BUCKET, expire_leases, make_due, ref
from tests.pictures import picture
from worker import catalog, ledger
from worker.db import transaction
from worker.errors import AccessDeniedError, BucketNotFoundError, StoreUnavailableError
from worker.objects import ListedObject
from worker.pipeline.enrichment.poison_images import EXPOSED_DEATHS
from worker.pipeline.reconciliation.backfill import Backfill
from worker.pipeline.reconciliation.verify import Verifier
from worker.types import ObjectInfo, ObjectRef

LONG_AGO = datetime.now(UTC) - timedelta(days=9)


@pytest.fixture
def verify(world: World):
    return Verifier(engine=world.engine, store=world.store, notify=world.enricher.notify, settle=0)


def differences(verify, **options):
    found = []
    result = verify.run(BUCKET, report=lambda each: found.append((each.kind, each.key)), **options)
    return result, sorted(found)


def drain(world: World):
    make_due(world.engine)
    while world.run() is not None:
        continue


def test_the_equation_holds_for_every_kind_of_outcome(world: World, verify):
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


def test_every_difference_is_named_and_repaired(world: World, verify):
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


def test_an_image_that_the_catalog_lost_is_missing_whatever_the_ledger_says(world: World, verify):
    """Restored in part, or deleted by hand: what counts is what can be found, with the bytes it is of."""
    for key in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        world.upload(key, picture())
    drain(world)
    with transaction(world.engine) as connection:
        connection.execute(text("DELETE FROM images WHERE key = 'a.jpg'"))
        connection.execute(text("UPDATE images SET etag = 'other' WHERE key = 'b.jpg'"))
        connection.execute(text("DELETE FROM images WHERE key = 'd.jpg'"))
    world.store.delete(ref("d.jpg"))
    result, found = differences(verify, repair=True)
    assert (False, [("ghost", "d.jpg"), ("missing", "a.jpg"), ("stale", "b.jpg")]) == (result.holds, found)
    drain(world)
    result, found = differences(verify)
    assert (True, [], 3) == (result.holds, found, result.enriched)
    assert world.image("a.jpg") is not None
    assert world.store.head(ref("b.jpg")).etag == world.image("b.jpg").etag


def test_an_overwrite_while_a_page_is_compared_is_no_difference(world: World, verify, monkeypatch):
    """Ledger and catalog are seen at one moment: what commits between the two questions is the next one's."""
    world.upload("a.jpg", picture("red"))
    drain(world)
    lists(world)
    entries = catalog.read.entries

    def overwritten_just_now(*args, **options):
        monkeypatch.setattr(catalog.read, "entries", entries)
        world.upload("a.jpg", picture("blue"))
        drain(world)
        return entries(*args, **options)

    monkeypatch.setattr(catalog.read, "entries", overwritten_just_now)
    result, found = differences(verify)
    assert (True, [], 1) == (result.holds, found, result.enriched)


def test_an_object_that_came_back_after_its_delete_is_missing(world: World, verify):
    """ "Gone" is an outcome of the past."""
    world.upload("a.jpg", picture())
    drain(world)
    world.store.delete(ref("a.jpg"))
    world.hint("a.jpg")
    drain(world)
    world.store.put(ref("a.jpg"), picture(), "image/jpeg")
    assert [("missing", "a.jpg")] == differences(verify)[1]


def test_a_prefix_is_compared_with_its_own_part_of_the_ledger(world: World, verify):
    """Objects outside of the prefix are neither listed nor ghosts; % and _ in it are characters."""
    for key in ("a_1/x.jpg", "a%1/x.jpg", "b/x.jpg"):
        world.upload(key, picture())
    drain(world)
    result, found = differences(verify, prefix="a_1/")
    assert (True, [], 1) == (result.holds, found, result.listed)


def test_an_upload_during_the_listing_is_no_difference(world: World, verify):
    """What changed meanwhile is judged by what is true in the end; what came behind the listing is the next one's."""
    world.upload("a.jpg", picture())
    world.upload("overwritten.jpg", picture("red"))
    drain(world)
    listing = world.store.list

    def upload_meanwhile(bucket, prefix="", start_after=""):
        yield from listing(bucket, prefix=prefix, start_after=start_after)
        world.upload("b.jpg", picture())
        world.upload("overwritten.jpg", picture("blue"))
        world.store.delete(ref("a.jpg"))
        world.hint("a.jpg")
        drain(world)

    world.store.list = upload_meanwhile
    result, found = differences(verify)
    assert (True, [], 1, 1) == (result.holds, found, result.listed, result.enriched)


def test_a_listing_that_breaks_off_concludes_nothing(world: World, verify):
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
        assert 0 == ledger.totals.totals(connection).pending


def test_a_bucket_that_does_not_exist_is_an_error(verify):
    """A typo does not prove anything."""
    with pytest.raises(BucketNotFoundError):
        verify.run("no-such-bucket")


def test_quarantined_without_a_read_is_not_stale(world: World, verify):
    """Where nothing was read there is no etag to compare."""
    world.upload("a.jpg", b"rubbish")
    drain(world)
    with transaction(world.engine) as connection:
        connection.execute(text("UPDATE inbox SET etag = NULL"))
    result, _ = differences(verify)
    assert (True, 1) == (result.holds, result.quarantined)


def test_many_pages(world: World, verify):
    """More keys than fit one page, known and unknown."""
    for number in range(2_500):
        world.store.put(ref(f"{number:04}.txt"), b"x", "text/plain")
    world.hint(*(f"{number:04}.txt" for number in range(2_499)))
    result, found = differences(verify)
    assert (False, [("missing", "2499.txt")]) == (result.holds, found)
    assert (2_500, 2_499) == (result.listed, result.pending)


def lists(world: World, *more: str, around=lambda listing: listing) -> None:
    """Have the store list these keys, too, as written long ago; ``around`` may do something while it lists."""
    listing = world.store.list

    def everything(bucket, prefix="", start_after=""):
        found = [*listing(bucket, prefix=prefix, start_after=start_after), *map(listed, more)]
        yield from around(replace(each, last_modified=LONG_AGO) for each in found)

    world.store.list = everything


def listed(key: str) -> ListedObject:
    return ListedObject(key=key, etag="e", size=1, last_modified=LONG_AGO)


UNNAMEABLE = ("nul\0.jpg", "half\ud800.jpg", "long" * 257)


def test_a_key_that_cannot_be_recorded_costs_no_other(world: World, verify):
    """It is named and counted, and the equation does not hold; the rest of its page is compared and repaired."""
    world.upload("a.jpg", picture())
    drain(world)
    lists(world, *UNNAMEABLE, "lost.jpg")
    result, found = differences(verify, repair=True)
    assert sorted([*(("unnameable", key) for key in UNNAMEABLE), ("missing", "lost.jpg")]) == found
    assert (False, 5, 1, 3, 1) == (result.holds, result.listed, result.enriched, result.unnameable, result.repaired)


def test_a_key_whose_bytes_are_no_text_is_unnameable_once_it_was_looked_for(world: World, verify):
    """Listings have U+FFFD in its place: the store itself does not know such a key, whatever is tried."""
    lists(world, "caf\ufffd.jpg")
    assert [("missing", "caf\ufffd.jpg")] == differences(verify, repair=True)[1]
    drain(world)
    assert [("unnameable", "caf\ufffd.jpg")] == differences(verify)[1]


def test_a_backfill_leaves_out_what_cannot_be_recorded(world: World):
    """And takes the rest of the page."""
    lists(world, *UNNAMEABLE, "good.jpg")
    [found] = Backfill(engine=world.engine, store=world.store, notify=world.enricher.notify).run(BUCKET)
    assert (1, 1, len(UNNAMEABLE)) == (found.to_do, found.new, found.unnameable)


def test_differences_are_named_while_the_listing_goes_on(world: World, verify):
    """Millions of them need no memory, and nobody waits for the first."""
    found: list[str] = []
    seen_by_the_end: list[int] = []

    def around(listing):
        yield from listing
        seen_by_the_end.append(len(found))

    lists(world, *(f"{number:05}.jpg" for number in range(2_500)), around=around)
    verify.run(BUCKET, report=lambda each: found.append(each.key))
    assert ([2_000], 2_500) == (seen_by_the_end, len(found))


def test_what_cannot_be_an_event_on_its_way_is_not_waited_for(world: World, verify):
    """An object that was written long ago and is not known is missing; nothing is asked twice."""
    lists(world, *(f"{number}.jpg" for number in range(100)))
    began = time.monotonic()
    result, _ = differences(replace(verify, settle=60))
    assert 100 == result.missing
    assert time.monotonic() - began < 30


def test_an_event_on_its_way_is_waited_for(world: World, verify):
    """A young object that nobody has told us of yet is no difference once the event is here."""
    world.store.put(ref("young.jpg"), picture(), "image/jpeg")
    head = world.store.head

    def hinted_meanwhile(each: ObjectRef) -> ObjectInfo | None:
        world.hint("young.jpg")
        info: ObjectInfo | None = head(each)
        return info

    world.store.head = hinted_meanwhile
    result, found = differences(verify)
    assert (True, [], 1) == (result.holds, found, result.pending)


def test_an_object_that_may_be_listed_but_not_read_is_judged_by_the_listing(world: World, verify):
    """Credentials for s3:ListBucket alone are enough to compare."""
    world.store.put(ref("young.jpg"), picture(), "image/jpeg")
    world.store.fail(ref("young.jpg"), AccessDeniedError(ref("young.jpg")))
    assert [("missing", "young.jpg")] == differences(verify)[1]


def test_a_repair_that_is_cut_short_is_finished_by_the_next(world: World, verify):
    """What was repaired stays so; the next run finds the rest, and one more finds nothing."""
    keys = [f"{number:05}.jpg" for number in range(2_500)]

    def around(listing):
        yield from itertools.islice(listing, 1_500)
        raise StoreUnavailableError("503")

    world_list = world.store.list
    lists(world, *keys, around=around)
    with pytest.raises(StoreUnavailableError):
        verify.run(BUCKET, repair=True)
    world.store.list = world_list
    lists(world, *keys)
    runs = [verify.run(BUCKET, repair=True) for _ in range(2)]
    assert [1_500, 0] == [each.repaired for each in runs]
    assert [(False, 1_000), (True, 2_500)] == [(each.holds, each.pending) for each in runs]


def test_it_says_how_old_the_oldest_pending_work_is(world: World, verify):
    """Pending for a week is not "about to be done"."""
    world.upload("a.jpg", picture())
    world.upload("b.jpg", picture())
    with transaction(world.engine) as connection:
        connection.execute(text("UPDATE inbox SET hinted_at = now() - interval '1 week' WHERE key = 'a.jpg'"))
    result, _ = differences(verify)
    assert (2, 7) == (result.pending, result.oldest_pending_seconds // 86_400)


def test_a_store_without_etags_has_nothing_stale(world: World, verify):
    """Nothing to compare is no difference."""
    world.upload("a.jpg", picture())
    drain(world)
    listing = world.store.list
    world.store.list = lambda *given, **named: (replace(each, etag="") for each in listing(*given, **named))
    assert (True, []) == (differences(verify)[0].holds, differences(verify)[1])


def test_the_ledger_estimates_how_many_objects_there_are(world: World, verify):
    """For the progress bar, at once; exact enough after the statistics were gathered."""
    world.hint(*(f"a/{number:05}.jpg" for number in range(3_000)), "b.jpg")
    with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE inbox"))
    assert 2_700 < verify.expected(BUCKET, prefix="a/") < 3_300


def test_a_killer_that_was_replaced_is_found_without_an_event(world: World, verify):
    """Its bytes were never read to the end, but the etag they had is known: a good file in their place is stale."""
    world.upload("killer.jpg", picture("blue"))
    for _ in range(EXPOSED_DEATHS):
        with transaction(world.engine) as connection:
            taken = ledger.claims.claim(connection, worker="dies", size=8, lease=60)
            assert taken is not None
            ledger.claims.expose(connection, taken.token, taken.objects[0].id)
        expire_leases(world.engine)
    world.run()
    assert {"killer.jpg": "killed-worker"} == world.quarantine()
    assert [] == differences(verify)[1]
    world.store.put(ref("killer.jpg"), picture(), "image/jpeg")
    assert [("stale", "killer.jpg")] == differences(verify, repair=True)[1]
    drain(world)
    assert {} == world.quarantine()
