"""Relevance: similarities to a query as numbers from 0 to 1."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.tagging.relevance import DEFAULT_CUT, null_of, scale_of

DIMENSION = 64


def units(count: int, seed: int):
    rows = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def near(vector, count: int, seed: int, *, share: float = 0.5):
    """Images that show what ``vector`` says."""
    rows = share * vector + (1 - share) * units(count, seed)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


QUERY = units(1, 7)[0]


@cache
def sampled(shown: int = 100, *, centred: bool = True):
    """A sample of 1,000 images, of which some show what the query says, and its scale."""
    images = np.concatenate([units(1000 - shown, 1), near(QUERY, shown, 2)])
    return images, scale_of(QUERY, images, null_of(units(100, 3), images, centred=centred))


@given(st.floats(-1, 1), st.floats(0, 1))
def test_a_more_similar_image_is_never_less_relevant(similarity: float, more: float):
    """If both are equally near to random texts."""
    images, scale = sampled()
    low, high = scale(np.array([similarity, similarity + more]), images[[0, 0]])
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize("shown", [10, 100, 333])
def test_what_shows_it_is_relevant_and_the_rest_is_not(shown: int):
    """Also where a third of the catalog shows it: those images do not widen the scale they are measured by."""
    images, scale = sampled(shown)
    relevances = scale(images @ QUERY, images)
    assert (relevances[-shown:] >= DEFAULT_CUT).mean() > 0.95
    assert (relevances[:-shown] < DEFAULT_CUT).mean() > 0.99


def test_nothing_is_relevant_to_a_query_that_nothing_answers():
    """However far the best of the rest stands out."""
    images = units(1000, 1)
    scale = scale_of(QUERY, images, null_of(units(100, 3), images, centred=True))
    assert 0 == (scale(images @ QUERY, images) >= DEFAULT_CUT).sum()


def test_an_image_that_is_near_to_every_text_is_not_relevant_to_each():
    """Its nearness to random texts is subtracted."""
    texts = units(100, 3) + 0.2
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    query = QUERY + 0.2
    query /= np.linalg.norm(query)
    hub = near(np.full(DIMENSION, DIMENSION**-0.5, np.float32), 1, 5, share=0.8)
    images = np.concatenate([units(999, 1), hub])
    with_it, without = (
        scale_of(query, images, null_of(texts, images, centred=centred))(hub @ query, hub)[0]
        for centred in (True, False)
    )
    assert with_it < DEFAULT_CUT < without


@pytest.mark.parametrize("centred", [True, False])
@given(relevance=st.floats(0.02, 0.98))
def test_what_is_less_similar_than_the_least_has_not_the_relevance(centred: bool, relevance: float):
    """So that a search by similarity may stop there."""
    images, scale = sampled(centred=centred)
    similarities = images @ QUERY
    below = similarities < scale.least_similarity(relevance, certain=False)
    assert (scale(similarities, images)[below] < relevance).all()
    assert below.mean() > 0.5


def test_an_image_outside_the_sample_may_be_below_what_the_sample_tells():
    """It is less similar to random texts than all images of the sample; the certain bound holds for it as well."""
    images, _ = sampled()
    texts = near(images[0], 100, 3)
    null = null_of(texts, images, centred=True)
    scale = scale_of(QUERY, images, null)
    opposite = texts.mean(axis=0)
    opposite /= np.linalg.norm(opposite)
    far = (0.6 * QUERY - 0.8 * opposite)[None]
    far /= np.linalg.norm(far)
    similarity = far @ QUERY
    relevance = float(scale(similarity, far)[0])
    assert scale.least_similarity(relevance - 1e-4, certain=True) <= similarity[0]
    assert scale.least_similarity(relevance - 1e-4, certain=False) > similarity[0]


@pytest.mark.parametrize("certain", [True, False])
def test_the_ends_of_the_scale(certain: bool):
    """A least relevance of 0 cuts nothing; one of 1 keeps what is rounded to 1."""
    _, scale = sampled(centred=False)
    assert -np.inf == scale.least_similarity(0, certain=certain)
    least = scale.least_similarity(1, certain=certain)
    low, high = scale(np.array([least - 0.01, least + 0.01]), np.zeros((2, DIMENSION), np.float32))
    assert low < high == 1


def test_a_model_s_scale_makes_no_difference():
    """All texts and images of a model may have a direction in common, which makes cosines higher and closer."""
    images, scale = sampled()
    one, other = (np.zeros(2, np.float32), np.zeros(2, np.float32))
    one[0], other[:] = 1, (0.3, 0.954)

    def shifted(rows, shared):
        wide = np.concatenate([0.4 * rows, np.repeat(shared[None], len(rows), axis=0) * 0.9165], axis=1)
        return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)

    moved, [query] = shifted(images, one), shifted(QUERY[None], other)
    moved_scale = scale_of(query, moved, null_of(shifted(units(100, 3), other), moved, centred=True))
    assert moved_scale.spread < 0.3 * scale.spread
    assert np.allclose(scale(images @ QUERY, images), moved_scale(moved @ query, moved), atol=0.01)


def test_an_image_does_not_judge_itself():
    """Random images are as near to themselves as nothing else is."""
    images = units(60, 1)
    null = null_of(images[:20], images, centred=False, own=np.arange(20))
    assert null.usual + null.top < 0.9


def test_copies_of_one_image_are_no_error():
    """Nothing stands out, and nothing is divided by zero."""
    images = np.repeat(units(1, 1), 100, axis=0)
    scale = scale_of(QUERY, images, null_of(units(20, 3), images, centred=True))
    assert np.isfinite(scale(images @ QUERY, images)).all()
