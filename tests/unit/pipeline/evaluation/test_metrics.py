"""Numbers of an evaluation, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tests.unit.pipeline.evaluation.made import DRAW, THINGS, drawn, image, said, truth
from worker.pipeline.evaluation import metrics, report
from worker.pipeline.evaluation.judgements import truth_of
from worker.pipeline.evaluation.report import AllImages
from worker.pipeline.evaluation.sample import Design, sample
from worker.tagging import Label, Taxonomy


def everything(labels):
    """Images drawn from all, each a scene."""
    images = drawn(labels, everything=True)
    found = truth(images)
    return images, found, sample(images, found, np.arange(len(images)))


@pytest.mark.parametrize(("seen", "of"), [(51, 52), (43, 44), (0, 5), (5, 5), (1, 1)])
def test_the_interval_is_wilsons(seen, of):
    """As scipy has it."""
    mask = np.arange(of) < seen
    found = metrics.share(mask, np.ones(of, dtype=bool))
    expected = binomtest(seen, of).proportion_ci(method="wilson")
    assert [expected.low, expected.high] == pytest.approx([found.low, found.high])
    assert (seen, of, seen / of, False) == (found.seen, found.of, found.share, found.weighted)


def test_no_image_says_nothing():
    """Neither all nor none are right."""
    nothing = np.zeros(3, dtype=bool)
    assert (None, 0.0, 1.0) == ((found := metrics.share(nothing, nothing)).share, found.low, found.high)


def test_weights_count_images_that_stand_for_many():
    """Hájek's ratio; the interval is that of fewer images."""
    right, all_of_them = np.array([True, False, True]), np.ones(3, dtype=bool)
    found = metrics.share(right, all_of_them, np.array([8.0, 1.0, 1.0]))
    assert (2, 3, 0.9, True) == (found.seen, found.of, found.share, found.weighted)
    equal = metrics.share(right, all_of_them, np.array([2.0, 2.0, 2.0]))
    assert (2 / 3, False) == (equal.share, equal.weighted)
    assert found.high - found.low > 0.5


def test_labels_and_totals():
    """Right of given, given of all, silent of those that have the label, and recall of a sample of everything."""
    images, found, counted = everything(["day", "day", "day", "night", "night", None])
    answers = said(found, ["day", "night", None, "night", None, "day"])
    day, night = report.labels(answers, found, counted, thresholds={"day": 0.5}, suggested=frozenset({"night"}))
    assert ("1/2", "1/3", "1/3") == (str(day.precision), str(day.silence), str(day.recall))
    assert ("1/2", "1/2", "1/2") == (str(night.precision), str(night.silence), str(night.recall))
    assert (0.5, None, False, True) == (day.threshold, night.threshold, day.suggested, night.suggested)
    totals = report.across(answers, found, counted)
    assert ("4/6", "2/4", "2/6") == (str(totals.coverage), str(totals.accuracy), str(totals.error))
    cells = {(each.true, each.given): each.images for each in report.confusion(answers, found, counted, images)}
    assert {
        ("day", "day"): 1, ("day", "night"): 1, ("day", None): 1, ("night", "night"): 1, ("night", None): 1,
        (None, "day"): 1,
    } == cells  # fmt: skip


def test_recall_is_not_known_without_a_sample_of_everything():
    """Images that were drawn for a label say nothing about those that the model does not give it to."""
    images = drawn(["day", "day"])
    found = truth(images)
    counted = sample(images, found, np.arange(2))
    assert None is metrics.recall(0, said(found, ["day", None]), found, counted)


def test_images_that_were_not_drawn_are_counted_apart():
    """They are never part of an estimate, but wrong tags on them are listed."""
    images = [*drawn(["day"], everything=True)]
    images += [image(n, "night", chosen=chosen) for n, chosen in enumerate(["bulk", "bulk", "uncertain"], 2)]
    found = truth(images)
    counted = sample(images, found, np.arange(4))
    answers = said(found, ["day"] * 4)
    assert ({"bulk": 2, "uncertain": 1}, 1) == (counted.left_out, counted.scenes)
    assert "1/1" == str(metrics.precision(0, answers, found, counted))
    assert [1, 2, 3] == [each.image for each in metrics.offenders(answers, found, most=9)]


def test_near_duplicates_count_once():
    """The one that was decided about first counts, whatever was decided."""
    images = drawn(["night", "day", "day", "night"], everything=True)
    found = truth(images)
    counted = sample(images, found, np.array([7, 7, 7, 9]))
    answers = said(found, ["day"] * 4)
    assert ("0/2", 2) == (str(metrics.precision(0, answers, found, counted)), counted.scenes)
    assert AllImages(images=4, tagged=4, right=2) == report.all_images(answers, found, counted)


