"""The tables behind spaces are made, indexed and dropped while everybody reads and writes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.active_taxonomies import put_into_force
from tests.factories import DIMENSION, enriched_image
from tests.integration.pipeline.spaces.world import COLOURS, World, load, meanwhile
from tests.waiting import until_blocked
from worker import catalog, db, outbox
from worker.catalog.golden import GoldenItem
from worker.catalog.label_vectors import LabelVector
from worker.catalog.taxonomies import TaxonomyVersion
from worker.db import transaction
from worker.errors import NotFoundError
from worker.pipeline.spaces import fill, lifecycle
from worker.pipeline.taxonomies.label_vectors import LabelVectorWriter
from worker.pipeline.taxonomies.prompt_vectors import PromptVectorCache
from worker.pipeline.taxonomies.retag import Retagger

#: Tables with what a space's model made of texts.
OF_TEXTS = ("text_vectors", "label_sets", "label_vectors")
LATE = TaxonomyVersion(name="late", version="1", many=False, definition={})


def quickly(world: World, statement: str) -> None:
    """One statement, which must not wait."""
    started = time.monotonic()
    world.sql(statement)
    assert time.monotonic() - started < 1.5, statement


def test_a_space_is_made_beside_long_readers(world: World):
    """Somebody's report that has read everything since the morning neither waits nor keeps us waiting."""
    world.enriched(a="red")
    with world.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM embeddings, images, tags, spaces"))
        started = time.monotonic()
        with meanwhile(lambda: quickly(world, "SELECT count(*) FROM embeddings")) as raised:
            new = world.space("turned")
        assert ([], True) == (raised, time.monotonic() - started < 3)
        assert 1 == reader.execute(text("SELECT count(*) FROM embeddings")).scalar_one()
    assert 1 == world.fill(new).filled


def test_a_space_that_waits_for_a_long_writer_holds_up_no_reader(world: World):
    """Making one is tried again and again, a few seconds at a time."""
    world.enriched(a="red")
    with ThreadPoolExecutor(1) as pool, world.engine.connect() as writer:
        writer.execute(text("UPDATE images SET width = width"))
        making = pool.submit(world.space, "turned")
        until_blocked(world.engine)
        quickly(world, "SELECT count(*) FROM images JOIN embeddings ON image_id = id")
        assert not making.done()
        writer.rollback()
        assert "filling" == making.result(10).state


def test_two_processes_make_one_space(world: World):
    """The second finds what the first has made."""
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: world.space("turned"), range(2))
    assert first == second


def test_an_index_is_built_while_the_space_is_written(world: World):
    """And once, by however many processes; a build that broke off is begun anew."""
    new = world.space("turned")
    world.enriched(**{f"{number}.jpg": "red" for number in range(5)})
    with transaction(world.engine) as connection:
        connection.execute(text(f"CREATE INDEX embeddings_{new.id}_hnsw ON embeddings_{new.id} "
                                f"USING hnsw ((vector::halfvec({DIMENSION})) halfvec_ip_ops)"))  # fmt: skip
        connection.execute(
            text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = CAST(:name AS regclass)"),
            {"name": f"embeddings_{new.id}_hnsw"},
        )
    filler = world.filler(new)
    with ThreadPoolExecutor(2) as pool, meanwhile(filler.run_once) as raised:
        list(pool.map(lambda _: fill.index(world.engine, new), range(2)))
    assert [] == raised
    with transaction(world.engine) as connection:
        assert catalog.partitions.has_index(connection, new.id)


