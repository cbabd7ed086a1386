"""`enrich evaluate` on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.factories import spec
from tests.integration.pipeline.evaluation.test_reviewed import planned
from tests.integration.pipeline.review.gallery import CAUTIOUS, Gallery
from worker import catalog
from worker.catalog.decisions import Chosen, Verdict
from worker.db import transaction
from worker.errors import ChoiceError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.evaluation.evaluate import EvaluationRequest, evaluate
from worker.pipeline.evaluation.report import Evaluation, TaxonomyReport
from worker.pipeline.evaluation.sample import Design
from worker.tagging.learned import Learned


def measured(gallery: Gallery, *spaces: int) -> Evaluation:
    return evaluate(gallery.engine, gallery.build, EvaluationRequest(spaces=spaces))


def only(found: Evaluation) -> TaxonomyReport:
    [each] = found.taxonomies
    return each


def test_a_plan_about_one_label_measures_its_precision(gallery: Gallery):
    """And nothing else is counted."""
    _, items = planned(gallery, size=20)
    given = [each for each in items if each.given]
    for item in items:
        gallery.decide(item, Verdict.ACCEPT, "red") if item is not given[0] else gallery.decide(item, Verdict.NONE)
    others = [key for key in gallery.written if key not in {each.ref.key for each in items}]
    for key, chosen in zip(others, [Chosen.BULK, Chosen.BULK, Chosen.UNCERTAIN], strict=False):
        gallery.says(key, Verdict.ACCEPT, "green", chosen)
    found = only(measured(gallery))
    red = next(each for each in found.labels if each.label == "red")
    assert f"{len(given) - 1}/{len(given)}" == str(red.precision)
    assert (None, Design.BY_LABEL, ("red",)) == (red.recall, found.design, found.asked)
    assert (23, 20, {"bulk": 2, "uncertain": 1}) == (found.decided, found.drawn, found.left_out)
    assert found.coverage is not None
    assert (20, len(given)) == (found.coverage.of, found.coverage.seen)
    [wrong] = [each for each in found.worst if each.picture.key == given[0].ref.key]
    assert ("red", None, "random") == (wrong.given, wrong.true, wrong.picture.chosen)


def test_a_plan_about_everything_says_what_is_missed(gallery: Gallery):
    """Recall is known then."""
    _, items = planned(gallery, None, size=30)
    for item in items:
        gallery.decide(item, Verdict.ACCEPT, item.label)
    found = only(measured(gallery))
    missed = sum(not each.given for each in items)
    assert (Design.EVERYTHING, 30) == (found.design, found.scenes)
    assert missed == sum(each.silence.seen for each in found.labels)
    assert 30 == sum(each.recall.of for each in found.labels if each.recall)


def test_images_drawn_by_other_prompts_say_nothing_about_precision(gallery: Gallery):
    """Those that were drawn from all images still do."""
    _, items = planned(gallery, size=20)
    for item in items:
        gallery.decide(item, Verdict.ACCEPT, "red")
    assert "" == only(measured(gallery)).note
    labels = (replace(CAUTIOUS.labels[0], prompts=("red", "green")), *CAUTIOUS.labels[1:])
    gallery.apply(replace(CAUTIOUS, labels=labels))
    found = only(measured(gallery))
    assert (Design.UNKNOWN, None, 20) == (found.design, found.coverage, found.drawn)
    assert {0} == {each.precision.of for each in found.labels}
    assert "another model (20) say nothing about precision" in found.note
    assert found.note == found.methods[0].note
    _, items = planned(gallery, None, size=30)
    for item in items:
        gallery.decide(item, Verdict.ACCEPT, item.label)
    assert Design.EVERYTHING is (mixed := only(measured(gallery))).design
    # Of two that look like a third, one counts.
    assert sum(each.given for each in items) >= sum(each.precision.of for each in mixed.labels) > 0
    gallery.apply(CAUTIOUS)
    assert "" == only(measured(gallery)).note


def test_what_reviews_taught_is_compared_with_zero_shot(gallery: Gallery):
    """On the same images; the labels are those of what is in force."""
    _, items = planned(gallery, None, size=30)
    for item in items:
        gallery.decide(item, Verdict.ACCEPT, item.label)
    learned = Learned(model=gallery.space.model, thresholds=dict.fromkeys(("red", "green", "blue"), 0.2))
    gallery.apply(replace(CAUTIOUS, learned={str(gallery.space.id): learned}))
    found = only(measured(gallery))
    zero, force = found.methods
    missed = sum(not each.given for each in items)
    assert ("zero-shot", "in force: thresholds from reviews") == (zero.method, force.method)
    assert (None, "30/30", f"{30 - missed}/30") == (zero.against_first, str(force.coverage), str(zero.coverage))
    assert force.against_first is not None
    assert (missed, 0, 30) == (force.against_first.won, force.against_first.lost, force.images)
    assert (force.method, str(force.coverage)) == (found.method, str(found.coverage))
    assert "chosen on images like these" in found.note


def test_a_report_says_of_what_it_is(gallery: Gallery):
    """Its moment, space, version and last decision."""
    gallery.says(next(iter(gallery.written)), Verdict.ACCEPT, "red")
    found = measured(gallery)
    [(number,)] = [gallery.sql("SELECT max(id) FROM decisions")[0]]
    assert (number, (gallery.space.id,), CAUTIOUS.version) == (found.last_decision, found.spaces, only(found).version)
    assert (0, Design.NONE, None) == (only(found).scenes, only(found).design, only(found).coverage)


def test_what_cannot_be_measured_is_refused(gallery: Gallery):
    """And what to do is said."""
    with pytest.raises(ChoiceError, match=r"nobody has decided anything yet: `enrich review TAXONOMY LABEL`"):
        measured(gallery)
    gallery.says(next(iter(gallery.written)), Verdict.ACCEPT, "red")
    with pytest.raises(ChoiceError, match="there is no space 9; there are 1"):
        measured(gallery, 9)
    with pytest.raises(UnknownNameError, match="did you mean 'colour'"):
        evaluate(gallery.engine, gallery.build, EvaluationRequest(taxonomies=("color",)))
    with pytest.raises(ChoiceError, match="at most 8 spaces"):
        measured(gallery, *range(1, 11))


def test_two_spaces_are_compared_on_the_same_images(gallery: Gallery):
    """An image that the other model takes for something else counts as lost; one without a vector there is left out."""
    _, items = planned(gallery, None, size=30)
    for item in items:
        gallery.decide(item, Verdict.ACCEPT, item.label)
    given = [each for each in items if each.given]
    mistaken, absent = given[0], given[1]
    another = next(each for each in given if each.label != mistaken.label)
    with transaction(gallery.engine) as connection:
        other = catalog.spaces.ensure(connection, spec("other")).id
    copied = "INSERT INTO embeddings (space_id, image_id, vector) SELECT :other, i.id, e.vector FROM images i"
    of = "JOIN embeddings e ON e.space_id = :space AND e.image_id"
    here = {"space": gallery.space.id, "other": other, "mistaken": mistaken.ref.key, "absent": absent.ref.key}
    gallery.sql(f"{copied} {of} = i.id WHERE i.key NOT IN (:mistaken, :absent)", **here)
    like = f"{of} = (SELECT id FROM images WHERE key = :another) WHERE i.key = :mistaken"
    gallery.sql(f"{copied} {like}", another=another.ref.key, **here)

    found = only(measured(gallery, gallery.space.id, other))
    first, second = found.methods
    assert [gallery.space.id, other] == [first.space, second.space]
    assert second.against_first is not None
    assert (None, (0, 1)) == (first.against_first, (second.against_first.won, second.against_first.lost))
    assert ["29", "29"] == [str(each.coverage).partition("/")[2] for each in (first, second)]
    right = [int(str(each.accuracy).partition("/")[0]) for each in (first, second)]
    assert 1 == right[0] - right[1]
