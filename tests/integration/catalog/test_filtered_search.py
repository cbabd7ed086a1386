"""Searches among images with a tag find the nearest of them, or say that they stopped before."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import event, text

from tests.factories import DIMENSION, enriched_image, spec, unit
from worker import catalog
from worker.catalog.image_filter import TagFilter
from worker.catalog.search import Nearest
from worker.db import transaction

DAY, NIGHT = (TagFilter(taxonomy="time-of-day", label=label) for label in ("day", "night"))
IMAGES, DAYS = 3_000, 2_000


@pytest.fixture
def space(engine):
    with transaction(engine) as connection:
        return catalog.spaces.ensure(connection, spec())


@pytest.fixture
def vectors(engine, space):
    """3,000 images by their distance to ``unit(0)``, of which the 1,000 that are farthest are tagged "night"."""
    rng = np.random.default_rng(3)
    made = rng.normal(size=(IMAGES, DIMENSION)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    made = made[np.argsort(-made[:, 0])]
    fill(engine, space, made, ["day"] * DAYS + ["night"] * (IMAGES - DAYS))
    return made


@pytest.fixture
def frequent(monkeypatch):
    """Tags as of a large archive: none of them is rare."""
    monkeypatch.setattr("worker.catalog.search._FEW", 10)


@pytest.fixture
def too_many(monkeypatch, frequent):
    """An archive in which those that pass are too many to compare all, and a search sees little of it."""
    for name, value in {"_MANY": 100, "_DRAWS": 2, "_IN_A_ROW": 4, "_ROUND": 20, "_LAST_OF_ROUND": 20}.items():
        monkeypatch.setattr(f"worker.catalog.search.{name}", value)


def fill(engine, space, vectors, labels) -> None:
    images = [
        enriched_image(f"k{n}", label=label, vector=vector)
        for n, (vector, label) in enumerate(zip(vectors, labels, strict=True))
    ]
    with transaction(engine) as connection:
        catalog.write.save_images(connection, space_id=space.id, images=images)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def search(engine, space, vector, *tags, limit=10, exact=False) -> Nearest:
    with transaction(engine) as connection:
        return catalog.search.nearest(connection, space, vector, limit=limit, tags=tags, exact=exact)


def keys(found: Nearest) -> list[str]:
    return [hit.key for hit in found.hits]


def flags(found: Nearest) -> tuple[bool, bool]:
    return found.exact, found.complete


def numbered(*numbers: int) -> list[str]:
    return [f"k{number}" for number in numbers]


def decide(engine, key: str, label: str) -> None:
    """As a person."""
    with transaction(engine) as connection:
        connection.execute(
            text("INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source)"
                 " SELECT id, 'time-of-day', 'v', :label, 'human' FROM images WHERE key = :key"),
            {"label": label, "key": key},
        )  # fmt: skip


def test_a_filter_that_opposes_the_query_finds_the_nearest(engine, space, vectors, frequent):
    """None of what passes is among the 2,000 images nearest to the query: all that pass are compared instead."""
    found = search(engine, space, unit(0), NIGHT)
    assert keys(found) == numbered(*range(DAYS, DAYS + 10))
    assert (True, True) == flags(found)


def test_a_filter_that_agrees_is_answered_by_the_index(engine, space, vectors, frequent):
    """What passes lies around the query: the index finds it, and each image is checked by itself."""
    ran = []

    def note(_connection, _cursor, statement, parameters, _context, _many) -> None:
        ran.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    found = search(engine, space, unit(0), DAY)
    event.remove(engine, "before_cursor_execute", note)
    assert keys(found) == numbered(*range(10))
    assert (False, True) == flags(found)
    [around] = [each for each in ran if "<#>" in each[0]]
    with engine.connect() as connection:
        plan = "\n".join(connection.exec_driver_sql("EXPLAIN " + around[0], around[1]).scalars())
    assert f"embeddings_{space.id}_hnsw" in plan
    assert "Semi Join" not in plan


@pytest.mark.parametrize("limit", [1, 10, 100])
def test_a_filter_that_has_nothing_to_do_with_the_query(engine, space, frequent, limit):
    """One image in three passes, drawn by lot: at least 95 of 100 hits are the true ones, over 20 queries."""
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(IMAGES, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    fill(engine, space, vectors, ["night" if n % 3 == 0 else "day" for n in range(IMAGES)])
    right = 0
    for query in vectors[:20]:
        nights = np.arange(0, IMAGES, 3)
        true = nights[np.argsort(-(vectors[nights] @ query))[:limit]]
        found = search(engine, space, query, NIGHT, limit=limit)
        assert found.complete
        right += len(set(keys(found)) & set(numbered(*true)))
    assert right >= 0.95 * 20 * limit


def test_few_are_compared(engine, space, vectors):
    """Up to ten thousand images are not worth following an index."""
    found = search(engine, space, unit(0), NIGHT)
    assert keys(found) == numbered(*range(DAYS, DAYS + 10))
    assert (True, True) == flags(found)


def test_a_search_that_stopped_at_a_limit_says_so(engine, space, vectors, too_many):
    """What it found passes the filter, but nearer images are missing; asked to be exact, it finds them."""
    found = search(engine, space, unit(0), NIGHT, limit=5)
    assert (False, False) == flags(found)
    assert set(keys(found)) <= set(numbered(*range(DAYS, IMAGES)))
    assert keys(found) != numbered(*range(DAYS, DAYS + 5))
    all_compared = search(engine, space, unit(0), NIGHT, limit=5, exact=True)
    assert keys(all_compared) == numbered(*range(DAYS, DAYS + 5))
    assert (True, True) == flags(all_compared)


def test_a_search_is_led_to_what_passes(engine, space, vectors, monkeypatch, frequent):
    """From a sample of two in a hundred, most of the nearest are found where the index alone would find none."""
    for name, value in {"_MANY": 100, "_DRAWS": 5, "_IN_A_ROW": 4, "_ROUND": 200}.items():
        monkeypatch.setattr(f"worker.catalog.search.{name}", value)
    found = search(engine, space, unit(0), NIGHT)
    assert not found.complete
    assert len(set(keys(found)) & set(numbered(*range(DAYS, DAYS + 10)))) >= 8


def test_tags_that_few_images_share(engine, space, vectors, frequent):
    """Each is frequent, and only one image has both."""
    decide(engine, "k5", "day")
    decide(engine, "k5", "night")
    found = search(engine, space, unit(0), DAY, NIGHT)
    assert keys(found) == numbered(5)
    assert (True, True) == flags(found)


def test_what_people_decided_counts_whichever_way_is_taken(engine, space, vectors, monkeypatch):
    """A person calls the nearest image a night: rare, around the query, and exact, it is one, and no day any more."""
    decide(engine, "k0", "night")
    for few in (10_000, 10):
        monkeypatch.setattr("worker.catalog.search._FEW", few)
        for exact in (True, False):
            assert keys(search(engine, space, unit(0), NIGHT, exact=exact)) == numbered(0, *range(DAYS, DAYS + 9))
            assert keys(search(engine, space, unit(0), DAY, exact=exact)) == numbered(*range(1, 11))


def test_people_also_count_where_a_search_is_led(engine, space, vectors, too_many):
    """No image that a person took out of the filter is found."""
    for number in range(DAYS, DAYS + 200):
        decide(engine, f"k{number}", "day")
    found = search(engine, space, unit(0), NIGHT, limit=5)
    assert (False, False) == flags(found)
    assert set(keys(found)) <= set(numbered(*range(DAYS + 200, IMAGES)))


def test_without_a_filter(engine, space, vectors):
    """The index answers; where there is less than was asked for, everything was compared."""
    found = search(engine, space, unit(0))
    assert keys(found) == numbered(*range(10))
    assert (False, True) == flags(found)
    assert (True, True) == flags(search(engine, space, unit(0), exact=True))


def test_fewer_than_asked_for(engine, space):
    """Two images are all there are, and nothing is missing."""
    fill(engine, space, [unit(0), unit(1)], ["day", "night"])
    found = search(engine, space, unit(0))
    assert keys(found) == numbered(0, 1)
    assert (True, True) == flags(found)
    assert (True, True) == flags(search(engine, space, unit(0), TagFilter(taxonomy="no", label="such")))
