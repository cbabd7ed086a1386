"""What a model only suggests is not in force for any reader, and is found by those who ask for it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.catalog.test_tags_in_force import CASES, LABELS, MODEL, SUGGESTED, expected, space, suggested
from tests.ledger import ref
from worker import catalog
from worker.catalog.bulk_write import KeptTag
from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.catalog.review_candidates import Asked
from worker.db import transaction

__all__ = ["space"]  # the fixture

_OF_MODEL = text("""
    SELECT t.id, i.key, t.taxonomy, t.label, t.source FROM tags t JOIN images i ON i.id = t.image_id
    WHERE t.space_id IS NOT NULL AND t.label IS NOT NULL ORDER BY t.id
""")
_VISIBLE = text("SELECT key, taxonomy, label FROM image_tags")


def turned(engine, space, source: str, labels: set[tuple[str, str]]) -> tuple[dict[str, bool], set[Any], set[Any]]:
    """Give the model's rows of these labels another source → key → hidden, and what readers see before and after."""
    with transaction(engine) as connection:
        before = set(connection.execute(_VISIBLE).all())
        rows = [row for row in connection.execute(_OF_MODEL) if (row.taxonomy, row.label) in labels]
        kept = [
            KeptTag(
                id=row.id, version=row.taxonomy[0] + "1", score=0.5, probability=0.75, source=source,
                turns=(row.source == "suggestion") != (source == "suggestion"),
            )
            for row in rows
        ]  # fmt: skip
        changes = catalog.bulk_write.write_differences(connection, space.id, gone=[], kept=kept, come=[])
        after = set(connection.execute(_VISIBLE).all())
    return {each.ref.key: each.hidden for each in changes}, before, after


@pytest.mark.parametrize(
    ("source", "labels"), [("zero-shot", SUGGESTED), ("few-shot", SUGGESTED), ("suggestion", MODEL)]
)
def test_images_whose_suggestions_become_tags_or_tags_suggestions_are_announced(engine, space, source, labels):
    """As if the label had come or gone: as hidden exactly where no reader sees a difference."""
    announced, before, after = turned(engine, space, source, labels)
    changed = {key for key, _, _ in before ^ after}
    assert changed
    assert {key: key not in changed for key in CASES} == announced


def test_another_source_alone_is_not_announced(engine, space):
    """A head may take over without changing a label."""
    announced, before, after = turned(engine, space, "few-shot", MODEL)
    assert ({}, before) == (announced, after)


def test_lists_by_suggestion(engine, space):
    """Those that nobody has decided about, alone and with a tag."""
    with transaction(engine) as connection:

        def listed(name: str, label: str, *tags: TagFilter) -> set[str]:
            filter_ = ImageFilter(suggested=(TagFilter(taxonomy=name, label=label),), tags=tags)
            return {image.key for image in catalog.listing.page(connection, filter_, limit=50).images}

        assert suggested() == {each: listed(*each) for each in LABELS}
        cat = TagFilter(taxonomy="things", label="cat")
        both = suggested()["season", "summer"] & expected()["things", "cat"]
        assert both == listed("season", "summer", cat)


def test_lists_by_suggestion_among_many(engine, space, monkeypatch):
    """Also where images are walked in the order of their keys."""
    monkeypatch.setattr("worker.catalog.listing._FEW", 0)
    with transaction(engine) as connection:
        filter_ = ImageFilter(suggested=(TagFilter(taxonomy="season", label="summer"),))
        found = {image.key for image in catalog.listing.page(connection, filter_, limit=50).images}
    assert suggested()["season", "summer"] == found


def test_matching_by_suggestion(engine, space):
    """What one decision about many images is about."""
    filter_ = ImageFilter(suggested=(TagFilter(taxonomy="season", label="summer"),))
    with transaction(engine) as connection:
        found = catalog.listing.matching(connection, filter_, taxonomy="season", most=100, examples=50)
    assert len(suggested()["season", "summer"]) == found.count
    assert suggested()["season", "summer"] == {image.key for image in found.examples}


def test_single_images(engine, space):
    """They list open suggestions beside their tags, and not among them."""
    with transaction(engine) as connection:
        images = catalog.listing.page(connection, ImageFilter(), limit=50).images
    found = {
        each: {i.key for i in images if each in {(own.taxonomy, own.label) for own in i.suggestions}} for each in LABELS
    }
    assert suggested() == found
    assert not [tag for image in images for tag in image.tags if tag.source == "suggestion"]
    [summer] = [
        own for image in images if image.key == "untouched" for own in image.suggestions if own.label == "summer"
    ]
    assert (0.75, "s1") == (summer.probability, summer.taxonomy_version)


