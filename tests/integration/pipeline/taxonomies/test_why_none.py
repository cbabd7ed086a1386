"""Plans and applies say why images got no label."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tests.integration.pipeline.taxonomies.archive import COLOUR, STRICT, WARM, Archive, colours, exactly
from worker.cli.abstentions import sentence
from worker.pipeline.taxonomies import changes
from worker.tagging import explain


def reasons(archive: Archive, *desired) -> Counter[tuple[str, str]]:
    """(taxonomy, reason) → images, one explanation at a time."""
    tagger = archive.build(archive.space, desired)
    explained = [
        one for vector in archive.written.values() for one in explain(tagger, vector, archive.encoder.encode_texts)
    ]
    return Counter((one.taxonomy, str(one.because)) for one in explained if not one.decided)


def test_a_plan_says_why_images_get_nothing(archive):
    """The reasons of all images, as explanations give them one by one; of what stays as it is, too."""
    plan = archive.plan(STRICT, WARM)
    found = {each.edit.name: each.abstentions for each in plan.taxonomies}
    counted = {(name, str(each.reason)): each.images.seen for name, own in found.items() for each in own.reasons}
    counted |= {(name, "condition-not-met"): own.not_asked.seen for name, own in found.items() if own.not_asked.seen}
    assert reasons(archive, STRICT, WARM) == counted
    assert {"colour", "warmth"} == found.keys()
    for each in plan.taxonomies:
        assert each.abstentions_after == each.abstentions.abstained
        for reason in each.abstentions.reasons:
            assert reason.images.seen == sum(label.images.seen for label in reason.nearest)


def test_images_that_a_person_decided_are_not_counted(archive):
    """Nobody sees that the model says nothing there."""
    open_ = archive.plan(STRICT).taxonomies[0].abstentions
    keys = [key for key, tags in archive.expected(STRICT).items() if any(tag[2] is None for tag in tags)][:7]
    archive.sql(
        "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
        "SELECT id, 'colour', '1', 'green', 'human' FROM images WHERE key = ANY(:keys)",
        keys=keys,
    )
    [plan] = archive.plan(STRICT).taxonomies
    assert (7, 7) == (
        open_.abstained.seen - plan.abstentions.abstained.seen,
        open_.asked.seen - plan.abstentions.asked.seen,
    )
    assert plan.abstentions_after == plan.abstentions.abstained
    assert plan.abstentions == archive.apply(STRICT).abstentions["colour"]


def test_a_sample_is_scaled_up(archive):
    """With intervals; the truth lies within."""
    full, sampled = (archive.plan(STRICT, sample=n).taxonomies[0].abstentions for n in (None, 100))
    assert sampled.abstained.low <= full.abstained.about <= sampled.abstained.high
    assert 100 == sampled.asked.seen


def test_applying_says_it_of_what_changed(archive):
    """Of all images, exactly; of an interrupted run, of those that were left. What was there before is left out."""
    done = archive.change(changes.added([colours("other", threshold=0.9)]))
    assert ["other"] == list(done.abstentions)
    assert (300, 300) == (done.abstentions["other"].asked.about, done.abstentions["other"].asked.high)
    assert {} == archive.change(exactly(COLOUR, colours("other", threshold=0.9))).abstentions


def test_a_full_plan_says_it_of_what_is_in_force(archive):
    """Although there is nothing to change; one that examined nothing does not know."""
    assert 300 == archive.plan(COLOUR, sample=None).taxonomies[0].abstentions.asked.seen
    assert archive.plan(COLOUR).taxonomies[0].abstentions is None


def test_the_sentence_names_the_nearest_labels(archive):
    """At most three, the most frequent first; and to how many images the question does not apply."""
    archive.write({"blue.jpg": np.eye(archive.space.dimension, dtype=np.float32)[2]})
    plan = archive.plan(STRICT, WARM)
    colour, warmth = (sentence(each.abstentions) for each in plan.taxonomies)
    low, asked, without = (
        plan.taxonomies[0].abstentions.reasons[0],
        plan.taxonomies[1].abstentions.asked.about,
        plan.taxonomies[1].abstentions.not_asked.about,
    )
    nearest = ", ".join(f"{each.label} {each.images.about}" for each in low.nearest)
    assert (
        f"none of these: {low.images.about} of 301; {low.images.about} below-threshold (nearest: {nearest})" == colour
    )
    first, *_, last = warmth.split("; ")
    assert (True, f"`when` is not met by {without}") == (first.endswith(f" of {asked}"), last)
    assert 301 == asked + without
