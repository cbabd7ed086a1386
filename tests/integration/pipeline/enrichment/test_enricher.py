"""The enrich use case on a real PostgreSQL, with store and model faked: every outcome, and what it leaves behind."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.integration.pipeline.conftest import World
from tests.ledger import expire_leases, make_due, pending, ref, row
from tests.pictures import picture
from tests.waiting import until
from worker import catalog, ledger
from worker.db import transaction
from worker.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ConfigurationError,
    FatalDeviceError,
    StoreUnavailableError,
)
from worker.pipeline.resilience.heartbeat import Heartbeat
from worker.types import Outcome


def test_an_upload_becomes_an_image_with_vector_tags_and_a_change(world: World):
    """The main job, in one transaction's worth of rows."""
    world.upload("a.jpg", picture("green"))
    assert world.run() == {Outcome.ENRICHED: 1}
    found = world.image("a.jpg")
    assert (64, 48, "JPEG", {"colour": "green"}) == (found.width, found.height, found.format, world.tags("a.jpg"))
    assert [("enriched", "a.jpg")] == world.feed()
    assert (0, None) == (pending(world.engine), world.run())


def test_what_was_read_is_recorded_not_what_the_event_said(world: World):
    """The store is the truth: etag and size come from the response."""
    world.upload("a.jpg", picture("red"))
    world.store.put(ref("a.jpg"), picture("blue", (32, 32)), "image/jpeg")
    world.run()
    assert ({"colour": "blue"}, world.store.head(ref("a.jpg")).etag) == (world.tags("a.jpg"), world.image("a.jpg").etag)


def test_an_unchanged_object_is_not_fetched_or_announced_again(world: World):
    """The second event of one upload costs a conditional GET."""
    world.upload("a.jpg", picture())
    world.run()
    world.hint("a.jpg")
    assert world.run() == {Outcome.UNCHANGED: 1}
    assert ([1], [("enriched", "a.jpg")]) == (world.encoder.passes, world.feed())
    assert "enriched" == row(world.engine, "a.jpg").outcome


def test_a_deleted_object_leaves_the_catalog(world: World):
    """Gone is an outcome, announced once."""
    world.upload("a.jpg", picture())
    world.run()
    world.store.delete(ref("a.jpg"))
    world.hint("a.jpg")
    assert world.run() == {Outcome.GONE: 1}
    assert (None, [("enriched", "a.jpg"), ("removed", "a.jpg")]) == (world.image("a.jpg"), world.feed())
    world.hint("a.jpg")
    world.run()
    assert 2 == len(world.feed())


def test_bad_images_cost_themselves_only(world: World):
    """One batch: each bad file has its reason, the good ones are enriched."""
    good = picture()
    world.upload("good.jpg", good)
    world.upload("empty.jpg", b"")
    world.upload("text.jpg", b"hello, I am text")
    world.upload("cut.jpg", picture(size=(640, 480))[:-700])
    world.upload("notes.txt", b"shopping list", "text/plain")
    world.upload("folder/", b"", "application/x-directory")
    world.upload("huge.png", picture(size=(6_000, 2), kind="PNG"), "image/png")
    world.upload("also-good.jpg", picture("blue"))
    assert world.run() == {Outcome.ENRICHED: 2, Outcome.QUARANTINED: 4, Outcome.EXCLUDED: 2}
    assert {
        "empty.jpg": "empty",
        "text.jpg": "not-an-image",
        "cut.jpg": "truncated",
        "huge.png": "side-too-long",
    } == world.quarantine()


def test_objects_over_the_byte_limit_are_not_read(world: World):
    """Too many bytes: an image is quarantined, anything else is none of our business."""
    world.upload("big.jpg", picture() + b"\0" * 1_000_001)
    world.upload("big.mp4", b"\0\0\0\x18ftypmp42" + b"\0" * 1_000_001, "video/mp4")
    assert world.run() == {Outcome.QUARANTINED: 1, Outcome.EXCLUDED: 1}
    assert {"big.jpg": "too-many-bytes"} == world.quarantine()


