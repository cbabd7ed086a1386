"""`enrich evaluate` measures a head by images that it was not learned from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.pipeline.learning.lessons import SEVERAL, Lessons, lessons, truths
from worker.catalog.decisions import Verdict
from worker.db import Engine
from worker.pipeline.evaluation.evaluate import EvaluationRequest, evaluate
from worker.pipeline.evaluation.report import TaxonomyReport
from worker.pipeline.learning.held_out import held_out


def measured(made: Lessons, request: EvaluationRequest) -> TaxonomyReport:
    made.labels.follow()
    [found] = evaluate(made.engine, made.build, request).taxonomies
    return found


def test_a_head_is_measured_out_of_fold(engine: Engine):
    """On what it was learned from it looks better than it is; the sign test is that of `enrich learn`."""
    made = lessons(engine)
    pictures = made.fill(300)
    made.teach(truths(pictures, keys=list(pictures)[:90]))
    learning = made.learn()
    made.promote(learning)
    seen = measured(made, EvaluationRequest())
    unseen_by_it = measured(made, EvaluationRequest(cross_validate=held_out))
    zero, head = unseen_by_it.methods
    assert ("zero-shot", f"in force: head {learning.head.number}") == (zero.method, head.method)
    assert "out of fold" in head.note
    assert "perhaps on some of them" in seen.note
    assert head.against_first is not None
    assert head.accuracy is not None
    assert seen.accuracy is not None
    assert (seen.accuracy.share or 0) >= (head.accuracy.share or 0)
    assert head.against_first.won > head.against_first.lost + 5
    assert head.against_first.better < 0.001
    unseen = {key: label for key, label in truths(pictures).items() if key not in list(pictures)[:90]}
    right = [label for key, label in unseen.items() if {("colour", label)} == made.seen().get(key)]
    tagged = [key for key in unseen if made.seen().get(key)]
    assert pytest.approx(len(right) / len(tagged), abs=0.12) == head.accuracy.share


def test_labels_that_are_decided_one_by_one_are_measured_out_of_fold(engine: Engine):
    """Each against its rival."""
    made = lessons(engine, replace(SEVERAL))
    pictures = made.fill(200)
    known = truths(pictures, keys=list(pictures)[:90])
    made.teach(known, verdict=Verdict.ACCEPT)
    for other in ("red", "green", "blue"):
        made.teach({key: other for key, label in known.items() if label != other}, verdict=Verdict.REJECT)
    made.promote(made.learn())
    found = measured(made, EvaluationRequest(cross_validate=held_out))
    assert "out of fold" in found.methods[-1].note
    assert found.methods[-1].against_first is not None
    assert found.methods[-1].against_first.won > found.methods[-1].against_first.lost
    assert "one-by-one" == found.design
