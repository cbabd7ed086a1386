"""Changing the model: the new space fills beside the old one, and answers when told to."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.factories import enriched_image, spec
from tests.ledger import ref
from worker import catalog
from worker.db import transaction
from worker.errors import ConfigurationError, NotFoundError
from worker.pipeline.spaces import lifecycle


@pytest.fixture
def two(engine):
    """An active space with two images, and one that has the first of them only."""
    with transaction(engine) as connection:
        old, new = (catalog.spaces.ensure(connection, spec(model)) for model in ("old", "new"))
        images = [enriched_image("a", label="day"), enriched_image("b", label="day")]
        catalog.write.save_images(connection, space_id=old.id, images=images)
        catalog.write.save_images(connection, space_id=new.id, images=[enriched_image("a", label="night")])
    return old.id, new.id


def labels(engine):
    with transaction(engine) as connection:
        return dict(connection.execute(text("SELECT key, label FROM image_tags")).all())


def states(engine):
    return {each.model: (each.state, each.images) for each in lifecycle.filled(engine)}


def test_a_space_that_lacks_images_is_not_activated_by_accident(engine, two):
    """The message says how to fill it."""
    with pytest.raises(ConfigurationError, match=r"1 images have no vector .*enrich space fill 2"):
        lifecycle.activate(engine, two[1], force=False)
    assert {"old": ("active", 2), "new": ("filling", 1)} == states(engine)


def test_activating_switches_what_readers_see_and_can_be_taken_back(engine, two):
    """Nothing is deleted: the old space answers again when it is activated again."""
    old, new = two
    with transaction(engine) as connection:
        catalog.write.save_images(connection, space_id=new, images=[enriched_image("b", label="night")])
    assert old == lifecycle.activate(engine, new, force=False).before
    assert {"a": "night", "b": "night"} == labels(engine)
    assert {"old": ("filling", 2), "new": ("active", 2)} == states(engine)
    assert new == lifecycle.activate(engine, old, force=False).before
    assert {"a": "day", "b": "day"} == labels(engine)


def test_force_activates_a_partial_space(engine, two):
    """Sometimes half is better than the wrong model."""
    lifecycle.activate(engine, two[1], force=True)
    assert {"a": "night"} == labels(engine)


def test_activating_the_active_space_changes_nothing(engine, two):
    """Twice is once."""
    assert lifecycle.activate(engine, two[0], force=False).before is None
    assert {"a": "day", "b": "day"} == labels(engine)


def test_an_unknown_space_is_refused(engine, two):
    """With the command that shows the known ones."""
    with pytest.raises(NotFoundError, match="enrich space list"):
        lifecycle.activate(engine, 99, force=True)


def test_images_keep_the_tags_of_both_spaces(engine, two):
    """What the other space says can be seen before switching."""
    with transaction(engine) as connection:
        found = catalog.read.image(connection, ref("a"))
    assert found is not None
    assert {("old", "day", True), ("new", "night", False)} == {(t.model, t.label, t.active) for t in found.tags}