def test_an_image_overwritten_by_rubbish_is_withdrawn(world: World):
    """Tags never describe a picture that is no longer there."""
    world.upload("a.jpg", picture())
    world.run()
    world.upload("a.jpg", b"rubbish")
    world.run()
    assert (None, {"a.jpg": "not-an-image"}) == (world.image("a.jpg"), world.quarantine())
    assert ("removed", "a.jpg") == world.feed()[-1]


def test_a_mended_file_leaves_quarantine(world: World):
    """Uploading a good file is all a person has to do."""
    world.upload("a.jpg", b"rubbish")
    world.run()
    world.upload("a.jpg", picture())
    assert world.run() == {Outcome.ENRICHED: 1}
    assert {} == world.quarantine()


@pytest.mark.parametrize("error", [StoreUnavailableError("503"), BucketNotFoundError("no such bucket")])
def test_an_outage_burns_no_attempts(world: World, error):
    """However long the store is away, nothing is given up."""
    world.upload("a.jpg", picture())
    world.store.fail(ref("a.jpg"), error)
    for _ in range(10):
        assert world.run() == {Outcome.RETRY: 1}
        world.time_passes()
    assert (0, str(error)) == (row(world.engine, "a.jpg").attempts, row(world.engine, "a.jpg").last_error)
    world.store.fail(ref("a.jpg"), None)
    assert world.run() == {Outcome.ENRICHED: 1}


def test_denied_access_is_retried_then_quarantined_and_keeps_what_was_known(world: World):
    """A policy mistake neither loops for ever nor destroys metadata that may still be true."""
    world.upload("a.jpg", picture())
    world.run()
    world.hint("a.jpg")
    world.store.fail(ref("a.jpg"), AccessDeniedError(ref("a.jpg")))
    outcomes = []
    for _ in range(3):
        outcomes.append(world.run())
        make_due(world.engine)
    assert outcomes == [{Outcome.RETRY: 1}, {Outcome.RETRY: 1}, {Outcome.QUARANTINED: 1}]
    assert {"a.jpg": "access-denied"} == world.quarantine()
    assert {"colour": "red"} == world.tags("a.jpg")


def test_access_that_is_granted_again_ends_the_quarantine_without_a_read(world: World):
    """The object never changed: a 304 is enough to know that its entry is right."""
    world.upload("a.jpg", picture())
    world.run()
    world.store.fail(ref("a.jpg"), AccessDeniedError(ref("a.jpg")))
    world.hint("a.jpg")
    while world.quarantine() == {}:
        world.run()
        make_due(world.engine)
    world.store.fail(ref("a.jpg"), None)
    world.hint("a.jpg")
    assert {Outcome.UNCHANGED: 1} == world.run()
    assert ({}, "enriched") == (world.quarantine(), row(world.engine, "a.jpg").outcome)


def test_a_hint_during_the_work_is_worked_on_afterwards(world: World):
    """An overwrite while the old bytes are being encoded ends in the new picture."""
    world.upload("a.jpg", picture("red"))
    encode = world.encoder._image_features

    def overwrite_meanwhile(pixels):
        world.encoder._image_features = encode
        world.upload("a.jpg", picture("blue"))
        return encode(pixels)

    world.encoder._image_features = overwrite_meanwhile
    world.run()
    assert {"colour": "red"} == world.tags("a.jpg")
    world.run()
    assert {"colour": "blue"} == world.tags("a.jpg")
    assert 0 == pending(world.engine)


