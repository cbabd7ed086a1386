"""Plans: what they say comes true, and nothing is changed by them."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.pipeline.taxonomies.archive import COLOUR, STRICT, TWO, WARM, Archive, colours
from worker import catalog
from worker.catalog.bulk_read import uniform_sample
from worker.db import transaction


def test_a_plan_says_what_applying_does(archive):
    """Label by label: before and after, and who goes where."""
    plan = archive.plan(TWO, colours("other"))
    before: dict[tuple[str, str], set[str]] = {}
    after: dict[tuple[str, str], set[str]] = {}
    for into, act in ((before, lambda: None), (after, lambda: archive.apply(TWO, colours("other")))):
        act()
        for key, tags in archive.seen().items():
            for tag in tags:
                into.setdefault(tag, set()).add(key)
    assert [("colour", "changed"), ("other", "added")] == [(each.edit.name, each.edit.edit) for each in plan.taxonomies]
    for taxonomy in plan.taxonomies:
        for label in taxonomy.labels:
            was, now = (part.get((taxonomy.edit.name, label.label), set()) for part in (before, after))
            assert (len(was), len(now), len(was & now)) == (
                label.before.about,
                label.after.about,
                label.unchanged.about,
            )
    [blue] = [each for each in plan.taxonomies[0].labels if each.label == "blue"]
    assert blue.before.about == blue.flipped_away.about + blue.abstained.about > 0
    assert plan.sampling.is_full


def test_what_a_persons_decision_hides_is_told_apart(archive):
    """A plan says what readers would see: as many changes as applying announces, and how many nobody will notice."""
    open_, before = archive.plan(TWO), archive.seen()
    blue = sorted(key for key, tags in before.items() if ("colour", "blue") in tags)[:10]
    archive.sql(
        "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
        "SELECT id, 'colour', '1', 'green', 'human' FROM images WHERE key = ANY(:keys)",
        keys=blue,
    )
    plan = archive.plan(TWO, colours("other"))
    [colour, other] = plan.taxonomies
    assert (10, 0, 0) == (
        colour.hidden.about,
        other.hidden.about,
        plan.hidden.about,
    )  # they get labels of the other one
    assert open_.changed.about - 10 == sum(each.images.about for each in colour.changes)
    assert 10 == archive.plan(TWO).hidden.about
    assert archive.plan(TWO).changed.about == archive.apply(TWO).changed


def test_a_plan_changes_nothing(archive):
    """Neither tags nor what is in force nor the feed."""
    before = archive.tags(), archive.feed(), archive.sql("SELECT * FROM taxonomy_revisions")
    archive.plan(STRICT, colours("other"))
    assert before == (archive.tags(), archive.feed(), archive.sql("SELECT * FROM taxonomy_revisions"))


def test_samples_are_images_that_change(archive):
    """With the probability that they will have."""
    plan = archive.plan(TWO)
    before = archive.seen()
    archive.apply(TWO)
    after = archive.tags()
    [flip] = [each for each in plan.taxonomies[0].changes if (each.before, each.after) == ("blue", "red")]
    assert 0 < len(flip.samples) <= 5
    for sample in flip.samples:
        key = sample.ref.partition("/")[2]
        [(_, _, label, _, probability)] = after[key]
        assert ({("colour", "blue")}, "red", sample.probability) == (before[key], label, probability)


def test_a_sample_is_scaled_up_with_an_interval(archive):
    """From a third of the images; the truth lies within."""
    full, sampled = archive.plan(STRICT), archive.plan(STRICT, sample=100)
    assert (100, 300, False) == (sampled.sampling.images, sampled.sampling.total, sampled.sampling.is_full)
    assert sampled.changed.low <= full.changed.about <= sampled.changed.high
    assert sampled.changed.low < sampled.changed.about < sampled.changed.high


def test_a_full_plan_finds_what_nobody_applied(archive):
    """Tags that were changed behind our back: only looking at every image finds them."""
    assert archive.plan(COLOUR).is_empty
    archive.sql("UPDATE tags SET label = 'purple' WHERE id = (SELECT min(id) FROM tags WHERE label = 'red')")
    assert archive.plan(COLOUR).is_empty
    [taxonomy] = archive.plan(COLOUR, sample=None).taxonomies
    assert [("flipped", "purple", "red", 1)] == [
        (each.kind, each.before, each.after, each.images.seen) for each in taxonomy.changes
    ]


def test_a_plan_of_an_empty_catalog(engine):
    """Nothing was embedded: there are taxonomies to add, and no image to look at."""
    with transaction(engine) as connection:
        assert catalog.taxonomy_revisions.current(connection) is None
    empty = Archive.of(engine, COLOUR)
    plan = empty.plan(COLOUR, WARM)
    assert (0, ["same", "added"]) == (plan.touched.about, [each.edit.edit for each in plan.taxonomies])


def test_a_plan_is_json(archive):
    """All of it."""
    found = json.loads(json.dumps(asdict(archive.plan(TWO))))
    assert {"seen", "about", "low", "high"} == set(found["taxonomies"][0]["labels"][0]["before"])


@pytest.mark.parametrize(("gaps", "size"), [(1, 40), (1, 300), (1, 500), (7, 30), (7, 43), (290, 10)])
def test_a_sample_is_of_the_size_asked_for(archive, gaps, size):
    """Whatever gaps the numbers of images have; each image once, in order."""
    archive.sql("DELETE FROM images WHERE id % :gaps <> 0", gaps=gaps)
    there = [row[0] for row in archive.sql("SELECT image_id FROM embeddings ORDER BY image_id")]
    with transaction(archive.engine) as connection:
        found = uniform_sample(connection, archive.space.id, size=size)
    assert min(size, len(there)) == len(found)
    assert sorted(set(found) & set(there)) == found


def test_every_image_is_as_likely_as_any_other(archive):
    """Also the first, the last, and those behind gaps: 600 samples of 20 from 100."""
    archive.sql("DELETE FROM images WHERE id % 3 <> 0 OR id BETWEEN 100 AND 130")
    counts: dict[int, int] = {}
    with transaction(archive.engine) as connection:
        for seed in range(600):
            for image in uniform_sample(connection, archive.space.id, size=20, seed=seed):
                counts[image] = counts.get(image, 0) + 1
    there = [row[0] for row in archive.sql("SELECT image_id FROM embeddings")]
    expected = 600 * 20 / len(there)
    chi_square = sum((counts.get(image, 0) - expected) ** 2 / expected for image in there)
    assert chi_square < 2 * len(there)


def test_a_gap_of_billions_is_no_obstacle(archive):
    """As after a restore, or where most images are gone: drawing numbers would take hours to meet one of an image."""
    archive.sql("SELECT setval(pg_get_serial_sequence('images', 'id'), 5000000000)")
    archive.add(100, seed=1)
    with transaction(archive.engine) as connection:
        found = [uniform_sample(connection, archive.space.id, size=20, seed=seed) for seed in range(100)]
        everything = uniform_sample(connection, archive.space.id, size=500)
    assert {20} == {len(set(each)) for each in found}
    assert (400, sorted(everything)) == (len(set(everything)), everything)
    behind = sum(image > 5_000_000_000 for each in found for image in each)
    assert 400 < behind < 600, "a quarter of the images, so 500 of 2,000 but for chance"


LABELS = ("red", "green", "blue", "red green", "green blue")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.4, 0.7, 0.95]), st.sets(st.sampled_from(LABELS), min_size=2)), max_size=2
    )
)
def test_any_taxonomies_after_any_others(archive, drawn):
    """Applied one after the other to one catalog: each time it is as if everything were tagged anew."""
    desired = [
        colours(f"t{n}", threshold=threshold, labels=sorted(labels)) for n, (threshold, labels) in enumerate(drawn)
    ]
    expected = archive.plan(*desired)
    archive.apply(*desired)
    assert archive.expected(*desired) == archive.tags()
    again = archive.plan(*desired, sample=None)
    assert (0, 0) == (again.touched.seen, again.changed.seen)
    assert expected.sampling.is_full or expected.is_empty
