"""Filling a space beside the one that answers: everything ends up in both, whatever happens meanwhile."""

from __future__ import annotations

import gzip
import time
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.active_taxonomies import put_into_force
from tests.integration.pipeline.spaces.world import COLOURS, TurnedEncoder, World, made
from tests.ledger import ref
from tests.pictures import picture
from worker import catalog
from worker.db import transaction
from worker.errors import AccessDeniedError, FatalDeviceError, StoreUnavailableError
from worker.pipeline.spaces import lifecycle
from worker.pipeline.spaces.fill import FillRun
from worker.pipeline.spaces.fill_batch import _ReadyImage
from worker.pipeline.taxonomies.label_vectors import LabelVectorWriter
from worker.tagging import Label
from worker.types import Outcome

TWELVE = {f"{number:02}.jpg": ("red", "green", "blue")[number % 3] for number in range(12)}


def queue_all(world: World, space) -> None:
    with transaction(world.engine) as connection:
        catalog.embedding_queue.enqueue_missing(connection, space.id, after=0, limit=100)


def test_filling_gives_every_image_a_vector_tags_and_the_space_an_index(world: World):
    """What was there before the space is read again, and nobody reads the result yet."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    done = world.fill(new)
    assert (12, 0, 0, 0) == (done.filled, done.changed, done.failed, done.missing)
    assert TWELVE == world.tags_in(new)
    with transaction(world.engine) as connection:
        assert catalog.partitions.has_index(connection, new.id)
    assert {"tiny"} == set(world.sql("SELECT model FROM image_tags"))


def test_packed_objects_are_unpacked_for_every_space(world: World):
    """Both models see the file, whose hash is what tells whether it is still the one of the catalog."""
    world.upload("a")
    world.store.put(ref("a"), gzip.compress(picture("green")), "image/jpeg", content_encoding="gzip")
    world.work()
    new = world.space("turned")
    done = world.fill(new)
    assert (1, 0, 0, 0) == (done.filled, done.changed, done.failed, done.missing)
    assert {"a": "green"} == world.tags_in(new)


def test_a_space_that_is_filled_by_hand_has_no_index_until_its_end(world: World):
    """Vectors are loaded into an unindexed table: 60 times as fast."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    world.filler(new).run_once()
    with transaction(world.engine) as connection:
        assert not catalog.partitions.has_index(connection, new.id)


def test_an_upload_during_filling_ends_up_in_both_spaces(world: World):
    """The worker knows only its own model; whoever serves the other one finds what it is owed."""
    new = world.space("turned")
    world.enriched(late="green")
    assert 1 == world.open_in(new)
    assert 1 == made(world.filler(new).run_once()).filled
    assert ({"late": "green"}, 0) == (world.tags_in(new), world.open_in(new))


def test_an_overwritten_picture_loses_its_old_vector_and_gets_a_new_one(world: World):
    """In no space does a vector outlive the bytes it was made of."""
    world.enriched(a="red")
    new = world.space("turned")
    world.fill(new)
    world.enriched(a="blue")
    assert set() == world.keys_in(new)
    world.filler(new).run_once()
    assert {"a": "blue"} == world.tags_in(new)


def test_a_deleted_image_costs_nothing(world: World):
    """It is taken off the queue when its turn comes, or a worker is told to look."""
    world.enriched(known="red", unknown="green")
    new = world.space("turned")
    queue_all(world, new)
    for key in ("known", "unknown"):
        world.store.delete(ref(key))
    world.sql("UPDATE inbox SET wanted = wanted + 1 WHERE key = 'known'")
    world.work()
    report = made(world.filler(new).run_once())
    assert (0, 1, 0) == (report.filled, report.changed, world.open_in(new))
    world.work()
    assert [] == world.sql("SELECT key FROM images")


def test_an_object_that_changed_unnoticed_is_looked_at_by_a_worker(world: World):
    """The store is the truth: a lost event is found by filling, and the new bytes end up in both spaces."""
    world.enriched(a="red")
    new = world.space("turned")
    world.store.put(ref("a"), picture("blue"), "image/jpeg")
    queue_all(world, new)
    report = made(world.filler(new).run_once())
    assert (0, 1, set()) == (report.filled, report.changed, world.keys_in(new))
    world.work()
    world.filler(new).run_once()
    assert ({"a": "blue"}, {"a": "blue"}) == (world.tags_in(world.serving.enricher.space), world.tags_in(new))