def test_a_worker_that_lost_its_lease_writes_nothing(world: World):
    """Everything but the fencing token may say otherwise; the token wins."""
    world.upload("a.jpg", picture("red"))
    encode = world.encoder._image_features

    def lose_the_lease(pixels):
        expire_leases(world.engine)
        with transaction(world.engine) as connection:
            assert ledger.claims.claim(connection, worker="other", size=1, lease=60) is not None
        return encode(pixels)

    world.encoder._image_features = lose_the_lease
    assert {} == world.run()
    assert (None, []) == (world.image("a.jpg"), world.feed())
    assert "other" == row(world.engine, "a.jpg").worker


def test_a_full_batch_rings_before_it_starts_and_a_short_one_does_not(world: World):
    """Wake-ups spread with the work, and stop with it."""
    for number in range(9):
        world.upload(f"{number}.jpg", picture())
    world.run()
    assert 1 == len(world.rung)
    world.run()
    assert 1 == len(world.rung)


@pytest.mark.parametrize("error", [ValueError("a bug of ours"), ConfigurationError("a bug of ours")])
def test_a_batch_that_fails_as_a_whole_is_taken_apart(world: World, error: Exception):
    """When even our own code fails on one member, the others get through and the member keeps the error.

    Attempts count, whatever the error means for a picture that cannot be read.
    """
    for key in ("a.jpg", "bad.jpg", "c.jpg"):
        world.upload(key, picture())
    write = catalog.write.save_images

    def fail_on_bad(connection, *, space_id, images):
        if any(image.info.ref.key == "bad.jpg" for image in images):
            raise error
        write(connection, space_id=space_id, images=images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog.write, "save_images", fail_on_bad)
        for _ in range(8):
            world.run()
            make_due(world.engine)
    assert {"bad.jpg": "attempts-exhausted"} == world.quarantine()
    assert {"colour": "red"} == world.tags("a.jpg") == world.tags("c.jpg")
    assert "a bug of ours" in row(world.engine, "bad.jpg").last_error


def test_a_broken_device_ends_the_batch_without_completing_it(world: World):
    """The claim stays, so that its members are retried alone by a clean process."""
    world.upload("a.jpg", picture())

    def break_device(_pixels):
        raise FatalDeviceError("an illegal memory access was encountered")

    world.encoder._image_features = break_device
    with pytest.raises(FatalDeviceError):
        world.enricher.run_once()
    assert row(world.engine, "a.jpg").token is not None


def test_the_lease_is_renewed_while_a_batch_works(world: World):
    """A slow batch stays ours."""
    world.upload("a.jpg", picture())
    encode = world.encoder._image_features
    renewed = threading.Event()

    def slowly(pixels):
        first = row(world.engine, "a.jpg").visible_at
        until(lambda: row(world.engine, "a.jpg").visible_at > first)
        renewed.set()
        return encode(pixels)

    world.encoder._image_features = slowly
    assert world.run() == {Outcome.ENRICHED: 1}
    assert renewed.is_set()


def test_several_batches_in_flight_share_the_encoder(world: World):
    """Threads of one process work on different batches at once, and every image is done once."""
    for number in range(40):
        world.upload(f"{number}.jpg", picture("green"))
    stop = threading.Event()

    def drain() -> int:
        done = 0
        while not stop.is_set() and (outcomes := world.run()) is not None:
            done += outcomes.get(Outcome.ENRICHED, 0)
        return done

    with ThreadPoolExecutor(4) as pool:
        assert 40 == sum(future.result() for future in [pool.submit(drain) for _ in range(4)])
    assert 40 == len(world.feed())


def test_a_batch_that_finds_the_database_gone_is_given_back_uncounted(world: World, monkeypatch):
    """An outage of the database burns no attempts either; the keeper gives the claim back when it is over."""
    world.upload("a.jpg", picture())

    def away(*_args, **_kwargs):
        raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))

    with monkeypatch.context() as patch:
        patch.setattr("worker.pipeline.enrichment.enricher._WRITE_PATIENCE", 0.0)
        patch.setattr(catalog.write, "save_images", away)
        assert world.enricher.run_once() is None
    until(lambda: row(world.engine, "a.jpg").token is None)
    assert (None, 0) == (row(world.engine, "a.jpg").token, row(world.engine, "a.jpg").attempts)
    assert {Outcome.ENRICHED: 1} == world.run()