def test_undecided_images_are_counted(engine, space):
    """An image for which a label is only suggested is none of these."""
    with transaction(engine) as connection:
        counts = catalog.label_counts.label_counts(connection, space.id, taxonomies=["season"]).counts
        by_source = catalog.label_counts.label_counts(connection, space.id, source="suggestion").counts
    assert {"summer": 1, "winter": 1, None: len(CASES) - 2} == {each.label: each.images for each in counts}
    assert () == by_source


def test_what_workers_compare_with(engine, space):
    """Suggestions do not count as answers, for conditions of other taxonomies would see them."""
    wanted = {(name, name[0] + "1", label) for name, label in MODEL} | {("season", "s1", None)}
    with transaction(engine) as connection:
        known = catalog.read.known_images(connection, space_id=space.id, refs=[ref("untouched")])
        entries = catalog.read.entries(connection, ref("untouched").bucket, ["untouched"], space=space.id)
    assert wanted == known[ref("untouched")].tags == entries["untouched"].tags


def test_comparisons_of_spaces(engine, space):
    """What readers see is compared."""
    with transaction(engine) as connection:
        ids = list(connection.execute(text("SELECT id FROM images")).scalars())
        pairs = catalog.space_comparison.label_pairs(connection, space.id, space.id, ids)
    assert {"light": ("day",), "things": ("cat", "sofa"), "season": ()} == {each.taxonomy: each.a for each in pairs}


def test_searches_from_sql(engine, space):
    """The function for other services shows tags in force."""
    query = text("SELECT key, tags FROM search_images((SELECT vector FROM embeddings LIMIT 1), 50)")
    with transaction(engine) as connection:
        rows = connection.execute(query).all()
    found = {
        (name, label): {row.key for row in rows if label in (tags := row.tags.get(name, [])) or label == tags}
        for name, label in LABELS
    }
    assert expected() == found


def test_what_a_decision_sees(engine, space):
    """The labels that a person confirms or replaces are those in force."""
    with transaction(engine) as connection:
        ids = catalog.review_candidates.numbers_of(connection, [ref("untouched"), ref("suggestion-accepted")])
        images = catalog.review_candidates.described(connection, ids.values())
        answers = catalog.decisions.answers(connection, [(image, "season") for image in images])
    labels = {image.ref.key: (answers[id_, "season"].labels, image.tags.get("season")) for id_, image in images.items()}
    assert {"untouched": ((), None), "suggestion-accepted": (("summer",), ("summer",))} == labels


def test_reviews_ask_about_suggestions(engine, space):
    """That is how a label gets proven: queues give them like tags, and do not take their images for undecided ones."""
    asked = Asked(space=space.id, taxonomy="season", label="summer")
    with transaction(engine) as connection:
        rows, total = catalog.review_candidates.scattered(connection, asked, limit=50)
        keys = {row.id: row.key for row in connection.execute(text("SELECT id, key FROM images"))}
        near, _ = catalog.review_candidates.nearest(connection, asked, '{"summer": 0.5}', limit=50)
        undecided, _ = catalog.review_candidates.abstentions(connection, asked, least=0.2, limit=50)
        without, _ = catalog.review_candidates.without(connection, asked, parent=None, limit=50)
        rare = catalog.review_candidates.is_rare(connection, "season", "summer", most=len(CASES) - 1)
    open_ = suggested()["season", "summer"]
    assert open_ == {keys[row.image] for row in rows} == {keys[row.image] for row in near}
    assert (len(open_), [], [], False) == (total, undecided, without, rare)


def test_indexes_find_either_kind(engine, space):
    """Labels in force and suggestions each have an index, which the statements that look for them can use."""
    with transaction(engine) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"))
        named = "taxonomy = 'season' AND label = 'summer'"
        plans = {
            where: str(connection.execute(text(f"EXPLAIN SELECT image_id FROM {where} AND {named}")).scalars().all())
            for where in (
                f"tags f WHERE {catalog.in_force.in_force('f')}",
                f"tags f WHERE {catalog.in_force.open_suggestion('f')}",
                "image_tags WHERE true",
                f"{catalog.review_candidates._EITHER} WHERE true",
            )
        }
    used = [tuple(name for name in ("tags_applied", "tags_suggested") if name in plan) for plan in plans.values()]
    assert [("tags_applied",), ("tags_suggested",), ("tags_applied",), ("tags_applied", "tags_suggested")] == used