def test_dropping_frees_the_space_while_workers_write(world: World):
    """Vectors, tags, queue and golden vectors are gone; a worker that has not noticed yet goes on without an error."""
    world.enriched(**{f"{number}.jpg": "red" for number in range(20)})
    new = world.space("turned")
    world.fill(new)
    filler = world.filler(new)
    numbers = iter(range(1_000, 9_000))

    def upload_and_fill() -> None:
        world.enriched(**{f"{next(numbers)}.jpg": "green"})
        filler.run_once()

    with meanwhile(upload_and_fill) as raised:
        time.sleep(0.3)
        assert lifecycle.size(world.engine, new.id) > 0
        deleted: list[int] = []
        lifecycle.drop(world.engine, new.id, deleted=deleted.append)
        time.sleep(0.3)
    assert [] == raised
    assert sum(deleted) >= 20
    for table in ("tags", "embeddings", "owed_vectors", "golden_vectors"):
        assert [0] == world.sql(f"SELECT count(*) FROM {table} WHERE space_id = :s", s=new.id), table
    assert [None] == world.sql(f"SELECT to_regclass('embeddings_{new.id}')")
    assert [1] == [each.id for each in lifecycle.filled(world.engine)]
    with pytest.raises(NotFoundError):
        lifecycle.get(world.engine, new.id)


def test_what_a_models_texts_left_behind_goes_with_its_space(world: World):
    """Vectors of prompts and of labels, and the labels' index; another space's stay."""
    new = world.space("turned")
    for space in (world.serving.enricher.space, new):
        world.model(space)
        LabelVectorWriter(engine=world.engine, space=space, encode_texts=load(space.model).encode_texts).run()
    before = {table: world.sql(f"SELECT count(*) FROM {table} WHERE space_id = 1") for table in OF_TEXTS}
    lifecycle.drop(world.engine, new.id)
    for table in OF_TEXTS:
        assert [0] == world.sql(f"SELECT count(*) FROM {table} WHERE space_id = :s", s=new.id), table
        assert [0] < before[table] == world.sql(f"SELECT count(*) FROM {table} WHERE space_id = 1"), table
    names = "SELECT indexname FROM pg_indexes WHERE tablename = 'label_vectors' AND indexname LIKE '%hnsw'"
    assert ["label_vectors_1_hnsw"] == world.sql(names)


@pytest.mark.parametrize("late", ["prompts", "golden", "set", "labels", "index", "queue"])
def test_who_is_late_leaves_nothing_in_a_dropped_space(world: World, late):
    """A worker that has not noticed waits while a space is dropped, and then writes nothing, without an error."""
    world.enriched(a="red")
    new = world.space("turned")
    with transaction(world.engine) as connection:
        catalog.taxonomies.remember(connection, [LATE])
        begun = catalog.label_vectors.begin_label_set(connection, new.id, COLOURS.name, COLOURS.version)
    assert begun is not None
    vector = np.ones(DIMENSION, dtype=np.float32) / DIMENSION**0.5
    rows = [LabelVector(label="red", text=None, ranks=True, vector=vector)]
    steps = {
        "prompts": lambda c: catalog.texts.save(c, new.id, {"late": vector}),
        "golden": lambda c: catalog.golden.save(c, new.id, [GoldenItem(name="late", vector=vector, pixels=None)], {}),
        "set": lambda c: catalog.label_vectors.begin_label_set(c, new.id, LATE.name, LATE.version),
        "labels": lambda c: catalog.label_vectors.store_labels(c, new.id, begun.id, rows),
        "index": lambda c: catalog.label_vectors.index_labels(c, new),
        "queue": lambda c: catalog.embedding_queue.enqueue_missing(c, new.id, after=0, limit=10),
    }

    def write() -> None:
        with transaction(world.engine) as connection:
            steps[late](connection)

    with ThreadPoolExecutor(1) as pool:
        with transaction(world.engine) as dropping:
            assert catalog.spaces.mark_dropped(dropping, new.id)
            writing = pool.submit(write)
            until_blocked(world.engine)
            assert not writing.done()
        writing.result(10)
    lifecycle.drop(world.engine, new.id)
    for table in (*OF_TEXTS, "golden_vectors", "owed_vectors"):
        assert [0] == world.sql(f"SELECT count(*) FROM {table} WHERE space_id = :s", s=new.id), table
    assert [None] == world.sql(f"SELECT to_regclass('label_vectors_{new.id}_hnsw')")


