"""From people's decisions to thresholds in force that are proven."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tests.integration.pipeline.evaluation.reviews import (
    CAREFUL,
    RED,
    add_scenes,
    calibrated,
    draw,
    examine,
    imported,
    red_scenes,
    review,
    scenes,
    threshold_of,
)
from worker import catalog
from worker.catalog.decisions import Verdict
from worker.db import transaction
from worker.errors import ApplyingError, ChoiceError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.evaluation import proofs
from worker.pipeline.evaluation.calibrate import CalibrationRequest
from worker.pipeline.evaluation.messages import notes
from worker.pipeline.evaluation.shortfall import sentence
from worker.pipeline.review import plans
from worker.pipeline.review.decide import Seen
from worker.pipeline.taxonomies.changes import one_replaced
from worker.tagging import Calibration, Label


@pytest.fixture
def gallery(engine):
    """Many red scenes."""
    return red_scenes(engine)


def stored(gallery):
    return gallery.sql("SELECT id, label, threshold, reviewed, errors, look FROM certificates ORDER BY id")


def labels_of(gallery, request):
    return {each.label: each for each in examine(gallery, request).taxonomies[0].labels}


# -- from decisions to a label in force --------------------------------------------------------------------------------
def test_reviews_become_a_proven_threshold_in_force(gallery):
    """More images get the label, and the proof is where readers find it."""
    tagged = "SELECT count(*) FROM image_tags WHERE label = 'red'"
    [[before]] = gallery.sql(tagged)
    review(gallery, draw(gallery), 120)
    label, done = calibrated(gallery)
    assert (120, 120, 0, 0, 0.025) == (
        label.test.reviewed, label.test.accepted, label.test.errors, label.look, label.test.delta,
    )  # fmt: skip
    assert (True, True) == (done.is_new, done.changed > 0)
    assert label.test.threshold == pytest.approx(threshold_of(gallery))
    [[now]] = gallery.sql(tagged)
    assert now > before
    [[certificate, version]] = gallery.sql("SELECT certificate, version FROM certified_labels")
    assert (label.certificate, gallery.labels.now.tagger.taxonomies[0].version) == (certificate, version)


def test_looking_without_storing_changes_nothing(gallery):
    """A preview leaves no certificate, and no revision."""
    review(gallery, draw(gallery), 120)
    before = gallery.labels.follow().revision
    found = examine(gallery)
    assert found.taxonomies[0].changes
    assert 1 == len(gallery.plan_change(proofs.change(found)).taxonomies)
    assert ([], before) == (stored(gallery), gallery.labels.follow().revision)


def test_what_is_missing_is_said(gallery):
    """Reviews so far, how many are the least, and what waits in the plan; the refusal is kept."""
    review(gallery, draw(gallery), 26)
    label, done = calibrated(gallery)
    assert (None, None, 26) == (done, label.test.threshold, label.test.reviewed)
    assert (
        "0.95 cannot be proven yet: 26 pictures reviewed, none wrong; 72 without a mistake are the least "
        f"(about 142 if 1 in 100 is wrong, 312 if 2). {label.queued} more are queued"
    ) == sentence(label.missing, queued=label.queued)
    assert [(1, "red", None, 26, 0, 0)] == [tuple(each) for each in stored(gallery)]


def test_a_label_that_is_often_wrong_gets_a_stricter_threshold(gallery):
    """Where the least probable ones are wrong."""
    plan = draw(gallery)
    review(gallery, plan, 480, wrong=lambda _, item: (item.probability or 0.0) < 0.7)
    label, _ = calibrated(gallery)
    assert label.test.threshold >= 0.65
    assert (True, True) == (0 < label.test.coverage < 1, label.test.wrong > label.test.errors)


def test_where_nothing_helps_the_label_is_refused(gallery):
    """Every second one is wrong, however probable."""
    review(gallery, draw(gallery), 120, wrong=lambda number, _: number % 2 == 0)
    label, done = calibrated(gallery)
    assert (True, None) == (label.missing.is_hopeless, done)
    assert sentence(label.missing).startswith("refused: 60 of 120 wrong; no threshold reaches 0.95")


def test_a_repeated_run_changes_nothing(gallery):
    """Neither a certificate nor a revision is added."""
    review(gallery, draw(gallery), 130)
    first, _ = calibrated(gallery)
    revision = gallery.labels.follow().revision
    again, nothing = calibrated(gallery)
    assert (first.certificate, None, 1, revision) == (
        again.certificate, nothing, len(stored(gallery)), gallery.labels.follow().revision,
    )  # fmt: skip


def test_all_labels_together(gallery):
    """One threshold for all, from a plan about the whole taxonomy; but nothing about a label that no image had."""
    gallery.apply(replace(CAREFUL, labels=(*CAREFUL.labels, Label(name="violet"))))
    gallery.labels.follow()
    add_scenes(gallery, 400, seed=1, colour=None)
    review(gallery, draw(gallery, None), 120)
    label, _ = calibrated(gallery, CalibrationRequest(taxonomies=("colour",), pooled=True))
    assert (None, True, 120) == (label.label, label.test.is_proven, label.test.reviewed)
    every = {threshold_of(gallery, each) for each in ("red", "green", "blue")}
    assert 1 == len(every)
    certified = gallery.sql("SELECT label FROM certified_labels ORDER BY label")
    assert ["blue", "green", "red"] == [each.label for each in certified] == list(label.proves)
    assert "of other labels no reviewed picture was accepted" in " ".join(notes(label))


def test_labels_that_do_not_compete_cannot_be_pooled(gallery):
    """Each needs a threshold of its own."""
    gallery.apply(replace(CAREFUL, mode="multi-label"))
    with pytest.raises(ChoiceError, match="allows several labels"):
        examine(gallery, CalibrationRequest(taxonomies=("colour",), pooled=True))


def test_a_plan_about_everything_judges_each_label(gallery):
    """By the images whose best answer it is."""
    add_scenes(gallery, 300, seed=1, colour=1)
    review(gallery, draw(gallery, None), 240)
    found = labels_of(gallery, CalibrationRequest(taxonomies=("colour",)))
    assert {"red", "green", "blue"} == found.keys()
    assert 240 >= sum(each.test.reviewed for each in found.values()) > 200
    assert found["red"].test.is_proven


# -- which reviews count -----------------------------------------------------------------------------------------------
def test_reviews_beyond_the_last_look_wait(gallery):
    """They are not judged before the next look is complete."""
    plan = draw(gallery)
    review(gallery, plan, 131)
    label = labels_of(gallery, RED)["red"]
    assert (120, 11, 0) == (label.test.reviewed, label.waiting, label.look)
    review(gallery, plan, 109, wrong=lambda *_: True)
    label = labels_of(gallery, RED)["red"]
    assert (240, 0, 1, 109) == (label.test.reviewed, label.waiting, label.look, label.test.wrong)


def test_a_further_plan_goes_on_with_the_looks(gallery):
    """After one that failed: what it may spend is half of what was spent last."""
    first = draw(gallery)
    review(gallery, first, 120, wrong=lambda number, _: number % 8 == 0)
    assert not calibrated(gallery)[0].test.is_proven
    plans.close(gallery.engine, first.plan.id, reviewer="ada")
    second = draw(gallery, seed=2)
    review(gallery, second, 119)
    assert 0 == labels_of(gallery, RED)["red"].look
    review(gallery, second, 1)
    label, _ = calibrated(gallery)
    assert (1, 0.0125, 240, (first.plan.id, second.plan.id)) == (
        label.look, label.test.delta, label.test.reviewed, label.plans,
    )  # fmt: skip


def test_a_random_batch_without_a_plan_is_a_look(gallery):
    """As an import makes it. A small further one is none, and waits."""
    keys = sorted(gallery.written)
    imported(gallery, keys[:200])
    label = labels_of(gallery, RED)["red"]
    first = label.test.reviewed
    assert (0, ()) == (label.look, label.plans)
    assert 190 <= first <= 200
    imported(gallery, keys[200:220])
    label = labels_of(gallery, RED)["red"]
    assert (0, first) == (label.look, label.test.reviewed)
    assert label.waiting > 10
    imported(gallery, keys[220:400])
    assert 1 == labels_of(gallery, RED)["red"].look


def test_pictures_of_one_scene_count_once(gallery):
    """A hundred of them are one review."""
    keys = sorted(gallery.written)
    burst = {f"burst-{number}": gallery.written[keys[0]] for number in range(100)}
    gallery.write(burst, phash=7)
    imported(gallery, [*keys[:50], *burst])
    label = labels_of(gallery, RED)["red"]
    assert label.test.reviewed <= 50
    assert label.images >= 140


def test_only_random_images_count(gallery):
    """Not those that somebody came across."""
    for key in sorted(gallery.written)[:80]:
        gallery.says(key, Verdict.ACCEPT, "red")
    found = examine(gallery)
    assert (80, 0) == (found.taxonomies[0].reviewed, found.taxonomies[0].labels[0].test.reviewed)


def test_an_image_without_an_answer_about_the_label_is_left_out(gallery):
    """That it is not green says nothing about red."""
    keys = sorted(gallery.written)
    imported(gallery, keys[:80])
    imported(gallery, keys[80:160], wrong=keys, label="green")
    assert labels_of(gallery, RED)["red"].test.reviewed <= 80


def test_images_that_older_prompts_gave_the_label_to_are_left_out(gallery):
    """A client that asks for random images with a label, without a plan, is shown what has it then."""
    keys, [now] = sorted(gallery.written), gallery.labels.now.tagger.taxonomies
    imported(gallery, keys[:80], seen=Seen(label="red", version=now.version, space=gallery.space.id))
    imported(gallery, keys[80:200], seen=Seen(label="red", version="0123456789abcdef", space=gallery.space.id))
    found = labels_of(gallery, RED)["red"]
    assert 70 <= found.images + found.waiting <= 80
    gallery.change(one_replaced(replace(now, calibration=Calibration(threshold=0.8, temperature=1.0))))
    assert found.images == labels_of(gallery, RED)["red"].images  # probabilities are the same
    gallery.change(one_replaced(replace(now, calibration=Calibration(threshold=0.8, temperature=2.0))))
    assert 0 == labels_of(gallery, RED)["red"].images


def test_names_are_checked(gallery):
    """Unknown ones, a label without its taxonomy, and shares that prove nothing."""
    with pytest.raises(UnknownNameError, match="colour"):
        examine(gallery, CalibrationRequest(taxonomies=("color",)))
    with pytest.raises(UnknownNameError, match="red"):
        examine(gallery, replace(RED, label="rad"))
    for wrong in (replace(RED, taxonomies=()), replace(RED, target=1.0), replace(RED, pooled=True)):
        with pytest.raises(ChoiceError):
            examine(gallery, wrong)


# -- what happens later ------------------------------------------------------------------------------------------------
def test_a_later_look_may_end_a_proof(gallery):
    """The threshold of the file is in force again."""
    plan = draw(gallery)
    review(gallery, plan, 120)
    first, _ = calibrated(gallery)
    review(gallery, plan, 120, wrong=lambda number, _: number % 3 == 0)
    label, done = calibrated(gallery)
    assert (first.certificate, None) == (label.lost.id, label.stands)
    assert done.is_new
    assert 0.9 == pytest.approx(threshold_of(gallery))
    assert {} == gallery.labels.now.tagger.taxonomies[0].learned


def test_a_proof_stands_if_a_higher_precision_is_not_proven(gallery):
    """Asking for more takes nothing away."""
    review(gallery, draw(gallery), 120)
    first, _ = calibrated(gallery)
    label, done = calibrated(gallery, replace(RED, target=0.99))
    assert (first.certificate, None, None) == (label.stands.id, label.lost, done)


def test_a_looser_target_does_not_replace_a_stricter_proof(gallery):
    """Unless the images of the look refute it."""
    plan = draw(gallery)
    review(gallery, plan, 120)
    first, _ = calibrated(gallery)
    before = threshold_of(gallery)
    label, done = calibrated(gallery, replace(RED, target=0.9))
    assert (True, None, None) == (label.test.is_proven, label.lost, done)
    assert [f"certificate {first.certificate} proves 0.95 for red already: it stays"] == list(notes(label))
    assert before == threshold_of(gallery)
    review(gallery, plan, 360, wrong=lambda number, _: number < 120 and number % 3 == 0)
    label, done = calibrated(gallery, replace(RED, target=0.8))
    assert (True, {}, True) == (label.test.is_proven, label.kept, done.is_new)
    assert 0.8 == gallery.labels.follow().tagger.taxonomies[0].learned_in(gallery.space.id).proofs["red"].precision


def test_less_than_the_target_of_the_file_is_refused(gallery):
    """Labels would stay suggestions."""
    gallery.apply(replace(CAREFUL, target_precision=0.95))
    with pytest.raises(ChoiceError, match="would stay suggestions"):
        examine(gallery, replace(RED, target=0.9))
    assert 0.98 == examine(gallery, replace(RED, target=0.98)).taxonomies[0].target


def test_a_proof_of_all_labels_together_is_not_ended_by_one(gallery):
    """A look at one label says nothing about it; a proof of the label may take its place."""
    every = CalibrationRequest(taxonomies=("colour",))
    keys, blue = sorted(gallery.written), add_scenes(gallery, 100, seed=3, colour=2)
    imported(gallery, keys[:300])
    pooled, _ = calibrated(gallery, replace(every, pooled=True))
    assert pooled.test.is_proven
    imported(gallery, blue, wrong=blue[::4], label="blue")
    found = proofs.store(gallery.engine, examine(gallery, every), made_by="ada@here")
    own = {each.label: each for each in found.taxonomies[0].labels}
    assert (False, None) == (own["blue"].test.is_proven, own["blue"].lost)
    assert own["red"].test.is_proven
    gallery.change(proofs.change(found), planned=found.revision)
    now = gallery.labels.follow().tagger.taxonomies[0].learned_in(gallery.space.id).proofs
    assert {"red": own["red"].certificate, "blue": pooled.certificate} == {
        label: each.certificate
        for label, each in now.items()  # no image was green
    }
    with transaction(gallery.engine) as connection:
        catalog.certificates.expire(connection, pooled.certificate, because="a test says so")
    calibrated(gallery, replace(every, label="blue"))
    now = gallery.labels.follow().tagger.taxonomies[0].learned_in(gallery.space.id).proofs
    assert {"red"} == now.keys()


def test_a_threshold_of_the_file_may_change(gallery):
    """The proof is about probabilities, and goes on; with other prompts it does not."""
    review(gallery, draw(gallery), 120)
    label, _ = calibrated(gallery)
    gallery.apply(replace(CAREFUL, calibration=Calibration(threshold=0.8, temperature=1.0)))
    assert label.test.threshold == pytest.approx(threshold_of(gallery))
    assert (None, 1) == (calibrated(gallery)[1], len(stored(gallery)))
    red, *others = CAREFUL.labels
    gallery.apply(replace(CAREFUL, labels=(replace(red, prompts=("red", "blue")), *others)))
    assert 0.9 == pytest.approx(threshold_of(gallery))


def test_what_refutes_all_labels_together_refutes_the_reviews_of_each(gallery):
    """Reviews from before count for none of them any more, and the other way round."""
    keys, pooled = sorted(gallery.written), CalibrationRequest(taxonomies=("colour",), pooled=True)
    for request, other, some in ((pooled, RED, keys[:150]), (RED, pooled, keys[150:300])):
        imported(gallery, some)
        assert examine(gallery, other).taxonomies[0].labels[0].images > 100
        label, _ = calibrated(gallery, request)
        assert label.test.is_proven
        with transaction(gallery.engine) as connection:
            catalog.certificates.expire(connection, label.certificate, because="a test says so")
        assert 0 == examine(gallery, other).taxonomies[0].labels[0].images


# -- interruptions -----------------------------------------------------------------------------------------------------
def test_a_run_that_was_killed_is_repeated(gallery):
    """After the certificates were stored, and in the middle of tagging: the next run goes on."""
    review(gallery, draw(gallery), 120)
    found = proofs.store(gallery.engine, examine(gallery), made_by="ada@here")

    def kill(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.change(proofs.change(found), planned=found.revision, progress=kill)
    label, done = calibrated(gallery)
    assert (1, None) == (label.certificate, done)  # the thresholds are in force
    again = proofs.store(gallery.engine, examine(gallery), made_by="ada@here")
    assert gallery.plan_change(proofs.change(again)).unfinished
    finished = gallery.change(proofs.change(again), planned=again.revision)
    assert (False, False) == (finished.is_new, gallery.plan_change(proofs.change(again)).unfinished)


def test_of_two_at_once_one_is_in_force(gallery):
    """The others are refused, or find nothing to do."""
    review(gallery, draw(gallery), 120)
    with ThreadPoolExecutor(4) as pool:
        every = [pool.submit(calibrated, gallery) for _ in range(4)]
    failed = [each.exception() for each in every if each.exception()]
    assert {ApplyingError} >= {type(each) for each in failed}
    assert len(failed) < 4
    [[newest]] = gallery.sql("SELECT max(id) FROM taxonomy_revisions")
    assert 2 == newest
    assert threshold_of(gallery) < 0.9


def test_a_change_in_between_is_refused(gallery):
    """Another revision was put into force since the reviews were examined."""
    review(gallery, draw(gallery), 120)
    found = proofs.store(gallery.engine, examine(gallery), made_by="ada@here")
    gallery.apply(replace(CAREFUL, calibration=Calibration(threshold=0.8, temperature=2.0)))
    with pytest.raises(ApplyingError, match="put into force since the plan was made"):
        gallery.change(proofs.change(found), planned=found.revision)
    with pytest.raises(ChoiceError, match="scores images differently"):
        gallery.change(proofs.change(found))


def test_scenes_differ():
    """What these tests rest on: no two images of the collection are near-duplicates."""
    made = scenes(300)
    assert 0 == (np.tril(made @ made.T, -1) > 0.97).sum()
