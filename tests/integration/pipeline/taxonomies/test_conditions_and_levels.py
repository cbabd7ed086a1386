"""Several labels and conditions, from the object to the catalog."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from tests.active_taxonomies import put_into_force
from tests.integration.pipeline.conftest import COLOURS, World
from tests.pictures import picture
from worker.db import transaction
from worker.errors import TaxonomyError
from worker.pipeline.taxonomies import active_taxonomies as labels_module
from worker.tagging import Calibration, Label, Requirement, Taxonomy
from worker.types import Outcome

WARM = Label(name="warm", children=(Label(name="red", prompts=("red",)),), background=("green",))
LEVELS = Taxonomy(name="levels", labels=(WARM, Label(name="cold", prompts=("blue",))))
ONLY_RED = Taxonomy(
    name="only-red",
    labels=(Label(name="bright", prompts=("red",)), Label(name="dull", prompts=("blue",))),
    calibration=Calibration(threshold=0.0),
    when=((Requirement(taxonomy="colour", labels=("red",)),),),
)


@pytest.fixture
def several(world: World):
    """A world with levels and a condition."""
    put_into_force(world.engine, ONLY_RED, COLOURS, LEVELS)
    return world


def labels(world: World, key: str) -> set[tuple[str, str | None]]:
    return {(tag.taxonomy, tag.label) for tag in world.image(key).tags}


def test_parents_children_and_conditions_reach_the_catalog(several):
    """A red picture has what holds for red; a blue one nothing of what is asked of red ones only."""
    several.upload("red.jpg", picture("red", (32, 32)))
    several.upload("blue.jpg", picture("blue", (32, 32)))
    assert {Outcome.ENRICHED: 2} == several.run()
    assert {("colour", "red"), ("levels", "warm"), ("levels", "red"), ("only-red", "bright")} == labels(
        several, "red.jpg"
    )
    assert {("colour", "blue"), ("levels", "cold")} == labels(several, "blue.jpg")


def test_a_taxonomy_that_does_not_apply_does_not_make_work(several):
    """Its absence is what the taxonomies say: an event for such an image is answered by its etag."""
    several.upload("blue.jpg", picture("blue", (32, 32)))
    several.run()
    several.hint("blue.jpg")
    assert {Outcome.UNCHANGED: 1} == several.run()


def test_a_tag_goes_when_its_condition_falls(several):
    """A red picture that is overwritten by a blue one."""
    several.upload("a.jpg", picture("red", (32, 32)))
    several.run()
    several.upload("a.jpg", picture("blue", (32, 32)))
    assert {Outcome.ENRICHED: 1} == several.run()
    assert {("colour", "blue"), ("levels", "cold")} == labels(several, "a.jpg")


def test_a_new_condition_makes_the_bytes_wanted_again(several):
    """A taxonomy that applies to an image and has not decided about it is work."""
    put_into_force(several.engine, COLOURS)
    several.upload("red.jpg", picture("red", (32, 32)))
    several.run()
    put_into_force(several.engine, ONLY_RED, COLOURS, LEVELS)
    several.enricher.labels.follow()
    several.hint("red.jpg")
    assert {Outcome.ENRICHED: 1} == several.run()
    assert ("only-red", "bright") in labels(several, "red.jpg")


def test_a_worker_follows_what_is_applied_without_a_restart(world: World):
    """It tagged by the revision before when it writes: nothing of that reaches the catalog, and nothing is lost."""
    tagged_by = world.enricher.labels.now.revision
    world.upload("red.jpg", picture("red", (32, 32)))
    put_into_force(world.engine, COLOURS, LEVELS)
    assert {Outcome.ENRICHED: 1} == world.run()
    assert {("colour", "red"), ("levels", "warm"), ("levels", "red")} == labels(world, "red.jpg")
    assert tagged_by + 1 == world.enricher.labels.now.revision


def test_a_worker_that_cannot_read_what_is_in_force_writes_nothing(world: World):
    """Of a newer release: images stay pending, uncounted, and the worker says what to do, and ends."""
    put_into_force(world.engine, COLOURS, LEVELS)
    with transaction(world.engine) as connection:
        connection.execute(text('UPDATE taxonomies SET definition = definition || \'{"aggregate": "median"}\''))
    world.upload("red.jpg", picture("red", (32, 32)))
    with pytest.raises(TaxonomyError, match="was stored by another release"):
        world.run()
    assert (None, {}) == (world.image("red.jpg"), world.quarantine())
    labels_module.keep(world.engine, [COLOURS, LEVELS])
    deadline = time.monotonic() + 20
    while (outcomes := world.run()) is None:  # the keeper gives the claim back
        assert time.monotonic() < deadline
    assert {Outcome.ENRICHED: 1} == outcomes
