"""Images that were enriched once and lack something now: their vector, or a decision of a taxonomy in force."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.integration.pipeline.conftest import World
from tests.integration.pipeline.reconciliation.test_verify import differences, drain
from tests.ledger import BUCKET
from tests.pictures import picture
from worker import catalog, ledger
from worker.db import transaction
from worker.ledger.reconciliations import Target
from worker.pipeline.reconciliation.reconcile import PageReconciler, ReconcileSchedule
from worker.pipeline.reconciliation.verify import Verifier


@pytest.fixture
def verify(world: World):
    return Verifier(engine=world.engine, store=world.store, notify=world.enricher.notify, settle=0)


@pytest.mark.parametrize(
    "lose",
    [
        "DELETE FROM embeddings WHERE image_id = :id",
        "DELETE FROM tags WHERE image_id = :id",
        "DELETE FROM tags WHERE image_id = :id AND taxonomy = 'colour'",
        "UPDATE tags SET taxonomy_version = 'older' WHERE image_id = :id",
    ],
)
def test_an_image_without_its_vector_or_a_decision_is_incomplete(world: World, verify, lose):
    """Enriched is what can be searched and was decided, by everything in force; a worker makes up for what is not."""
    for key in ("a.jpg", "b.jpg"):
        world.upload(key, picture())
    drain(world)
    with transaction(world.engine) as connection:
        [image] = connection.execute(text("SELECT id FROM images WHERE key = 'a.jpg'")).scalars()
        assert connection.execute(text(lose), {"id": image}).rowcount > 0
    result, found = differences(verify, repair=True)
    assert (False, [("incomplete", "a.jpg")], 1, 1) == (result.holds, found, result.enriched, result.incomplete)
    drain(world)
    result, found = differences(verify)
    assert (True, [], 2) == (result.holds, found, result.enriched)


def give_the_vector_up(world: World):
    """As workers do whose attempts are used up; returns its space."""
    with transaction(world.engine) as connection:
        space = catalog.spaces.active(connection)
        assert space is not None
        connection.execute(text("DELETE FROM embeddings"))
        catalog.embedding_queue.enqueue_missing(connection, space.id, after=0, limit=10)
        batch = catalog.embedding_queue.claim(connection, space.id, size=1, lease=60)
        assert batch is not None
        given_up = catalog.embedding_queue.Postponement(id=batch.images[0].id, error="no", delay=None)
        catalog.embedding_queue.postpone(connection, space.id, batch.token, [given_up])
        assert 1 == catalog.spaces.fill_levels(connection)[0].failed
    return space


def test_the_scheduler_does_not_ask_for_a_given_up_vector_again_and_again(world: World, verify):
    """Workers of another space could do nothing about it, hour by hour; verify names it all the same."""
    world.upload("a.jpg", picture())
    drain(world)
    here = [Target(bucket=BUCKET)]
    pace = ReconcileSchedule(interval=3_600, pages_per_second=1_000_000)
    reconcile = PageReconciler(
        engine=world.engine, store=world.store, notify=world.enricher.notify, pace=pace, settle=0
    )
    with transaction(world.engine) as connection:
        ledger.reconciliations.watch(connection, here, interval=3_600)
    give_the_vector_up(world)
    assert reconcile.step(here)
    with transaction(world.engine) as connection:
        waiting = connection.execute(text("SELECT key FROM inbox WHERE done < wanted")).scalars().all()
        [state] = ledger.reconciliations.states(connection)
    assert ([], 0) == (waiting, state.last_missing)
    assert [("incomplete", "a.jpg")] == differences(verify)[1]


def test_a_vector_that_was_given_up_is_made_up_for(world: World, verify):
    """Nobody else will, so it is incomplete; once it has its vector, its space has no failure any more."""
    world.upload("a.jpg", picture())
    drain(world)
    space = give_the_vector_up(world)
    _, found = differences(verify, repair=True)
    assert [("incomplete", "a.jpg")] == found
    drain(world)
    assert verify.run(BUCKET).holds
    with transaction(world.engine) as connection:
        [filled] = catalog.spaces.fill_levels(connection)
        assert ((1, 0), []) == (
            (filled.images, filled.failed),
            catalog.embedding_queue.failures(connection, space.id, limit=5),
        )


def test_what_somebody_else_will_make_up_for_is_pending(world: World, verify):
    """A vector that is owed, and decisions of a revision that is still being applied."""
    for key in ("a.jpg", "b.jpg", "c.jpg"):
        world.upload(key, picture())
    drain(world)
    with transaction(world.engine) as connection:
        ids = {row.key: row.id for row in connection.execute(text("SELECT key, id FROM images"))}
        space, revision = catalog.spaces.active(connection), catalog.taxonomy_revisions.current(connection)
        assert space is not None
        assert revision is not None
        connection.execute(text("DELETE FROM embeddings WHERE image_id = :id"), {"id": ids["a.jpg"]})
        catalog.embedding_queue.enqueue_missing(connection, space.id, after=0, limit=10)
        connection.execute(text("DELETE FROM tags WHERE image_id IN (:a, :b)"), {"a": ids["b.jpg"], "b": ids["c.jpg"]})
        catalog.taxonomy_revisions.begin_retagging(connection, space.id, revision.id)
        catalog.taxonomy_revisions.restart_retagging(connection, space.id, revision.id)
        catalog.taxonomy_revisions.advance(connection, space.id, revision.id, after=ids["b.jpg"], images=2)
    result, found = differences(verify)
    assert ([("incomplete", "b.jpg")], 2, 0) == (found, result.pending, result.enriched)
