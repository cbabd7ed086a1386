"""Taxonomies of which an image can have several labels, on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import event, text

from tests.factories import enriched_image, spec, unit
from tests.ledger import ref
from worker import catalog
from worker.catalog.image_filter import TagFilter
from worker.catalog.taxonomies import TaxonomyVersion
from worker.db import transaction
from worker.types import Tag

KINDS = TaxonomyVersion(name="kinds", version="k1", many=True, definition={"labels": ["animal", "dog"]})
LIGHT = TaxonomyVersion(name="light", version="l1", many=False, definition={"labels": ["day"]})


@pytest.fixture
def space(engine):
    with transaction(engine) as connection:
        catalog.taxonomies.remember(connection, [KINDS, LIGHT])
        return catalog.spaces.ensure(connection, spec())


def tag(kept, label):
    return Tag(taxonomy=kept.name, version=kept.version, label=label, score=0.5, probability=0.75)


def write(engine, space, **images):
    """Key → its tags."""
    with transaction(engine) as connection:
        written = [replace(enriched_image(key), tags=tuple(tags)) for key, tags in images.items()]
        catalog.write.save_images(connection, space_id=space.id, images=written)


def shown(engine):
    with transaction(engine) as connection:
        return dict(connection.execute(text("SELECT key, tags FROM enriched_images")).all())


def search(engine, space, *filters):
    with transaction(engine) as connection:
        return catalog.search.nearest(connection, space, unit(0), limit=10, tags=filters).hits


def test_the_shape_depends_on_the_taxonomy_and_not_on_the_image(engine, space):
    """A list where there can be several, even of one, sorted by name; a text elsewhere; nothing for an abstention."""
    write(
        engine,
        space,
        dog=[tag(KINDS, "dog"), tag(KINDS, "animal"), tag(LIGHT, "day")],
        car=[tag(KINDS, "car"), tag(LIGHT, None)],
        nothing=[tag(KINDS, None)],
    )
    expected = {
        "dog": {"kinds": ["animal", "dog"], "light": "day"},
        "car": {"kinds": ["car"]},
        "nothing": {},
    }
    assert expected == shown(engine)
    assert expected == {hit.key: hit.tags for hit in search(engine, space)}


def test_a_parent_finds_what_its_children_find(engine, space):
    """Both are tags, so any filter works on either, and on both together."""
    write(engine, space, dog=[tag(KINDS, "animal"), tag(KINDS, "dog")], owl=[tag(KINDS, "animal")])
    animal, dog = (TagFilter(taxonomy="kinds", label=label) for label in ("animal", "dog"))
    assert [{"dog", "owl"}, {"dog"}, {"dog"}] == [
        {hit.key for hit in search(engine, space, *filters)} for filters in ([animal], [dog], [animal, dog])
    ]


def test_one_operator_asks_texts_and_lists(engine, space):
    """As docs/reference/taxonomies.md says."""
    write(engine, space, dog=[tag(KINDS, "dog"), tag(LIGHT, "day")])
    question = "SELECT count(*) FROM enriched_images WHERE tags -> 'kinds' ? 'dog' AND tags -> 'light' ? 'day'"
    with engine.connect() as connection:
        assert 1 == connection.execute(text(question)).scalar_one()


def test_two_labels_are_never_made_one(engine, space):
    """Where people gave two labels of a taxonomy that gives one, both are shown."""
    write(engine, space, a=[tag(LIGHT, "day")])
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
                "SELECT id, 'light', 'l1', unnest(ARRAY['dusk', 'dawn']), 'human' FROM images"
            )
        )
    assert {"a": {"light": ["dawn", "dusk"]}} == shown(engine)


def test_labels_that_no_longer_hold_are_withdrawn(engine, space):
    """All tags of an image are written anew: also those of a taxonomy that does not apply any more."""
    write(engine, space, a=[tag(KINDS, "animal"), tag(KINDS, "dog"), tag(LIGHT, "day")])
    write(engine, space, a=[tag(KINDS, "animal")])
    assert {"a": {"kinds": ["animal"]}} == shown(engine)


def test_the_number_of_statements_does_not_grow_with_labels(engine, space):
    """One label or sixty: the same round trips."""

    def statements(labels: int) -> int:
        ran = []

        def note(*arguments: object) -> None:
            ran.append(arguments[2])

        event.listen(engine, "before_cursor_execute", note)
        try:
            write(engine, space, a=[tag(KINDS, f"label {number}") for number in range(labels)])
        finally:
            event.remove(engine, "before_cursor_execute", note)
        return len(ran)

    assert 7 == statements(1) == statements(60)
    assert 60 == len(shown(engine)["a"]["kinds"])


def test_what_is_known_of_an_image_includes_every_label(engine, space):
    """Whether anything is left to do is decided by it."""
    write(engine, space, a=[tag(KINDS, "animal"), tag(KINDS, "dog"), tag(LIGHT, None)])
    with transaction(engine) as connection:
        known = catalog.read.known_images(connection, space_id=space.id, refs=[ref("a"), ref("unknown")])
    expected = {("kinds", "k1", "animal"), ("kinds", "k1", "dog"), ("light", "l1", None)}
    assert {ref("a"): expected} == {key: set(image.tags) for key, image in known.items()}


def test_versions_are_kept_with_the_newest_words(engine, space):
    """A tag's version can always be looked up; words for people do not make another."""
    with transaction(engine) as connection:
        catalog.taxonomies.remember(connection, [replace(LIGHT, definition={"title": "Light"})])
        catalog.taxonomies.remember(connection, [replace(LIGHT, version="l2")])
        kept = catalog.taxonomies.kept(connection)
        of_one = catalog.taxonomies.kept(connection, ["kinds"])
    assert {("kinds", "k1"), ("light", "l1"), ("light", "l2")} == {(each.name, each.version) for each in kept}
    assert {"title": "Light"} == next(each.definition for each in kept if each.version == "l1")
    assert [("kinds", True)] == [(each.name, each.many) for each in of_one]


def test_what_is_stored_is_what_was_tagged(engine, space):
    """Vectors are rounded to halves before they are written: the server's own rounding of digits could differ."""
    rng = np.random.default_rng(5)
    given = rng.normal(size=(200, 32)).astype(np.float32)
    given /= np.linalg.norm(given, axis=1, keepdims=True)
    given[0, :3] = [3e-6, 6.1e-8, 0.5004883]  # the smallest halves, and a number between two of them
    with transaction(engine) as connection:
        images = [enriched_image(f"k{n}", vector=vector) for n, vector in enumerate(given)]
        catalog.write.save_images(connection, space_id=space.id, images=images)
        rows = connection.execute(text("SELECT key, CAST(CAST(vector AS vector) AS real[]) FROM image_vectors"))
        stored = {row.key: row[1] for row in rows}
    for number, vector in enumerate(given):
        expected = vector.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(expected, np.array(stored[f"k{number}"], dtype=np.float32))
