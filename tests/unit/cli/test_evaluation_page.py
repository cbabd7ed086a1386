"""The page and the sentences of an evaluation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from tests.pictures import picture
from tests.unit.pipeline.evaluation.made import LIGHT, drawn, image, said, truth
from worker.cli import evaluation_page
from worker.cli import evaluation_text as say
from worker.pipeline.evaluation import metrics, report
from worker.pipeline.evaluation.report import Evaluation, TaxonomyReport
from worker.pipeline.evaluation.sample import sample
from worker.types import ObjectRef

ODD = "</figcaption><script>alert(1)</script>.jpg"


def taxonomy() -> TaxonomyReport:
    """Six images that were drawn, two that were not, and one mistake with an odd name."""
    images = drawn(["day", "day", "night", "night", "night", None], everything=True)
    images[2] = replace(images[2], ref=ObjectRef(bucket="photos", key=ODD))
    images += [image(7, "day", chosen="bulk"), image(8, "day", chosen="uncertain")]
    found = truth(images)
    counted = sample(images, found, np.arange(8))
    answers = said(found, ["day", "day", "day", "night", None, None, "day", "day"])
    totals = report.across(answers, found, counted)
    bins = metrics.reliability(answers, found, counted)
    return TaxonomyReport(
        taxonomy="light", version=LIGHT.version, space=2, model="some/clip", method="zero-shot", note="",
        design=counted.design, decided=9, measured=8, drawn=6, scenes=counted.scenes, left_out=counted.left_out,
        asked=(), coverage=totals.coverage, accuracy=totals.accuracy,
        all_images=report.all_images(answers, found, counted),
        labels=report.labels(answers, found, counted, thresholds={"day": 0.5}, suggested=frozenset({"night"})),
        reliability=bins, calibration_error=metrics.calibration_error(bins),
        confusion=report.confusion(answers, found, counted, images), worst=report.worst(answers, found, images),
        methods=(),
    )  # fmt: skip


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation(
        made_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        last_decision=8,
        spaces=(2,),
        file=None,
        taxonomies=(taxonomy(),),
    )


def test_the_page_loads_and_runs_nothing(evaluation):
    """Pictures are data; names are text, whatever is in them."""
    shown = evaluation_page.pictures(evaluation, most=80)
    page = evaluation_page.page(evaluation, {f"{each.bucket}/{each.key}": picture(kind="WEBP") for each in shown})
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert all(each not in page for each in ("<script", "http://", "https://", "@import", "url("))
    assert "&lt;script&gt;alert(1)" in page
    assert page.count('src="data:image/webp;base64,') == page.count("<img ") > 0


def test_the_page_says_what_was_measured(evaluation):
    """With coverage beside accuracy, a diagram that is readable without eyes, and pictures of mistakes."""
    page = evaluation_page.page(evaluation, {})
    assert "decisions up to 8" in page
    assert "6 of 9 images drawn at random: 6 scenes" in page
    assert "not counted: 1 decided in bulk, 1 chosen by uncertainty" in page
    assert "1 image not measured: no vector in space 2" in page
    assert page.index("have a tag (coverage)") < page.index("of these are right (accuracy)")
    assert 'role="img" aria-label="Reliability: ' in page
    assert "<td class='n wrong'>1</td>" in page
    assert "suggested only" in page
    assert "no picture: the page has its limit" in page


def test_few_pictures_are_embedded(evaluation):
    """At most so many, of all taxonomies together."""
    many = replace(evaluation, taxonomies=evaluation.taxonomies * 3)
    assert len(evaluation_page.pictures(many, most=3)) <= 12


def test_without_a_random_draw_nothing_is_estimated():
    """And what to do is said."""
    none = replace(taxonomy(), drawn=0, scenes=0, left_out={"direct": 9}, coverage=None, accuracy=None, all_images=None)
    first, second, *_ = say.how(none)
    assert "nothing can be estimated: `enrich review light LABEL` draws some" in first
    assert "not counted: 9 picked by a person" == second
    assert "" == say.totals(none)
