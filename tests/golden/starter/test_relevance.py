"""Relevance with real models: one cut for all queries, and the same for two models."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests import relevance_cases
from tests.relevance_cases import Cases, Photos, Values, clip, scores, starter, values
from worker.tagging.relevance import DEFAULT_CUT

pytestmark = [
    pytest.mark.skipif(not relevance_cases.available(), reason="no photos with known answers beside the checkout"),
    pytest.mark.slow,
]

MODELS = {"starter": starter, "clip": clip}


@cache
def relevances(model: str) -> Values:
    return values(MODELS[model](), lambda photos, query: photos.relevances(query))


def cosine(photos: Photos, query):
    return photos.vectors @ query


@pytest.mark.parametrize(
    ("model", "f1", "precision", "absent"), [("starter", 0.35, 0.75, 0.7), ("clip", 0.55, 0.6, 0.7)]
)
def test_one_cut_suits_all_queries(model: str, f1: float, precision: float, absent: float):
    """Most of what is returned is right, and most queries that nothing answers return nothing."""
    found = scores(relevances(model), DEFAULT_CUT)
    assert found.f1 >= f1
    assert found.precision >= precision
    assert found.empty_absent >= absent


def test_nonsense_finds_nothing():
    """Letters, code, and what cannot be pictured."""
    assert 1 == scores(relevances("starter"), DEFAULT_CUT).empty_nonsense


def test_no_cosine_is_better_for_both_models():
    """Even one chosen with the answers at hand: where as many queries rightly find nothing, F1 is lower."""
    ours = [scores(relevances(each), DEFAULT_CUT) for each in MODELS]
    cosines = [values(each(), cosine) for each in MODELS.values()]
    for cut in np.arange(0.18, 0.4, 0.01):
        theirs = [scores(each, cut) for each in cosines]
        if np.mean([each.empty_absent for each in theirs]) >= np.mean([each.empty_absent for each in ours]):
            assert np.mean([each.f1 for each in theirs]) < np.mean([each.f1 for each in ours]) - 0.08


def _local_precision(cases: Cases, low: float, high: float) -> float:
    shares = []
    for each in cases.present:
        found = each.photos.relevances(each.query)
        hits = (found >= low) & (found < high) & (each.right | each.wrong)
        if hits.any():
            shares.append(each.right[hits].mean())
    return float(np.mean(shares))


@pytest.mark.parametrize("model", MODELS)
def test_a_relevance_is_about_the_share_of_such_hits_that_are_right(model: str):
    """Within 0.2: a tenth of those below 0.2, nine in ten of those above 0.9."""
    cases = MODELS[model]()
    for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        assert abs(_local_precision(cases, low, high) - (low + min(high, 1)) / 2) < 0.25


def test_an_image_as_the_query_uses_the_same_scale():
    """What is relevant to a photo shows the same, more often than not."""
    cases = starter()
    photos, shares = cases.photos, []
    for case in cases.present[::4]:
        for image in np.flatnonzero(case.right)[:3]:
            found = photos.relevances(photos.vectors[image], by_image=True)
            found[image] = 0
            hits = (found >= DEFAULT_CUT) & (case.right | case.wrong)
            if hits.any():
                shares.append(case.right[hits].mean())
    assert len(shares) >= 15
    assert np.mean(shares) > 0.5


def test_copies_and_a_larger_catalog_move_relevances_little():
    """Every image three times: the same hits are relevant."""
    cases = starter()
    photos = cases.photos
    more = Photos(np.repeat(photos.vectors, 3, axis=0), photos.texts, seed=1)
    moved = [
        np.abs(more.scale(each.query)(photos.vectors @ each.query, photos.vectors) - found)[found > 0.1]
        for each in cases.present[::5]
        for found in [photos.relevances(each.query)]
    ]
    assert np.median(np.concatenate(moved)) < 0.1