def test_a_retagging_that_is_late_leaves_no_tags_of_a_dropped_space(world: World):
    """It waits while the space is dropped, and then says so."""
    world.enriched(a="red", b="green")
    new = world.space("turned")
    world.fill(new)
    put_into_force(world.engine, COLOURS, replace(COLOURS, name="other"))
    retagger = Retagger(world.engine, new, world.model(new).labels.follow())
    with ThreadPoolExecutor(1) as pool:
        with transaction(world.engine) as dropping:
            assert catalog.spaces.mark_dropped(dropping, new.id)
            retagging = pool.submit(retagger.run)
            until_blocked(world.engine)
            assert not retagging.done()
        with pytest.raises(NotFoundError, match=f"space {new.id} was dropped meanwhile"):
            retagging.result(10)
    assert ["colour"] == world.sql("SELECT DISTINCT taxonomy FROM tags WHERE space_id = :s", s=new.id)


def test_new_texts_can_be_encoded_for_a_space_that_was_dropped(world: World):
    """They are not kept, but a worker that has not noticed yet has them."""
    new = world.space("turned")
    prompts = PromptVectorCache(world.engine, new, lambda: load("turned"))
    lifecycle.drop(world.engine, new.id)
    assert (1, DIMENSION) == prompts(["red"]).shape
    assert [] == world.sql("SELECT digest FROM text_vectors WHERE space_id = :s", s=new.id)


def test_a_worker_that_still_serves_a_dropped_space_writes_what_the_active_one_is_owed(world: World):
    """Between two looks of its attendant nothing is lost, and nothing fails."""
    new = world.space("turned")
    old = world.serving.enricher.space
    lifecycle.activate(world.engine, new.id, force=True)
    lifecycle.drop(world.engine, old.id)
    world.enriched(a="red")
    assert (1, []) == (world.open_in(new), world.sql("SELECT id FROM tags"))
    world.filler(new).run_once()
    assert {"a": "red"} == world.tags_in(new)


def test_the_feed_has_what_the_active_space_is_given_later(world: World):
    """Tags of an image come into the views with its vector; while its space is only being filled, they do not."""
    world.enriched(a="red")
    new = world.space("turned")
    old = world.serving.enricher.space
    with transaction(world.engine) as connection:
        begun = outbox.end(connection)

    def announced() -> list[str]:
        with transaction(world.engine) as connection:
            return [ref.key for ref in outbox.since(connection, begun, limit=10)]

    world.fill(new)
    assert [] == announced()
    lifecycle.activate(world.engine, new.id, force=False)
    world.enriched(b="green")  # by a worker of the old space
    assert ["b"] == announced()
    world.filler(new).run_once()
    assert ["b", "b"] == announced()
    assert {"a": "red", "b": "green"} == world.tags_in(new)
    assert old.id != new.id


def test_dropping_waits_for_readers_and_keeps_nobody_waiting(world: World):
    """The disk space is freed when the last long query has ended; others do not notice."""
    world.enriched(a="red")
    new = world.space("turned")
    world.fill(new)
    told = threading.Event()
    with ThreadPoolExecutor(1) as pool, world.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM images"))
        dropping = pool.submit(lifecycle.drop, world.engine, new.id, waiting=lambda _: told.set())
        assert told.wait(10)
        for _ in range(5):
            quickly(world, "SELECT count(*) FROM images JOIN embeddings ON image_id = id")
            world.enriched(b="green")
        reader.rollback()
        dropping.result(10)
    assert [None] == world.sql(f"SELECT to_regclass('embeddings_{new.id}')")


