"""Which images count, and for how many they stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.pipeline.evaluation.made import DRAW, drawn, image, said, truth
from worker.catalog.reviewed_images import ReviewedImage
from worker.pipeline.evaluation import metrics, report
from worker.pipeline.evaluation.sample import Design, Sample, effective, sample, stratified

NIGHT = replace(DRAW, plan=2, asked="night", probability=0.1)


def counted(images: list[ReviewedImage], *, test_set: bool = False) -> Sample:
    return sample(images, truth(images), np.arange(len(images)), test_set=test_set)


def test_images_stand_for_those_that_were_not_drawn():
    """One in two of the days were drawn and one in ten of the nights; of both plans only some are reviewed yet."""
    draws = [DRAW] * 50 + [NIGHT] * 20
    weights = stratified(draws)
    assert weights is not None
    assert [200.0, 1000.0] == pytest.approx([weights[:50].sum(), weights[50:].sum()])


def test_a_second_plan_about_a_label_makes_it_no_larger():
    """Both are samples of the same images."""
    draws = [DRAW] * 50 + [replace(DRAW, plan=3)] * 100 + [NIGHT] * 20
    weights = stratified(draws)
    assert weights is not None
    assert [200.0, 1000.0] == pytest.approx([weights[:150].sum(), weights[150:].sum()])


def test_near_duplicates_raise_the_chance_of_their_scene():
    """Any of them could have been drawn for it."""
    weights = stratified([replace(DRAW, probability=0.1, alike=5, frame=None)])
    assert [2.0] == pytest.approx(weights)


def test_totals_are_weighted_by_label():
    """Precision within a label is not: there all have the same chance."""
    images = [image(n, "day" if n % 2 else "night", draw=replace(DRAW, decision=n)) for n in range(1, 51)]
    images += [image(n, "night", draw=replace(NIGHT, decision=n)) for n in range(51, 71)]
    found = truth(images)
    by_label = sample(images, found, np.arange(70))
    answers = said(found, ["day"] * 50 + ["night"] * 20)
    totals = report.across(answers, found, by_label)
    assert totals.accuracy is not None
    assert (Design.BY_LABEL, ("day", "night")) == (by_label.design, by_label.labels)
    assert pytest.approx((0.5 * 200 + 1000) / 1200) == totals.accuracy.share
    assert ("25/50", False) == (str(day := metrics.precision(0, answers, found, by_label)), day.weighted)
    moved = said(found, ["night"] * 70)
    assert metrics.precision(1, moved, found, by_label).weighted


def test_chances_that_are_not_known_give_no_total():
    """Of one label they are the same for all, and of several they are not."""
    unknown = replace(DRAW, probability=None)
    assert None is stratified([unknown, replace(unknown, asked="night")])
    assert None is stratified([unknown, DRAW])
    assert [1.0, 1.0] == pytest.approx(stratified([unknown, unknown]))
    images = [image(1, "day", draw=unknown), image(2, "night", draw=replace(unknown, asked="night"))]
    found = truth(images)
    none = counted(images)
    assert (Design.UNKNOWN, None) == (none.design, report.across(said(found, ["day", "day"]), found, none).coverage)


def test_a_sample_of_everything_goes_before_samples_of_labels():
    """If it is large, or labels are missing."""
    whole = drawn(["day"] * 30, everything=True)
    some = [image(n, "night", draw=replace(NIGHT, decision=n)) for n in range(31, 41)]
    assert (Design.EVERYTHING, 30) == ((found := counted(whole + some)).design, found.images.sum())
    assert Design.EVERYTHING is counted(whole[:5] + some).design
    days = [image(n, "day", draw=replace(DRAW, decision=n)) for n in range(41, 51)]
    assert Design.BY_LABEL is counted(whole[:5] + some + days).design


def test_images_drawn_from_all_with_different_chances_are_weighted():
    """One in two of the tagged were drawn and one in ten of the others; chances that hardly differ do not matter."""
    tagged = drawn(["day"] * 40, everything=True)
    missed = replace(DRAW, everything=True, given=False, probability=0.1)
    images = tagged + [image(n, "day", draw=replace(missed, decision=n)) for n in range(41, 61)]
    found = truth(images)
    answers = said(found, ["day"] * 40 + [None] * 20)
    uneven = counted(images)
    coverage, recall = report.across(answers, found, uneven).coverage, metrics.recall(0, answers, found, uneven)
    assert coverage is not None
    assert recall is not None
    assert (Design.EVERYTHING, True) == (uneven.design, coverage.weighted)
    assert [80 / 280] * 2 == pytest.approx([coverage.share, recall.share])
    assert pytest.approx(200 / 280) == metrics.silence(0, answers, found, uneven).share
    moved = said(found, ["day"] * 60)
    assert metrics.precision(0, moved, found, uneven).weighted
    close = tagged + [image(n, "day", draw=replace(missed, decision=n, probability=0.45)) for n in range(41, 61)]
    assert None is counted(close).weights


def test_a_test_set_counts_unless_it_says_that_it_was_picked():
    """It is not known how its images were chosen."""
    images = [image(n, "day", chosen=chosen) for n, chosen in enumerate(["import", "import", "uncertain"], 1)]
    found = counted(images, test_set=True)
    assert (Design.FILE, 2, {"uncertain": 1}) == (found.design, found.scenes, found.left_out)
    assert (Design.NONE, 0) == ((none := counted(images)).design, none.scenes)


def test_uneven_weights_are_worth_fewer_images():
    """Kish's effective number."""
    every = np.ones(3, dtype=bool)
    assert (3.0, 0.0) == (effective(None, every), effective(np.ones(3), ~every))
    assert pytest.approx(9 / 5) == effective(np.array([1.0, 2.0, 0.0]), every)


def test_random_images_without_a_plan_are_taken_for_what_they_are_said_to_be():
    """Nobody drew them for one label, so nothing is weighted."""
    images = drawn(["day", "night", "day"], plan=None, asked=None, probability=None)
    found = sample(images, truth(images), np.arange(3))
    assert (Design.DECLARED, None, 3) == (found.design, found.weights, int(found.images.sum()))
