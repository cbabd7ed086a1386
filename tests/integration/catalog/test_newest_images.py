"""Listing images by when they were added: everything once, in bounded work."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import enriched_image, spec
from worker import catalog
from worker.catalog import newest_images
from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.db import Engine, transaction
from worker.errors import CursorError
from worker.pipeline.reading import image_list


def write(engine: Engine, *keys: str) -> None:
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, spec())
        for key in keys:
            catalog.write.save_images(connection, space_id=space.id, images=[enriched_image(key)])


def listed(engine: Engine, limit: int, **filters: Any) -> list[str]:
    """All pages one after another."""
    found: list[str] = []
    after = None
    while True:
        page = image_list.images(engine, ImageFilter(**filters), limit=limit, after=after, order="newest")
        found += [each.key for each in page.images]
        after = page.next
        if after is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_the_one_added_last_comes_first(engine, limit):
    """Whatever the names are and how many are asked for; enriching an image again does not move it."""
    write(engine, "b", "c", "a", "d")
    write(engine, "b")
    assert ["d", "a", "c", "b"] == listed(engine, limit)


@pytest.mark.parametrize("walk", [1, 2, 3])
def test_a_page_looks_at_a_bounded_number_of_images(engine, monkeypatch, walk):
    """It may be short then, but its cursor leads to all that match."""
    write(engine, "x/1", "y/2", "x/3", "y/4", "y/5")
    monkeypatch.setattr(newest_images, "_WALK", walk)
    assert ["x/3", "x/1"] == listed(engine, 2, bucket="photos", prefix="x/")


def test_what_few_images_have_is_found_by_its_index(engine):
    """The filter of a tag sorts what has the tag."""
    write(engine, "a", "b", "c")
    [tag] = enriched_image("a").tags[:1]
    wanted = TagFilter(taxonomy=tag.taxonomy, label=str(tag.label))
    assert ["c", "b", "a"] == listed(engine, 2, tags=(wanted,))


def test_a_cursor_is_of_its_order_and_filter(engine):
    """One of the other order, or of another filter, is refused."""
    write(engine, "a", "b")
    for other in (
        image_list.images(engine, ImageFilter(), limit=1).next,
        image_list.images(engine, ImageFilter(bucket="photos"), limit=1, order="newest").next,
    ):
        with pytest.raises(CursorError):
            image_list.images(engine, ImageFilter(), limit=1, after=other, order="newest")
