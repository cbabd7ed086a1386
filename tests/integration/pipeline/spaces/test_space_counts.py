"""The counters of embedding spaces: always what they count, whoever writes, and read instead of the vectors."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from sqlalchemy import text

from tests.integration.ledger.test_ledger_counts import pages_read
from worker import catalog, ledger
from worker.catalog.schema import _config
from worker.db import transaction
from worker.pipeline.operations.counters import keep_counts
from worker.types import SpaceSpec


def make_space(engine, model: str) -> int:
    spec = SpaceSpec(model=model, revision="1", preprocessing="none", dimension=2)
    with transaction(engine) as connection:
        return catalog.spaces.ensure(connection, spec).id


def add_images(engine, *keys: str) -> list[int]:
    statement = text("""
        INSERT INTO images (bucket, key, etag, size, width, height, format, mode, frames, orientation, sha256, phash,
                            hinted_at, enriched_at)
        SELECT 'b', k, 'e', 1, 1, 1, 'JPEG', 'RGB', 1, 1, decode(repeat('00', 32), 'hex'), 0, now(), now()
        FROM unnest(CAST(:keys AS text[])) AS k RETURNING id
    """)
    with transaction(engine) as connection:
        return list(connection.execute(statement, {"keys": list(keys)}).scalars())


def add_vectors(engine, space: int, images: list[int], *, into: str = "embeddings") -> None:
    with transaction(engine) as connection:
        connection.execute(
            text(f"INSERT INTO {into} (space_id, image_id, vector) SELECT :space, unnest(:ids), '[1,0]'"),
            {"space": space, "ids": images},
        )


def standing(engine) -> dict[int, tuple[int, int, int]]:
    """Space → vectors, waiting, given up."""
    with transaction(engine) as connection:
        assert [] == catalog.space_counters.miscounts(connection)
        owed = catalog.embedding_queue.queue_lengths(connection)
        return {each.id: (each.images, owed[each.id], each.failed) for each in catalog.spaces.fill_levels(connection)}


def test_counters_are_what_they_count(engine):
    """Through all that happens to vectors: written, replaced, gone with their image, and given up."""
    one, other = make_space(engine, "one"), make_space(engine, "other")
    images = add_images(engine, *"abcde")
    add_vectors(engine, one, images)
    assert {one: (5, 0, 0), other: (0, 0, 0)} == standing(engine)
    with transaction(engine) as connection:
        catalog.embedding_queue.enqueue_missing(connection, other, after=0, limit=100)
    keep_counts(engine)
    assert {one: (5, 0, 0), other: (0, 5, 0)} == standing(engine)
    with transaction(engine) as connection:
        batch = catalog.embedding_queue.claim(connection, other, size=3, lease=60)
        assert batch is not None
        in_hand = [each.id for each in batch.images]
        catalog.embedding_queue.postpone(
            connection,
            other,
            batch.token,
            [catalog.embedding_queue.Postponement(id=in_hand[0], error="no", delay=None)],
        )
        catalog.embedding_queue.complete(connection, other, batch.token, in_hand[1:])
    add_vectors(engine, other, in_hand[1:], into=f"embeddings_{other}")  # a statement that names the partition
    assert {one: (5, 0, 0), other: (2, 2, 1)} == standing(engine)
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM images WHERE id = :id"), {"id": in_hand[1]})
        connection.execute(text(f"DELETE FROM embeddings_{one} WHERE image_id = :id"), {"id": in_hand[2]})
        assert 1 == catalog.embedding_queue.retry_failures(connection, other)
    assert {one: (3, 0, 0), other: (1, 3, 0)} == standing(engine)
    keep_counts(engine)
    assert {one: (3, 0, 0), other: (1, 3, 0)} == standing(engine)


def test_a_vector_that_is_replaced_is_counted_once(engine):
    """`ON CONFLICT DO UPDATE` inserts nothing."""
    space = make_space(engine, "one")
    images = add_images(engine, "a")
    for _ in range(2):
        with transaction(engine) as connection:
            connection.execute(
                text(
                    "INSERT INTO embeddings (space_id, image_id, vector) VALUES (:space, :id, '[1,0]') "
                    "ON CONFLICT (space_id, image_id) DO UPDATE SET vector = excluded.vector"
                ),
                {"space": space, "id": images[0]},
            )
    assert {space: (1, 0, 0)} == standing(engine)


def test_a_dropped_space_is_no_miscount(engine):
    """Its table goes without a trigger; nobody asks for its counters any more."""
    one, other = make_space(engine, "one"), make_space(engine, "other")
    add_vectors(engine, other, add_images(engine, "a", "b"))
    with transaction(engine) as connection:
        assert catalog.spaces.mark_dropped(connection, other)
    catalog.partitions.drop_partition(engine, other)
    assert {one: (0, 0, 0)} == standing(engine)


def test_listing_spaces_reads_no_vectors(engine):
    """Beside 20,000 vectors, and as many images that wait for one."""
    one, other = make_space(engine, "one"), make_space(engine, "other")
    images = add_images(engine, *(str(number) for number in range(20_000)))
    add_vectors(engine, one, images)
    with transaction(engine) as connection:
        catalog.embedding_queue.enqueue_missing(connection, other, after=0, limit=20_000)
    with transaction(engine) as connection:
        connection.execute(text("ANALYZE embeddings, owed_vectors"))
    keep_counts(engine)
    # How large the tables are and which indexes they have is asked of PostgreSQL, which reads pages the first time.
    for ask in (catalog.spaces.fill_levels, catalog.embedding_queue.queue_lengths):
        with transaction(engine) as connection:
            ask(connection)
        assert pages_read(engine, ask) < 100
    assert {one: (20_000, 0, 0), other: (0, 20_000, 0)} == standing(engine)


def test_vectors_that_were_there_before_the_counters_are_counted_once(engine):
    """After an upgrade: until then they are counted as before, from then on by the counters."""
    one = make_space(engine, "one")
    add_vectors(engine, one, add_images(engine, "a", "b"))
    with transaction(engine) as connection:
        connection.execute(text("TRUNCATE space_counts, space_deltas, space_counted"))
    add_vectors(engine, one, add_images(engine, "c"))
    with transaction(engine) as connection:
        assert 3 == catalog.spaces.fill_levels(connection)[0].images
    for _ in range(2):
        keep_counts(engine)
        assert {one: (3, 0, 0)} == standing(engine)


def test_a_wrong_counter_is_named_and_corrected(engine):
    """Recounting finds which, and by how much."""
    space = make_space(engine, "one")
    with transaction(engine) as connection:
        connection.execute(text("INSERT INTO space_deltas VALUES (:space, 'vectors', 5)"), {"space": space})
        [found] = catalog.space_counters.miscounts(connection)
        assert (space, "vectors", 0, 5) == (found.space_id, found.state, found.recounted, found.counted)
        catalog.space_counters.correct(connection)
    assert {space: (0, 0, 0)} == standing(engine)


@pytest.mark.parametrize("again", [False, True])
def test_spaces_made_before_the_migration_count_from_then_on(engine, again):
    """Their partitions get triggers; also after a step back and forth."""
    space = make_space(engine, "one")
    for turn in range(2 if again else 1):
        with engine.begin() as connection:
            command.downgrade(_config(connection), "0018")
        add_vectors(engine, space, add_images(engine, f"before-{again}-{turn}"))
        catalog.schema.migrate(engine)
    keep_counts(engine)
    assert 1 + again == standing(engine)[space][0]
    later = make_space(engine, "later")
    add_vectors(engine, later, add_images(engine, "after"), into=f"embeddings_{later}")
    keep_counts(engine)
    assert {space: (1 + again, 0, 0), later: (1, 0, 0)} == standing(engine)


@pytest.mark.parametrize(
    ("behind", "then"),
    [
        ("0018", "DELETE FROM owed_vectors WHERE image_id = :id"),  # as who fills a space does
        ("0016", "UPDATE inbox SET done = wanted, outcome = 'enriched'"),  # as a worker does
        ("0016", "DELETE FROM owed_vectors WHERE image_id = :id"),
    ],
)
def test_counting_begins_beside_transactions_that_write_vectors(engine, behind, then):
    """The migration waits for who is in the middle of one, and neither of the two fails."""
    space = make_space(engine, "one")
    images = add_images(engine, "a", "b")
    with transaction(engine) as connection:
        catalog.embedding_queue.enqueue_missing(connection, space, after=0, limit=10)
        connection.execute(text("INSERT INTO inbox (bucket, key, lane, source) VALUES ('b', 'a', 0, 's3')"))
    with engine.begin() as connection:
        command.downgrade(_config(connection), behind)
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as writing:
            writing.execute(
                text("INSERT INTO embeddings (space_id, image_id, vector) VALUES (:space, :id, '[1,0]')"),
                {"space": space, "id": images[0]},
            )
            migrating = pool.submit(catalog.schema.migrate, engine)
            until_somebody_waits(engine)
            writing.execute(text(then), {"id": images[0]})
        assert (behind, catalog.schema.latest_version()) == migrating.result(30)
    keep_counts(engine)
    assert {space: (1, 1 if "owed" in then else 2, 0)} == standing(engine)
    with transaction(engine) as connection:
        assert [] == ledger.counters.miscounts(connection)


def until_somebody_waits(engine) -> None:
    waits = text("""
        SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND database = (
            SELECT oid FROM pg_database WHERE datname = current_database()))
    """)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with transaction(engine) as connection:
            if connection.execute(waits).scalar_one():
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")
