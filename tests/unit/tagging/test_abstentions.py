"""Counting why images have no label."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings

from tests.unit.tagging.fake_texts import FakeTexts, images
from tests.unit.tagging.languages import sets_of_taxonomies
from worker.tagging import AbstentionCounts, Tagger, Taxonomy, abstentions, explain, tags


def _tagger(taxonomies: tuple[Taxonomy, ...]) -> Tagger:
    return Tagger(taxonomies, FakeTexts(), logit_scale=15.0, model="any")


@given(sets_of_taxonomies())
@settings(max_examples=20, deadline=None)
def test_sums_over_batches_agree_with_explanations(taxonomies: tuple[Taxonomy, ...]) -> None:
    """Every image is asked or not asked, and each that was asked has a label or one reason."""
    tagger, vectors, counts = _tagger(taxonomies), images(6, seed=len(taxonomies)), AbstentionCounts()
    for part in (vectors[:4], vectors[4:]):
        counts.add(tagger.decide(part), len(part))
    explained = [one for vector in vectors for one in explain(tagger, vector, FakeTexts())]
    for each in taxonomies:
        own = [one for one in explained if one.taxonomy == each.name]
        none = [one for one in own if one.applies and not one.decided]
        assert (len(vectors), sum(one.applies for one in own)) == (
            counts.asked[each.name] + counts.not_asked[each.name],
            counts.asked[each.name],
        )
        assert Counter(one.because for one in none) == {
            reason: labels.total() for reason, labels in counts.reasons(each.name).items()
        }


@given(sets_of_taxonomies())
@settings(max_examples=20, deadline=None)
def test_each_image_has_the_same_reasons_alone(taxonomies: tuple[Taxonomy, ...]) -> None:
    """One for each tag without a label, with the numbers of that tag."""
    tagger, vectors = _tagger(taxonomies), images(6, seed=len(taxonomies))
    decided = tagger.decide(vectors)
    found, written = abstentions(decided, len(vectors)), tags(decided, len(vectors))
    for why, own in zip(found, written, strict=True):
        assert {(each.taxonomy, each.score, each.probability) for each in own if each.label is None} == {
            (each.taxonomy, each.score, each.probability) for each in why
        }
    counts = AbstentionCounts()
    counts.add(decided, len(vectors))
    for each in taxonomies:
        one_by_one = Counter((w.reason, w.nearest) for why in found for w in why if w.taxonomy == each.name)
        at_once = {(r, label): n for r, labels in counts.reasons(each.name).items() for label, n in labels.items()}
        assert one_by_one == at_once


@given(sets_of_taxonomies())
@settings(max_examples=5, deadline=None)
def test_hidden_images_are_counted_nowhere(taxonomies: tuple[Taxonomy, ...]) -> None:
    """Neither as asked nor as not asked, in that taxonomy alone."""
    tagger, counts, vectors = _tagger(taxonomies), AbstentionCounts(), images(6, seed=1)
    first = taxonomies[0].name
    counts.add(tagger.decide(vectors), len(vectors), {first: np.array([0, 5])})
    for each in taxonomies:
        assert (4 if each.name == first else 6) == counts.asked[each.name] + counts.not_asked[each.name]


def test_an_empty_batch_and_an_unknown_name_are_nothing() -> None:
    """As in a catalog without images."""
    counts = AbstentionCounts()
    counts.add((), 0)
    assert ({}, 0) == (counts.reasons("mood"), counts.asked["mood"])
    assert ([], [(), ()]) == (abstentions((), 0), tags((), 2))
