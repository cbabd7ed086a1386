"""One definition of the tags in force: every reader agrees with the view ``image_tags``, whatever people decided."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import text

from tests.factories import enriched_image, spec, unit
from tests.ledger import BUCKET, ref
from worker import catalog, outbox
from worker.catalog import codes
from worker.catalog.decisions import NewDecision, Verdict
from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.catalog.taxonomies import TaxonomyVersion
from worker.db import transaction
from worker.types import Tag

LIGHT = TaxonomyVersion(name="light", version="l1", many=False, definition={"labels": ["day", "night"]})
THINGS = TaxonomyVersion(name="things", version="t1", many=True, definition={"mode": "multi-label"})
SEASON = TaxonomyVersion(name="season", version="s1", many=False, definition={"labels": ["summer", "winter"]})
LABELS = [
    *(("light", "day"), ("light", "night"), ("things", "cat"), ("things", "sofa"), ("things", "lamp")),
    *(("season", "summer"), ("season", "winter")),
]
MODEL = {("light", "day"), ("things", "cat"), ("things", "sofa")}  # what the model says of each image
SUGGESTED = {("things", "lamp"), ("season", "summer")}  # what it suggests of each; so the season is none of these

#: Key → what people decided about it, and the tags that are in force then.
CASES: dict[str, tuple[list[tuple[str, Verdict, str | None]], set[tuple[str, str]]]] = {
    "untouched": ([], MODEL),
    "accepted": ([("light", Verdict.ACCEPT, "day")], MODEL),
    "corrected": ([("light", Verdict.REPLACE, "night")], MODEL - {("light", "day")} | {("light", "night")}),
    "rejected": ([("light", Verdict.REJECT, "day")], MODEL - {("light", "day")}),
    "rejected-other": ([("light", Verdict.REJECT, "night")], MODEL),
    "none": ([("light", Verdict.NONE, None)], MODEL - {("light", "day")}),
    "unsure": ([("light", Verdict.UNSURE, None)], MODEL),
    "unsure-after": ([("light", Verdict.ACCEPT, "night"), ("light", Verdict.UNSURE, None)], MODEL),
    "accepted-then-rejected": ([("light", Verdict.ACCEPT, "night"), ("light", Verdict.REJECT, "night")], MODEL),
    "rejected-then-accepted": ([("light", Verdict.REJECT, "day"), ("light", Verdict.ACCEPT, "day")], MODEL),
    "both-rejected": (
        [("light", Verdict.REJECT, "day"), ("light", Verdict.REJECT, "night")],
        MODEL - {("light", "day")},
    ),
    "one-of-several-rejected": ([("things", Verdict.REJECT, "cat")], MODEL - {("things", "cat")}),
    "one-more": ([("things", Verdict.ACCEPT, "lamp")], MODEL | {("things", "lamp")}),
    "one-more-and-one-less": (
        [("things", Verdict.ACCEPT, "lamp"), ("things", Verdict.REJECT, "sofa")],
        MODEL - {("things", "sofa")} | {("things", "lamp")},
    ),
    "none-of-several": ([("things", Verdict.NONE, None)], {("light", "day")}),
    "none-then-one": (
        [("things", Verdict.NONE, None), ("things", Verdict.ACCEPT, "lamp")],
        {("light", "day"), ("things", "lamp")},
    ),
    "suggestion-accepted": ([("season", Verdict.ACCEPT, "summer")], MODEL | {("season", "summer")}),
    "suggestion-rejected": ([("season", Verdict.REJECT, "summer")], MODEL),
    "suggestion-corrected": ([("season", Verdict.REPLACE, "winter")], MODEL | {("season", "winter")}),
    "suggestion-none": ([("season", Verdict.NONE, None)], MODEL),
    "suggestion-unsure": ([("season", Verdict.UNSURE, None)], MODEL),
    "suggestion-rejected-of-several": ([("things", Verdict.REJECT, "lamp")], MODEL),
}
#: Key → the suggestions that people's decisions took away.
ANSWERED: dict[str, set[tuple[str, str]]] = {
    "one-more": {("things", "lamp")},
    "one-more-and-one-less": {("things", "lamp")},
    "none-of-several": {("things", "lamp")},
    "none-then-one": {("things", "lamp")},
    "suggestion-rejected-of-several": {("things", "lamp")},
    "suggestion-accepted": {("season", "summer")},
    "suggestion-rejected": {("season", "summer")},
    "suggestion-corrected": {("season", "summer")},
    "suggestion-none": {("season", "summer")},
}


def decision(key: str, taxonomy: str, verdict: Verdict, label: str | None, **more) -> NewDecision:
    several = taxonomy == "things"
    whole = verdict is Verdict.NONE or (not several and verdict is not Verdict.REJECT)
    return NewDecision(
        ref=ref(key),
        sha256=enriched_image(key).metadata.sha256,
        taxonomy=taxonomy,
        taxonomy_version=taxonomy[0] + "1",
        verdict=verdict,
        label=label,
        adds=(label,) if label and verdict in (Verdict.ACCEPT, Verdict.REPLACE) else (),
        removes=(label,) if label and verdict is Verdict.REJECT else (),
        answers=whole,
        reviewer="ada",
        **more,
    )


@pytest.fixture
def space(engine):
    """One image for each case, with the model's tags, then with people's decisions about it."""
    with transaction(engine) as connection:
        catalog.taxonomies.remember(connection, [LIGHT, THINGS, SEASON])
        space = catalog.spaces.ensure(connection, spec())
        answers = [(name, label, "zero-shot") for name, label in [*MODEL, ("season", None)]]
        answers += [(name, label, "suggestion") for name, label in SUGGESTED]
        tags = [
            Tag(taxonomy=name, version=name[0] + "1", label=label, score=0.5, probability=0.75, source=source)
            for name, label, source in answers
        ]
        images = [replace(enriched_image(key), tags=tuple(tags)) for key in CASES]
        catalog.write.save_images(connection, space_id=space.id, images=images)
        outbox.append(connection, [outbox.NewEntry(kind="enriched", ref=ref(key), etag="e") for key in CASES])
    for key, (decided, _) in CASES.items():
        for one in decided:
            with transaction(engine) as connection:
                catalog.decisions.record(connection, uuid4(), [decision(key, *one)])
    return space


def expected() -> dict[tuple[str, str], set[str]]:
    return {each: {key for key, (_, tags) in CASES.items() if each in tags} for each in LABELS}


def suggested() -> dict[tuple[str, str], set[str]]:
    return {each: {key for key in CASES if each in SUGGESTED - ANSWERED.get(key, set())} for each in LABELS}


def test_the_view_of_tags(engine, space):
    """What other services read, one row each; all that a person decided is `human`."""
    with transaction(engine) as connection:
        rows = connection.execute(text("SELECT key, taxonomy, label, source FROM image_tags")).all()
    found = {each: {row.key for row in rows if (row.taxonomy, row.label) == each} for each in LABELS}
    assert expected() == found
    assert {"zero-shot", "human"} == {row.source for row in rows}


def test_the_view_of_images(engine, space):
    """The same, in one value for each image."""
    with transaction(engine) as connection:
        rows = connection.execute(text("SELECT key, tags FROM enriched_images")).all()
    found = {
        (name, label): {row.key for row in rows if label in (tags := row.tags.get(name, [])) or label == tags}
        for name, label in LABELS
    }
    assert expected() == found


def test_searches(engine, space):
    """With a filter, in every way in which a filtered search is carried out."""
    for exact in (True, False):
        with transaction(engine) as connection:
            found = {
                (name, label): {
                    hit.key
                    for hit in catalog.search.nearest(
                        connection, space, unit(0), limit=50, exact=exact, tags=[TagFilter(taxonomy=name, label=label)]
                    ).hits
                }
                for name, label in LABELS
            }
        assert expected() == found


def test_candidates_by_codes(engine, space):
    """Every image that a filter lets pass is among those that codes compare."""
    with transaction(engine) as connection:
        keys = {row.id: row.key for row in connection.execute(text("SELECT id, key FROM images"))}
        for (name, label), passing in expected().items():
            tag = TagFilter(taxonomy=name, label=label)
            by_model = codes.tagged_by_model(connection, space, tag)
            images = np.union1d(by_model, codes.tagged_by_people(connection, tag))
            assert passing <= {keys[int(image)] for image in images}
            assert ((name, label) in MODEL) == bool(len(by_model))


def test_lists(engine, space):
    """Filtered by a tag, and by a tag and its source."""
    with transaction(engine) as connection:

        def listed(name: str, label: str, source: str | None = None) -> set[str]:
            filter_ = ImageFilter(tags=(TagFilter(taxonomy=name, label=label),), source=source)
            return {image.key for image in catalog.listing.page(connection, filter_, limit=50).images}

        assert expected() == {each: listed(*each) for each in LABELS}
        by_people = {each: listed(*each, source="human") for each in LABELS}
        by_model = {each: listed(*each, source="zero-shot") for each in LABELS}
        human = {image.key for image in catalog.listing.page(connection, ImageFilter(source="human"), limit=50).images}
    assert expected() == {each: by_people[each] | by_model[each] for each in LABELS}
    assert not any(by_people[each] & by_model[each] for each in LABELS)
    assert set().union(*by_people.values()) == human


def test_counts(engine, space):
    """Of labels, also by source."""
    with transaction(engine) as connection:
        found = {
            source: {
                (each.taxonomy, each.label): each.images
                for each in catalog.label_counts.label_counts(connection, space.id, source=source).counts
                if each.label is not None
            }
            for source in (None, "human", "zero-shot")
        }
    assert {each: len(keys) for each, keys in expected().items()} == found[None]
    both = {each: found["human"].get(each, 0) + found["zero-shot"].get(each, 0) for each in LABELS}
    assert found[None] == both


def test_every_image_is_counted(engine, space):
    """By a label, or as undecided: also where people only said what it is not."""
    with transaction(engine) as connection:
        counts = catalog.label_counts.label_counts(connection, space.id, taxonomies=["light"]).counts
        here = catalog.label_counts.label_counts(connection, space.id, taxonomies=["light"], bucket=BUCKET).counts
    assert len(CASES) == sum(each.images for each in counts)
    assert counts == here
    without = {key for key, (_, tags) in CASES.items() if not any(name == "light" for name, _ in tags)}
    assert [len(without)] == [each.images for each in counts if each.label is None]


def test_abstentions_are_counted_once(engine, space):
    """A label that a person gives takes the place of the model's "none of these"; so does the person's own."""
    with transaction(engine) as connection:
        of_model = "WHERE taxonomy = 'things' AND space_id IS NOT NULL AND label"
        connection.execute(text(f"UPDATE tags SET label = NULL {of_model} = 'cat'"))
        connection.execute(text(f"DELETE FROM tags {of_model} = 'sofa'"))
        counts = catalog.label_counts.label_counts(connection, space.id, taxonomies=["things"]).counts
    of = {each.label: each.images for each in counts}
    decided = {"one-more", "one-more-and-one-less", "none-then-one"}
    assert {"lamp": len(decided), None: len(CASES) - len(decided)} == of


def test_single_images(engine, space):
    """Each tag says whether it is in force, and who decided; rejected labels are listed apart."""
    with transaction(engine) as connection:
        images = {image.key: image for image in catalog.listing.page(connection, ImageFilter(), limit=50).images}
    found = {
        each: {
            key
            for key, image in images.items()
            if any((tag.taxonomy, tag.label) == each and tag.in_force for tag in image.tags)
        }
        for each in LABELS
    }
    assert expected() == found
    assert [("sofa", "ada")] == [(tag.label, tag.reviewer) for tag in images["one-more-and-one-less"].rejected_tags]
    [lamp] = [tag for tag in images["one-more"].tags if tag.label == "lamp"]
    assert ("human", "ada", None) == (lamp.source, lamp.reviewer, lamp.space)


def test_retagging_announces_what_readers_see(engine, space):
    """An image whose label goes or comes is announced as hidden exactly where no reader sees a difference."""
    with transaction(engine) as connection:
        gone = connection.execute(
            text("SELECT t.id, i.key FROM tags t JOIN images i ON i.id = t.image_id WHERE t.space_id IS NOT NULL "
                 "AND t.taxonomy = 'light'")
        ).all()  # fmt: skip
        changes = catalog.bulk_write.write_differences(
            connection, space.id, gone=[row.id for row in gone], kept=[], come=[]
        )
        after = set(connection.execute(text("SELECT key FROM image_tags WHERE taxonomy = 'light'")).scalars())
    before = {key for key, (_, tags) in CASES.items() if tags & {("light", "day"), ("light", "night")}}
    assert {key: key in after or key not in before for key in CASES} == {each.ref.key: each.hidden for each in changes}


def test_every_decision_is_in_the_feed(engine, space):
    """Also one that changes no tag in force: whoever copies decisions must hear of it."""
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM changes"))
    for key, (decided, _) in CASES.items():
        for taxonomy, verdict, label in decided:
            with transaction(engine) as connection:
                catalog.decisions.record(connection, uuid4(), [decision(key, taxonomy, verdict, label)])
    with transaction(engine) as connection:
        announced = list(connection.execute(text("SELECT bucket, key FROM changes ORDER BY id")).all())
    assert [(BUCKET, key) for key, (decided, _) in CASES.items() for _ in decided] == [tuple(row) for row in announced]


def test_decisions_are_never_changed(engine, space):
    """Not by anyone who can write: an error says what to do instead."""
    with pytest.raises(Exception, match="decisions are never changed"), transaction(engine) as connection:
        connection.execute(text("UPDATE decisions SET label = 'night'"))