def test_an_interrupted_drop_is_finished_by_the_next_one(world: World):
    """Wherever it broke off."""
    world.enriched(a="red", b="green")
    new = world.space("turned")
    world.fill(new)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lifecycle.drop(world.engine, new.id, deleted=interrupt)
    assert lifecycle.size(world.engine, new.id) > 0
    lifecycle.drop(world.engine, new.id)
    assert [None] == world.sql(f"SELECT to_regclass('embeddings_{new.id}')")


def test_a_dropped_model_gets_a_new_space(world: World):
    """With another number, so that nothing old is ever taken for it."""
    world.enriched(a="red")
    first = world.space("turned")
    lifecycle.drop(world.engine, first.id)
    second = world.space("turned")
    assert (True, 1) == (second.id > first.id, world.fill(second).filled)


# -- for other services ------------------------------------------------------------------------------------------------
@pytest.fixture
def reader(world: World):
    """A role with the rights that docs/how-to/read-results.md gives."""
    world.sql("DROP ROLE IF EXISTS searcher")
    world.sql("CREATE ROLE searcher LOGIN PASSWORD 'p'")
    world.sql("GRANT USAGE ON SCHEMA public TO searcher")
    world.sql("GRANT EXECUTE ON FUNCTION search_images TO searcher")
    engine = db.connect(world.engine.url.set(username="searcher", password="p").render_as_string(False), name="test")
    yield engine
    engine.dispose()
    world.sql("DROP OWNED BY searcher")
    world.sql("DROP ROLE searcher")


SEARCH = text("SELECT key, similarity, tags FROM search_images(CAST(:vector AS halfvec), :k)")


def test_a_reader_searches_by_vector_with_the_active_spaces_index(world: World, reader):
    """By EXECUTE rights alone, best first, and without comparing everything."""
    vectors = np.random.default_rng(1).normal(size=(2_000, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    images = [enriched_image(f"{number:04}", vector=vector) for number, vector in enumerate(vectors)]
    with transaction(world.engine) as connection:
        catalog.write.save_images(connection, space_id=1, images=images)
    world.sql("ANALYZE")
    with transaction(reader) as connection:
        connection.execute(text("SET LOCAL default_transaction_read_only = on"))
        hits = connection.execute(SEARCH, {"vector": str(vectors[5].tolist()), "k": 3}).all()
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    assert (3, "0005", {"time-of-day": "day"}) == (len(hits), hits[0].key, hits[0].tags)
    assert hits[0].similarity >= hits[1].similarity >= hits[2].similarity
    [scans] = world.sql("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'embeddings_1_hnsw'")
    assert scans > 0


def test_a_vector_of_another_model_is_refused(world: World):
    """With both dimensions, instead of a wrong answer."""
    with pytest.raises(DBAPIError, match=r"the vector has 3 dimensions; those of the active model, tiny, have 32"):
        world.sql("SELECT * FROM search_images('[1,0,0]'::halfvec)")


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        ("NULL::halfvec", "the vector is null, and nothing is near to that"),
        ("(SELECT vector FROM image_vectors WHERE key = 'none.jpg')", "the vector is null"),
        (f"array_fill(0, ARRAY[{DIMENSION}])::halfvec", "the vector has length 0"),
    ],
)
def test_a_vector_that_is_none_is_refused(world: World, vector, says):
    """Any image would be as near as any other: ten of them look like an answer."""
    world.enriched(a="red", b="green")
    with pytest.raises(DBAPIError, match=says):
        world.sql(f"SELECT key FROM search_images({vector})")


def test_searching_by_vector_leaves_the_session_as_it_was(world: World):
    """Its settings for the index are its own."""
    with transaction(world.engine) as connection:
        connection.execute(text("SET LOCAL hnsw.ef_search = 77"))
        connection.execute(SEARCH, {"vector": "[" + ",".join(["0.1"] * DIMENSION) + "]", "k": 500})
        assert "77" == connection.execute(text("SHOW hnsw.ef_search")).scalar_one()