def test_the_surest_mistakes_come_first():
    """By the probability of the tag less that of the true label, or of none of these."""
    images = [image(1, "night"), image(2, None), image(3, "day")]
    found = truth(images)
    answers = said(found, ["day", "day", "day"])
    answers.chance[1, 0] = 0.4
    first, second = metrics.offenders(answers, found, most=9)
    assert [(1, None), (0, "night")] == [(first.image, first.true), (second.image, second.true)]
    assert [0.8, 0.5] == pytest.approx([first.margin, second.margin])


def test_reliability_compares_probabilities_with_what_is_right():
    """Of the likeliest label, tag or not."""
    _, found, counted = everything(["day", "night", "day", "day"])
    answers = said(found, ["day", "day", None, "day"], 0.97)
    low, high = metrics.reliability(answers, found, counted)
    assert (0.0, 0.5, "1/1") == (low.low, low.high, str(low.right))
    assert (0.95, 0.99, "2/3") == (high.low, high.high, str(high.right))
    assert pytest.approx(0.97) == high.mean
    expected = (1 * 0.95 + 3 * (0.97 - 2 / 3)) / 4
    assert pytest.approx(expected, abs=1e-6) == metrics.calibration_error((low, high))
    assert None is metrics.calibration_error(())


@pytest.mark.parametrize(
    ("won", "lost", "better"), [(5, 0, 1 / 32), (7, 1, 9 / 256), (3, 0, 1 / 8), (0, 0, 1.0), (0, 3, 1.0)]
)
def test_the_sign_test_is_exact(won, lost, better):
    """5 to 0 and 7 to 1 are the least that prove a head."""
    found = metrics.sign_test(won, lost)
    assert pytest.approx(better) == found.better
    if won + lost:
        assert pytest.approx(binomtest(won, won + lost).pvalue) == found.differ


def test_methods_are_compared_where_both_are_known():
    """No tag is right where no label holds; an image of which only one label is rejected says nothing of others."""
    images = [*drawn(["day", "night", None], everything=True)]
    rejected = image(4, "day", draw=replace(DRAW, decision=4, everything=True), holds=False, whole=False)
    images.append(rejected)
    found = truth(images)
    counted = sample(images, found, np.arange(4))
    first, second = said(found, ["night", "night", "day", "day"]), said(found, ["day", None, None, "night"])
    test, known = report.against(first, second, found, counted)
    assert (2, 1, 3) == (test.won, test.lost, known)


def test_a_kind_counts_as_its_parent():
    """An image is right if every label that it has holds."""
    animals = Taxonomy(
        name="kinds",
        labels=(
            Label(name="animal", children=(Label(name="dog", prompts=("dog",)), Label(name="cat", prompts=("cat",)))),
        ),
    )
    base = image(1, "animal")
    answers = (base.answers[0], replace(base.answers[0], label="dog"))
    images = [replace(base, answers=answers), replace(base, id=2, answers=answers)]
    found = truth_of(animals, images)
    assert ("animal", "dog", "cat") == found.labels
    given = said(found, ["animal", "animal"])
    given.given[2, 1] = True
    outcomes = given.outcomes(found)
    assert [[True, False], [False, True]] == [outcomes.right.tolist(), outcomes.wrong.tolist()]


def test_labels_that_are_questions_of_their_own_have_no_total():
    """Only an answer about the label that an image was drawn for counts."""
    cat = image(1, "day", draw=DRAW, whole=False)
    both = replace(cat, answers=(*cat.answers, replace(cat.answers[0], label="night", draw=None, chosen="direct")))
    found = truth([both], THINGS)
    counted = sample([both], found, np.arange(1))
    answers = said(found, ["day"])
    assert (Design.ONE_BY_ONE, "1/1", "0/0") == (
        counted.design, str(metrics.precision(0, answers, found, counted)),
        str(metrics.precision(1, answers, found, counted)),
    )  # fmt: skip
    assert (None, None) == ((totals := report.across(answers, found, counted)).coverage, totals.accuracy)


@given(outcomes=st.lists(st.tuples(st.sampled_from(["day", "night", None]), st.sampled_from(["day", "night", None]))))
def test_tags_are_right_wrong_or_missing(outcomes):
    """Whatever images are drawn: the parts add up."""
    _, found, counted = everything([true for true, _ in outcomes])
    answers = said(found, [given for _, given in outcomes])
    result = answers.outcomes(found)
    assert (result.right | result.wrong | ~result.tagged).all()
    assert not (result.right & result.wrong).any()
    assert sum(
        each.images for each in report.confusion(answers, found, counted, drawn([t for t, _ in outcomes]))
    ) == len(outcomes)