def test_an_edited_taxonomy_is_applied_when_the_object_is_hinted_again(world: World):
    """ "Unchanged" means that the tags are current as well."""
    world.upload("a.jpg", picture())
    world.run()
    with transaction(world.engine) as connection:
        connection.execute(text("UPDATE tags SET taxonomy_version = 'older'"))
    world.hint("a.jpg")
    assert {Outcome.ENRICHED: 1} == world.run()
    world.hint("a.jpg")
    assert {Outcome.UNCHANGED: 1} == world.run()


def test_an_image_that_failed_often_is_not_taken_for_one_that_kills(world: World):
    """Attempts end in many ways; only deaths make a killer. Here the store refused twice, then a worker was killed."""
    world.upload("a.jpg", picture())
    for _ in range(3):
        world.store.fail(ref("a.jpg"), StoreUnavailableError("503"))
        world.run()
        with transaction(world.engine) as connection:
            connection.execute(text("UPDATE inbox SET attempts = attempts + 1"))  # as a counted failure would
        make_due(world.engine)
    world.store.fail(ref("a.jpg"), None)
    with transaction(world.engine) as connection:
        ledger.claims.claim(connection, worker="killed by a deploy", size=8, lease=60)
    expire_leases(world.engine)
    assert {Outcome.ENRICHED: 1} == world.run()


def test_while_a_suspect_is_at_work_the_process_claims_nothing_else(world: World):
    """What it held would be suspected with the culprit, and could be done elsewhere meanwhile."""
    world.upload("suspect.jpg", picture())
    with transaction(world.engine) as connection:
        ledger.claims.claim(connection, worker="died", size=8, lease=60)
    expire_leases(world.engine)
    encode, inside, go = world.encoder._image_features, threading.Event(), threading.Event()

    def hold(pixels):
        inside.set()
        go.wait(10)
        return encode(pixels)

    world.encoder._image_features = hold
    with ThreadPoolExecutor(2) as pool:
        suspect = pool.submit(world.run)
        inside.wait(10)
        world.upload("fresh.jpg", picture())
        other = pool.submit(world.run)
        time.sleep(0.2)
        held = row(world.engine, "fresh.jpg").token
        go.set()
        assert ({Outcome.ENRICHED: 1}, {Outcome.ENRICHED: 1}) == (suspect.result(10), other.result(10))
    assert held is None


def test_an_object_over_the_byte_limit_does_not_wait_for_memory_it_will_not_use(world: World):
    """It is quarantined unread, also while other files have all of the budget."""
    world.upload("big.jpg", picture() + b"\0" * 1_000_001)
    budget = world.enricher.preparer.reader.budget
    with ThreadPoolExecutor(1) as pool, budget.lease() as reservation:
        reservation.draw(1 << 20)
        running = pool.submit(world.run)
        try:
            assert {Outcome.QUARANTINED: 1} == running.result(5)
        finally:
            budget._give(1 << 20)
            reservation.drawn = 0


def test_a_process_that_comes_back_under_the_name_of_a_dead_one_starts_anew(engine):
    """In a container the process id is always the same; what waits for a restart must see one."""
    with transaction(engine) as connection:
        name = Heartbeat(engine, kind="worker").name
        ledger.heartbeats.record(connection, ledger.heartbeats.ProcessReport(name=name, kind="worker", host="h"))
        connection.execute(text("UPDATE processes SET started_at = now() - interval '1 hour'"))
    heartbeat = Heartbeat(engine, kind="worker", interval=60)
    heartbeat.start()
    with transaction(engine) as connection:
        [process] = ledger.heartbeats.processes(connection)
        age = ledger.heartbeats.now(connection) - process.started_at
    heartbeat.stop()
    assert age.total_seconds() < 60
