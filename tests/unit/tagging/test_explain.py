"""An explanation gives the numbers that decide, and the right reason."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests import recomputed
from tests.unit.tagging.fake_texts import FakeTexts, images
from tests.unit.tagging.languages import sets_of_taxonomies
from tests.unit.tagging.test_modes_and_levels import AXES, BREED, KINDS, THINGS, _picture
from worker.tagging import Calibration, Tagger, Taxonomy
from worker.tagging.explain import TaxonomyExplanation, explain
from worker.tagging.reasons import LabelReason


def _explained(*taxonomies: Taxonomy, **cosines: float) -> tuple[TaxonomyExplanation, ...]:
    tagger = Tagger(taxonomies, FakeTexts(AXES), logit_scale=10.0, model="any")
    return explain(tagger, _picture(**cosines), FakeTexts(AXES))


def _reasons(taxonomy: Taxonomy, **cosines: float) -> dict[str, LabelReason]:
    (explained,) = _explained(taxonomy, **cosines)
    return {each.label: each.reason for each in explained.labels}


def test_every_number_that_was_compared_is_there() -> None:
    """Cosines 0.5 and 0.25 at a factor of 10: σ(2.5) = 0.92414, ahead by 0.84828."""
    (explained,) = _explained(replace(THINGS, calibration=Calibration(margin=0.1)), cat=0.5, wall=0.25)
    cat = explained.labels[0]

    assert ("cat", 0.5, 0.5, 0.1) == (cat.label, cat.similarity, cat.threshold, round(cat.margin, 5))
    assert (0.92414, 0.84828) == (round(cat.probability, 5), round(cat.lead, 5))
    assert [("cat", 0.5)] == [(each.text, each.similarity) for each in cat.texts]
    assert [("wall", 0.25)] == [(each.text, each.similarity) for each in explained.background[0].texts]
    assert (10.0, 0.25, 0.25) == (explained.factor, cat.rival, explained.background[0].similarity)


@pytest.mark.parametrize(
    ("calibration", "cosines", "expected"),
    [
        (Calibration(), {"dog": 0.5}, {"animal": "decided", "dog": "decided", "cat": "another-label-nearer"}),
        (Calibration(), {"horse": 0.5}, {"animal": "decided", "dog": "background-nearer", "cat": "background-nearer"}),
        (Calibration(), {"wall": 0.5}, {"animal": "background-nearer", "car": "background-nearer"}),
        (Calibration(), {"wall": 0.5}, {"dog": "parent-not-decided"}),
        (Calibration(threshold=0.3), {"dog": 0.5, "cat": 0.5}, {"animal": "decided", "dog": "tie", "cat": "tie"}),
        (Calibration(threshold=0.99), {"dog": 0.5}, {"animal": "below-threshold", "dog": "parent-not-decided"}),
        (Calibration(margin=0.99), {"dog": 0.5}, {"animal": "margin-too-small", "car": "another-label-nearer"}),
    ],
)
def test_each_way_to_an_answer_has_its_reason(
    calibration: Calibration, cosines: dict[str, float], expected: dict[str, str]
) -> None:
    """Of the labels that compete."""
    found = _reasons(replace(KINDS, calibration=calibration), **cosines)

    assert expected == {label: found[label] for label in expected}


def test_labels_that_are_decided_by_themselves_lose_to_what_they_are_not() -> None:
    """Never to one another."""
    assert {"cat": "decided", "dog": "background-nearer"} == _reasons(THINGS, cat=0.5, dog=0.25, wolf=0.375)


def test_a_taxonomy_that_does_not_apply_says_so() -> None:
    """With its numbers all the same."""
    breed, _ = _explained(BREED, KINDS, car=0.5, wolf=0.25)

    assert not breed.applies
    assert {each.reason for each in breed.labels} == {LabelReason.CONDITION_NOT_MET}
    assert {"wild": 0.25, "tame": 0.0} == {each.label: each.similarity for each in breed.labels}


@given(sets_of_taxonomies())
@settings(max_examples=20, deadline=None)
def test_an_explanation_never_contradicts_the_tags(taxonomies: tuple[Taxonomy, ...]) -> None:
    """Same labels, same scores and probabilities to the last bit, whatever the taxonomies."""
    tagger = Tagger(taxonomies, FakeTexts(), logit_scale=15.0, model="any")
    for vector, tags in zip(images(4, seed=len(taxonomies)), tagger.tag(images(4, seed=len(taxonomies))), strict=True):
        explained = explain(tagger, vector, FakeTexts())
        told = {
            (one.taxonomy, each.label, each.similarity, each.probability)
            for one in explained
            for each in one.labels
            if each.holds
        }

        assert told == {(tag.taxonomy, tag.label, tag.score, tag.probability) for tag in tags if tag.label is not None}
        assert {one.taxonomy for one in explained if one.applies} == {tag.taxonomy for tag in tags}
        assert all(np.isfinite([each.probability for each in one.labels]).all() for one in explained)


@given(sets_of_taxonomies())
@settings(max_examples=40, deadline=None)
def test_an_explanation_can_be_worked_out_from_its_own_numbers(taxonomies: tuple[Taxonomy, ...]) -> None:
    """Every probability, lead and reason, whatever the taxonomies."""
    tagger = Tagger(taxonomies, FakeTexts(), logit_scale=15.0, model="any")
    for vector in images(4, seed=len(taxonomies)):
        for one in explain(tagger, vector, FakeTexts()):
            assert recomputed.agrees(asdict(one))
            assert recomputed.decided_by(asdict(one)) == one.because


@given(sets_of_taxonomies())
@settings(max_examples=20, deadline=None)
def test_images_without_a_label_are_counted_by_the_reason_that_an_explanation_gives(
    taxonomies: tuple[Taxonomy, ...],
) -> None:
    """For a whole batch at once, and every abstention exactly once."""
    tagger = Tagger(taxonomies, FakeTexts(), logit_scale=15.0, model="any")
    vectors = images(6, seed=len(taxonomies))
    told = {
        (one.taxonomy, place): one.because
        for place, vector in enumerate(vectors)
        for one in explain(tagger, vector, FakeTexts())
        if one.applies and not one.decided
    }
    found = [
        ((each.taxonomy.name, place), reason)
        for each in tagger.decide(vectors)
        for reason, places in each.abstentions().items()
        for place in places.tolist()
    ]

    assert told == dict(found)
    assert len(told) == len(found)


@given(sets_of_taxonomies())
@settings(max_examples=20, deadline=None)
def test_the_nearest_label_of_each_image_is_known_in_bulk(taxonomies: tuple[Taxonomy, ...]) -> None:
    """Of an image without a label, the most probable one at the top; else the label itself."""
    tagger = Tagger(taxonomies, FakeTexts(), logit_scale=15.0, model="any")
    vectors = images(6, seed=len(taxonomies))
    explained = [{one.taxonomy: one for one in explain(tagger, vector, FakeTexts())} for vector in vectors]
    for each in tagger.decide(vectors):
        for place, label, nearest in zip(each.images, each.label, each.nearest, strict=True):
            top = [one for one in explained[place][each.taxonomy.name].labels if one.parent is None]
            best = max(top, key=lambda one: one.probability).label
            assert (best if label == -1 else each.labels[label]) == each.labels[nearest]