def test_an_overwrite_while_its_picture_is_being_embedded_wins(world: World):
    """A vector of the picture before is not written, and the queue's new entry survives the late holder of the old."""
    world.enriched(a="red")
    new = world.space("turned")
    queue_all(world, new)
    filler = world.filler(new)
    with transaction(world.engine) as connection:
        held = catalog.embedding_queue.claim(connection, new.id, size=8, lease=60)
    assert held is not None
    read = [filler._read(each) for each in held.images]
    world.enriched(a="blue")
    vectors, _ = filler._encode([each for each in read if isinstance(each, _ReadyImage)])
    filler._write(held, vectors, [], [])
    assert (set(), 1) == (world.keys_in(new), world.open_in(new))
    world.work()
    filler.run_once()
    assert {"a": "blue"} == world.tags_in(new)


class Picky(TurnedEncoder):
    """Fails on green."""

    def _image_features(self, pixels):
        if any(each[0, 0].argmax() == 1 for each in pixels):
            raise RuntimeError("no green")
        return super()._image_features(pixels)


def test_an_image_that_the_new_model_fails_on_is_reported_and_stays_as_it_is(world: World):
    """It neither stops the filling nor leaves the catalog, and does not keep the space from being activated."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    done = world.fill(new, encoder=Picky("turned"))
    greens = {key for key, colour in TWELVE.items() if colour == "green"}
    assert (8, 4, 0) == (done.filled, done.failed, done.missing)
    assert greens == {each.key for each in lifecycle.failures(world.engine, new.id, limit=10)}
    assert "no green" in str(lifecycle.failures(world.engine, new.id, limit=1)[0].error)
    assert TWELVE == world.tags_in(world.serving.enricher.space)
    assert 4 == lifecycle.activate(world.engine, new.id, force=False).failed


def test_what_failed_is_tried_again_when_asked(world: World):
    """After a library was mended, say."""
    world.enriched(a="green")
    new = world.space("turned")
    world.fill(new, encoder=Picky("turned"))
    done = FillRun(engine=world.engine, filler=world.filler(new), threads=1).run(retry_failed=True)
    assert (1, 0, {"a": "green"}) == (done.filled, done.failed, world.tags_in(new))


def test_an_outage_of_the_store_costs_no_attempts_and_loses_nothing(world: World):
    """However long it lasts."""
    world.enriched(a="red")
    new = world.space("turned")
    queue_all(world, new)
    filler = world.filler(new)
    world.store.fail(ref("a"), StoreUnavailableError("503"))
    for _ in range(10):
        assert 1 == made(filler.run_once()).later
        world.sql("UPDATE owed_vectors SET visible_at = now()")
    world.store.fail(ref("a"), None)
    assert 1 == made(filler.run_once()).filled


def test_an_image_that_is_denied_every_time_is_given_up_with_the_reason(world: World):
    """After as many attempts as the settings allow."""
    world.enriched(a="red")
    new = world.space("turned")
    world.store.fail(ref("a"), AccessDeniedError(ref("a")))
    assert (1, 0) == ((done := world.fill(new)).failed, done.missing)
    assert "denies access" in str(lifecycle.failures(world.engine, new.id, limit=1)[0].error)


def test_what_a_dead_process_had_in_hand_is_done_by_another_one_alone(world: World):
    """A lease ends by itself; an image that killed its process does not take others with it."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    queue_all(world, new)
    with transaction(world.engine) as connection:  # and then the process is killed
        taken = catalog.embedding_queue.claim(connection, new.id, size=4, lease=0)
    assert taken is not None
    assert 4 == len(taken.images)
    filler = world.filler(new)
    sizes = [report.filled for report in iter(filler.run_once, None)]
    assert (12, TWELVE) == (sum(sizes), world.tags_in(new))
    assert [1, 1, 1, 1] == sizes[:4]


def test_a_broken_device_leaves_its_batch_to_others(world: World):
    """The error reaches the process, which ends; what it had in hand is not lost."""

    class Broken(TurnedEncoder):
        def _image_features(self, pixels):
            raise FatalDeviceError("illegal memory access")

    world.enriched(**TWELVE)
    new = world.space("turned")
    with pytest.raises(FatalDeviceError):
        world.fill(new, encoder=Broken("turned"), lease=0.1)
    assert 0 == world.fill(new).missing
    assert TWELVE == world.tags_in(new)


