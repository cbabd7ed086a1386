"""Spaces that are retired, dropped or activated, and taxonomies that change, around their being filled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.active_taxonomies import put_into_force
from tests.integration.pipeline.spaces.world import COLOURS, TurnedEncoder, World
from worker.errors import ConfigurationError, NotFoundError
from worker.pipeline.spaces import fill, lifecycle
from worker.pipeline.spaces.fill import FillResult, FillRun

TWELVE = {f"{number:02}.jpg": ("red", "green", "blue")[number % 3] for number in range(12)}


def test_a_retired_space_is_filled_again(world: World):
    """And is kept up to date from then on."""
    world.enriched(a="red")
    new = world.space("turned")
    world.fill(new)
    lifecycle.retire(world.engine, new.id)
    world.enriched(b="green")
    assert 0 == world.open_in(new)
    assert 1 == world.fill(new).filled
    assert "filling" == lifecycle.get(world.engine, new.id).state


class Meanwhile(TurnedEncoder):
    """Somebody does something while the first pictures are being embedded."""

    action: Callable[[], None] | None = None

    def _image_features(self, pixels):
        action, self.action = self.action, None
        if action is not None:
            action()
        return super()._image_features(pixels)


@pytest.fixture
def _in_parts(monkeypatch):
    """Most of what is missing has not been queued when the first pictures are embedded."""
    monkeypatch.setattr(fill, "_CHUNK", 4)


def fill_while(world: World, space, action: Callable[[], None]) -> FillResult:
    encoder = Meanwhile("turned")
    filler = world.filler(space, encoder=encoder, lease=0.2)
    encoder.action = action
    return FillRun(engine=world.engine, filler=filler, threads=2).run()


@pytest.mark.usefixtures("_in_parts")
def test_a_space_that_is_retired_while_it_is_filled_is_left_as_it_is(world: World):
    """Whoever fills it ends soon; nothing is queued any more, and nothing was given up for it."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    done = fill_while(world, new, lambda: lifecycle.retire(world.engine, new.id))
    assert (0, 12) == (done.failed, done.missing + done.filled)
    assert [] == world.sql("SELECT image_id FROM owed_vectors")
    assert 12 - done.filled == world.fill(new).filled


@pytest.mark.usefixtures("_in_parts")
def test_a_space_that_is_dropped_while_it_is_filled_is_gone(world: World):
    """Whoever fills it is told so, and leaves nothing behind."""
    world.enriched(**TWELVE)
    new = world.space("turned")
    with pytest.raises(NotFoundError, match=f"space {new.id} was dropped meanwhile"):
        fill_while(world, new, lambda: lifecycle.drop(world.engine, new.id))
    for table in ("owed_vectors", "tags", "embeddings", "text_vectors"):
        assert [0] == world.sql(f"SELECT count(*) FROM {table} WHERE space_id = :s", s=new.id), table


def test_a_space_with_tags_of_older_taxonomies_is_not_activated_unawares(world: World):
    """Applying others leaves it alone; filling it brings its tags up to date."""
    world.enriched(a="red")
    new = world.space("turned")
    world.fill(new)
    put_into_force(world.engine, replace(COLOURS, name="colours"))
    with pytest.raises(ConfigurationError, match=f"older than revision 2 .* `enrich space fill {new.id}`"):
        lifecycle.activate(world.engine, new.id, force=False)
    world.fill(new)
    assert lifecycle.activate(world.engine, new.id, force=False).before is not None


def test_taxonomies_that_come_into_force_while_an_index_is_built_keep_a_space_from_being_activated(
    world: World, monkeypatch
):
    """That takes hours, and applying has brought the tags of the space up to date that was active then."""
    world.enriched(a="red")
    new = world.space("turned")
    world.fill(new)
    build = fill.index

    def meanwhile(*args, **options) -> None:
        build(*args, **options)
        put_into_force(world.engine, replace(COLOURS, name="colours"))

    monkeypatch.setattr(fill, "index", meanwhile)
    with pytest.raises(ConfigurationError, match="older than revision 2"):
        lifecycle.activate(world.engine, new.id, force=False)
    assert "filling" == lifecycle.get(world.engine, new.id).state
