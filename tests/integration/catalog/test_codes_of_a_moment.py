"""Codes in memory, where what they are of changes without a change in the feed, or outgrows its memory."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.factories import enriched_image, spec
from tests.integration.catalog.test_search_by_codes import (
    DAYS,
    IMAGES,
    MEMORY,
    NIGHT,
    QUERY,
    ask,
    keys,
    large,
    near_the_query,
    numbered,
    search,
    space,
    vectors,
    write,
)
from worker import catalog, outbox
from worker.catalog.write import EmbeddedImage
from worker.db import snapshot, transaction
from worker.outbox import NewEntry
from worker.pipeline.reading.filtered_search import FilteredSearch

__all__ = ["large", "search", "space", "vectors"]  # fixtures

_PLANNER = "SELECT name, setting FROM pg_settings WHERE name IN ('enable_sort', 'enable_seqscan', 'enable_bitmapscan')"


def test_a_space_that_was_filled_while_another_one_was_active(engine, space, vectors, large, monkeypatch):
    """It owed an image a vector when its codes were read, and nobody announces vectors of a space that nobody reads."""
    with transaction(engine) as connection:
        other = catalog.spaces.ensure(connection, spec("other"))
    write(engine, other, {"late": (QUERY, "night")})
    search = FilteredSearch(engine, memory=MEMORY)
    ask(engine, search, QUERY, NIGHT)
    search.wait()
    late = enriched_image("late", label="night", vector=QUERY)
    with transaction(engine) as connection:
        catalog.spaces.activate(connection, other.id)
    with transaction(engine) as connection:
        number = connection.execute(text("SELECT id FROM images WHERE key = 'late'")).scalar_one()
        filled = EmbeddedImage(image_id=number, vector=late.vector, tags=late.tags)
        catalog.write.save_vectors(connection, space.id, [filled])
    with transaction(engine) as connection:
        catalog.spaces.activate(connection, space.id)
    assert "late" == keys(ask(engine, search, QUERY, NIGHT))[0]  # by the database
    search.wait()
    monkeypatch.setattr("worker.catalog.search.nearest", None)
    assert "late" == keys(ask(engine, search, QUERY, NIGHT))[0]


def test_what_was_pruned_meanwhile_leaves_the_planner_as_it_was(engine, search):
    with transaction(engine) as connection:
        outbox.append(connection, [NewEntry(kind="enriched", ref=enriched_image("other").info.ref, etag="e")])
    with transaction(engine) as connection:
        connection.execute(text("UPDATE changes SET at = now() - interval '1 day'"))
        assert outbox.prune(connection, keep=3600.0, limit=10_000)
    with snapshot(engine) as connection:
        before = connection.execute(text(_PLANNER)).all()
        active = catalog.spaces.active(connection)
        assert search(connection, active, QUERY, limit=10, tags=(NIGHT,)).hits
        assert connection.execute(text(_PLANNER)).all() == before
    search.wait()


def test_a_search_that_began_before_the_codes_were_read_does_not_have_them_read_again(
    engine, space, search, monkeypatch
):
    """Its snapshot does not have the place in the feed yet."""
    with snapshot(engine) as connection:
        active = catalog.spaces.active(connection)
        write(engine, space, {f"new{n}": (vector, "night") for n, vector in enumerate(near_the_query(60))})
        ask(engine, search, QUERY, NIGHT)
        search.wait()
        monkeypatch.setattr("worker.catalog.codes.read_codes", None)
        found = search(connection, active, QUERY, limit=10, tags=(NIGHT,))
        assert keys(found) == numbered(*range(DAYS, DAYS + 10))
    search.wait()
    assert "new0" == keys(ask(engine, search, QUERY, NIGHT))[0]
    assert search.nbytes > 17 * IMAGES


def test_codes_that_outgrow_their_memory_are_given_up(engine, space, vectors, large, capsys):
    """A catalog that grows while the process runs."""
    most = 17 * (IMAGES + 50)
    search = FilteredSearch(engine, memory=most)
    ask(engine, search, QUERY, NIGHT)
    search.wait()
    assert 0 < search.nbytes <= most
    write(engine, space, {f"new{n}": (vector, "night") for n, vector in enumerate(near_the_query(100))})
    for _ in range(2):
        assert keys(ask(engine, search, QUERY, NIGHT)) == [f"new{n}" for n in range(10)]
        search.wait()
        assert 0 == search.nbytes
    assert 1 == "".join(capsys.readouterr()).count("ENRICH_FILTER_MEMORY_BYTES")


def test_more_images_than_the_planner_knew_of(engine, space, vectors, large, capsys):
    """It says how many there were when it looked last."""
    with transaction(engine) as connection:
        table = f"embeddings_{space.id}"
        connection.execute(text(f"UPDATE pg_class SET reltuples = 150 WHERE oid = '{table}'::regclass"))
    search = FilteredSearch(engine, memory=16 * 600)
    assert keys(ask(engine, search, QUERY, NIGHT)) == numbered(*range(DAYS, DAYS + 10))
    search.wait()
    assert 0 == search.nbytes
    assert "ENRICH_FILTER_MEMORY_BYTES" in "".join(capsys.readouterr())


@pytest.mark.parametrize("room", [0, 1])
def test_tags_for_which_there_is_no_room_are_not_read_again_and_again(engine, vectors, large, monkeypatch, room):
    """Codes fit, and the tags of one search do not."""
    read, true = [], catalog.codes.tagged_by_model

    def note(*arguments, **options):
        read.append(arguments)
        return true(*arguments, **options)

    monkeypatch.setattr("worker.catalog.codes.tagged_by_model", note)
    search = FilteredSearch(engine, memory=(16 + room) * IMAGES)
    place = catalog.image_filter.TagFilter(taxonomy="place", label="in")
    for _ in range(5):
        ask(engine, search, QUERY, NIGHT, place)
        search.wait()
        assert search.nbytes <= (16 + room) * IMAGES
    assert len(read) <= 2