class Watching(TurnedEncoder):
    """Takes its time, and looks who keeps a transaction open meanwhile."""

    def __init__(self, engine) -> None:
        super().__init__("turned")
        self._engine = engine
        self.idle: list[str] = []
        self.looks = 0

    def _image_features(self, pixels):
        self._look()
        return super()._image_features(pixels)

    def _text_features(self, texts):
        self._look()
        return super()._text_features(texts)

    def _look(self) -> None:
        time.sleep(0.5)
        with transaction(self._engine) as connection:
            self.idle += connection.execute(_IDLE).scalars()
        self.looks += 1


_IDLE = text("""
    SELECT query FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle in transaction' AND state_change < now() - interval '0.3 s'
""")


def test_no_transaction_is_open_while_a_model_is_at_work(world: World):
    """Neither for pictures nor for prompts and labels: locks and old rows would be kept for as long as that takes."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    encoder = Watching(world.engine)
    filler = world.filler(new, encoder=encoder)
    put_into_force(world.engine, COLOURS, replace(COLOURS, name="other", templates=("a {} one",)))
    assert 12 == FillRun(engine=world.engine, filler=filler, threads=2).run().filled
    LabelVectorWriter(engine=world.engine, space=new, encode_texts=encoder.encode_texts).run()
    assert ([], True) == (encoder.idle, encoder.looks >= 4)


def test_live_uploads_go_first(world: World):
    """While one waits for a worker, nothing is filled."""
    world.enriched(a="red")
    new = world.space("turned")
    queue_all(world, new)
    world.upload("urgent")
    filler = world.filler(new)
    assert filler.run_once() is None
    world.work()
    assert 2 == made(filler.run_once()).filled


def test_several_processes_share_the_work(world: World):
    """Every image is embedded once, whoever takes it."""
    from concurrent.futures import ThreadPoolExecutor

    world.enriched(**{f"{number:03}.jpg": "red" for number in range(60)})
    new = world.space("turned")
    encoders = [TurnedEncoder("turned") for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda encoder: world.fill(new, encoder=encoder), encoders))
    assert (60, {0}) == (sum(each.filled for each in done), {each.missing for each in done})
    assert 60 == sum(sum(encoder.passes) for encoder in encoders)


def test_an_image_that_has_its_vector_is_not_embedded_again(world: World):
    """Of two who look for what is missing, one may queue what the other has just seen to."""
    world.enriched(a="red")
    new = world.space("turned")
    world.fill(new)
    world.sql("INSERT INTO owed_vectors (space_id, image_id) SELECT :s, id FROM images", s=new.id)
    encoder = TurnedEncoder("turned")
    filler = world.filler(new, encoder=encoder)
    assert (0, None) == (made(filler.run_once()).filled, filler.run_once())
    assert ([], 0) == (encoder.passes, world.open_in(new))


def test_the_queue_is_bounded(world: World, monkeypatch):
    """However many images there are, only so many are queued."""
    monkeypatch.setattr("worker.pipeline.spaces.fill._CHUNK", 5)
    world.enriched(**TWELVE)
    new = world.space("turned")
    longest = 0

    def look(_: object) -> None:
        nonlocal longest
        longest = max(longest, world.open_in(new))

    assert 12 == FillRun(engine=world.engine, filler=world.filler(new), threads=1, progress=look).run().filled
    assert longest < 10


def test_tags_of_an_edited_taxonomy_come_from_stored_vectors(world: World):
    """Without the store and without the image encoder."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    world.fill(new)
    edited = replace(COLOURS, labels=(*COLOURS.labels, Label(name="grey", prompts=("grey",))))
    for key in TWELVE:
        world.store.fail(ref(key), StoreUnavailableError("nobody may read"))
    encoder = TurnedEncoder("turned")
    put_into_force(world.engine, edited)
    done = world.fill(new, encoder=encoder)
    assert (12, 0, []) == (done.tagged, done.filled, encoder.passes)
    versions = world.sql("SELECT DISTINCT taxonomy_version FROM tags WHERE space_id = :s", s=new.id)
    assert [edited.version] == versions


def test_filling_tells_nobody_that_images_changed(world: World):
    """The feed announces what readers can see."""
    world.enriched(a="red")
    before = world.sql("SELECT count(*) FROM changes")
    world.fill(world.space("turned"))
    assert before == world.sql("SELECT count(*) FROM changes")


def test_an_unchanged_object_is_still_unchanged_with_another_space_beside(world: World):
    """A second event of one upload costs a conditional GET, also while a space is filled."""
    world.enriched(a="red")
    world.space("turned")
    world.upload("a", "red")
    assert {Outcome.UNCHANGED: 1} == dict(made(world.serving.run_once()).outcomes)
