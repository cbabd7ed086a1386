"""What a space lacks is found also if nobody has queued it."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.spaces.world import World, made
from worker import catalog
from worker.db import transaction
from worker.pipeline.spaces import lifecycle
from worker.pipeline.spaces.missing_vector_sweep import MissingVectorSweep

TWELVE = {f"{number:02}.jpg": ("red", "green", "blue")[number % 3] for number in range(12)}


@pytest.fixture
def two(world: World):
    """Twelve images, in both spaces; the second has become the active one."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    world.fill(new)
    lifecycle.activate(world.engine, new.id, force=False)
    return world.serving.enricher.space, new


def test_what_a_worker_of_an_older_release_wrote_is_found(world: World, two, capsys):
    """It writes into its own space and knows of no queue; the active space gets its vectors all the same."""
    _, new = two
    world.enriched(late="red", later="blue")
    world.sql("DELETE FROM owed_vectors")
    sweep = MissingVectorSweep(world.engine)
    assert [2, 0, 0] == [sweep.walk() for _ in range(3)]
    assert "2 images had no vector in space 2 and were not queued" in "".join(capsys.readouterr())
    assert 2 == made(world.filler(new).run_once()).filled
    assert {"late", "later"} <= world.keys_in(new)
    assert [0, 0] == [sweep.walk() for _ in range(2)]


def test_it_walks_step_by_step_and_begins_again(world: World, two, monkeypatch):
    """However large the catalog is, a step is short; what turns up behind it is found the next time around."""
    monkeypatch.setattr("worker.pipeline.spaces.missing_vector_sweep._STEP", 5)
    sweep = MissingVectorSweep(world.engine)
    sweep.walk()
    world.sql("DELETE FROM embeddings WHERE space_id = 2 AND image_id = (SELECT min(id) FROM images)")
    assert [0, 0, 0, 1] == [sweep.walk() for _ in range(4)]


def test_a_space_that_was_activated_too_early_is_filled_by_the_workers(world: World):
    """`--force` shows what is there; the rest follows without another command."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    lifecycle.activate(world.engine, new.id, force=True)
    assert 12 == MissingVectorSweep(world.engine).walk()
    filler = world.filler(new)
    while filler.run_once() is not None:
        pass
    assert TWELVE == world.tags_in(new)


def test_a_space_that_never_answered_is_left_to_fill(world: World):
    """Making a space must not begin hours of work on every worker; that is what `enrich space fill` is for."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    assert 0 == MissingVectorSweep(world.engine).walk()
    with transaction(world.engine) as connection:
        assert {1: 0, new.id: 0} == catalog.embedding_queue.queue_lengths(connection)


def test_what_a_model_fails_on_is_not_queued_again(world: World, two):
    """It is noted, and tried again when somebody asks for it."""
    world.sql("DELETE FROM embeddings WHERE space_id = 2 AND image_id = (SELECT min(id) FROM images)")
    sweep = MissingVectorSweep(world.engine)
    assert 1 == sweep.walk()
    world.sql("UPDATE owed_vectors SET visible_at = 'infinity'")
    assert 0 == sum(sweep.walk() for _ in range(3))
