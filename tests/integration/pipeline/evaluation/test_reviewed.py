"""Which decisions evaluation reads, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tests.integration.pipeline.review.gallery import Gallery
from tests.integration.pipeline.taxonomies.archive import COLOUR, WARM
from tests.ledger import BUCKET, ref
from worker.catalog.decisions import Chosen, Verdict
from worker.catalog.reviewed_images import ReviewedImage
from worker.db import snapshot
from worker.pipeline.evaluation.reviewed import Reviewed, reviewed, scores
from worker.pipeline.review import decide, plans, undo
from worker.pipeline.review.decide import DecisionRequest
from worker.pipeline.review.frames import PlanRequest
from worker.pipeline.review.plans import PlanState
from worker.pipeline.review.queues import Queue, QueueItem
from worker.tagging import Taxonomy

LABELS = ("red", "green", "blue")


def read(gallery: Gallery, **options: int) -> Reviewed:
    with snapshot(gallery.engine) as connection:
        return reviewed(connection, gallery.space, "colour", **options)


def by_key(found: Reviewed) -> Mapping[str, ReviewedImage]:
    return {each.ref.key: each for each in found.images}


def truths(image: ReviewedImage) -> list[bool | None]:
    return [image.truth(label) for label in LABELS]


def planned(gallery: Gallery, label: str | None = "red", size: int = 8) -> tuple[PlanState, list[QueueItem]]:
    request = PlanRequest(queue=Queue.RANDOM, taxonomy="colour", label=label, size=size, seed=3)
    made = plans.create(gallery.queues, request, reviewer="ada")
    return made, plans.following(gallery.engine, made.plan.id, reviewer="ada", limit=size)


def test_verdicts_say_what_holds(gallery: Gallery):
    """An answer says it of all labels, a rejection of one; who cannot tell says nothing."""
    keys = list(gallery.written)[:5]
    for key, (verdict, label) in zip(
        keys,
        [(Verdict.ACCEPT, "red"), (Verdict.REJECT, "red"), (Verdict.NONE, None), (Verdict.UNSURE, None)],
        strict=False,
    ):
        gallery.says(key, verdict, label)
    found = by_key(read(gallery))
    assert set(keys[:3]) == set(found)
    assert [True, False, False] == truths(found[keys[0]])
    assert [False, None, None] == truths(found[keys[1]])
    assert [False, False, False] == truths(found[keys[2]])
    assert [True, False, True] == [found[key].whole for key in keys[:3]]
    assert ["direct"] == [each.chosen for each in found[keys[0]].answers]
    assert {None} == {each.draw for image in found.values() for each in image.answers}


def test_what_stands_counts(gallery: Gallery):
    """Not what was undone, withdrawn, or said before; nor what was said about other bytes."""
    undone, corrected, withdrawn, overwritten = list(gallery.written)[:4]
    for key in (undone, corrected, withdrawn, overwritten):
        gallery.says(key, Verdict.ACCEPT, "red")
    [decision] = by_key(read(gallery))[undone].answers
    undo.undo_some(gallery.engine, [decision.decision], reviewer="eve")
    gallery.says(corrected, Verdict.ACCEPT, "blue")
    gallery.says(withdrawn, Verdict.WITHDRAW)
    gallery.write({overwritten: gallery.written[overwritten]}, salt="other")
    found = by_key(read(gallery))
    assert {corrected} == set(found)
    assert [False, False, True] == truths(found[corrected])
    gallery.write({overwritten: gallery.written[overwritten]})
    assert {corrected, overwritten} == set(by_key(read(gallery)))


def test_a_draw_is_known_with_its_plan(gallery: Gallery):
    """With what was asked, and with what probability the image was drawn; other images were not drawn."""
    made, items = planned(gallery)
    for item in items[:3]:
        gallery.decide(item, Verdict.ACCEPT, "red")
    other = next(key for key in gallery.written if key not in {each.ref.key for each in items})
    gallery.says(other, Verdict.ACCEPT, "red", Chosen.UNCERTAIN)
    found = by_key(read(gallery))
    for item in items[:3]:
        [answer] = found[item.ref.key].answers
        assert answer.draw is not None
        assert (made.plan.id, item.place, "red", item.given, False, 8, made.plan.scoring) == (
            answer.draw.plan, answer.draw.place, answer.draw.asked, answer.draw.given, answer.draw.everything,
            answer.draw.frame, answer.draw.scoring,
        )  # fmt: skip
        assert pytest.approx(item.inclusion_probability) == answer.draw.probability
    [answer] = found[other].answers
    assert (None, "uncertain") == (answer.draw, answer.chosen)


def test_a_draw_stays_one_when_its_answer_is_corrected(gallery: Gallery):
    """Whatever the correction says, and however it came about; the last answer of somebody who looked counts."""
    _, items = planned(gallery)
    accepted, rejected, replaced, unsure, undone = items[:5]
    gallery.decide(accepted, Verdict.ACCEPT, "red")
    gallery.says(accepted.ref.key, Verdict.ACCEPT, "blue")
    gallery.decide(rejected, Verdict.REJECT, "red")
    gallery.says(rejected.ref.key, Verdict.ACCEPT, "green")
    gallery.decide(replaced, Verdict.REPLACE, "blue")
    gallery.says(replaced.ref.key, Verdict.NONE, chosen=Chosen.BULK)
    gallery.decide(unsure, Verdict.UNSURE)
    gallery.says(unsure.ref.key, Verdict.ACCEPT, "red")
    done = gallery.decide(undone, Verdict.ACCEPT, "red").results[0]
    assert done.decision is not None
    undo.undo_some(gallery.engine, [done.decision], reviewer="eve")
    gallery.says(undone.ref.key, Verdict.ACCEPT, "red")
    found = by_key(read(gallery))
    assert [False, False, True] == truths(found[accepted.ref.key])
    assert [False, True, False] == truths(found[rejected.ref.key])
    assert [False, False, True] == truths(found[replaced.ref.key])  # as before the answer in bulk
    for each in (accepted, rejected, replaced, unsure):
        assert {True} == {answer.draw is not None for answer in found[each.ref.key].answers}, each
    assert [None] == [answer.draw for answer in found[undone.ref.key].answers]


def test_answers_in_bulk_do_not_turn_what_a_review_found(gallery: Gallery):
    """Rejections of a random sample go on counting when somebody accepts a whole folder."""
    _, items = planned(gallery)
    rejected, none, confirmed, unsure = items[:4]
    gallery.decide(rejected, Verdict.REJECT, "red")
    gallery.decide(none, Verdict.NONE)
    gallery.decide(confirmed, Verdict.ACCEPT, "red")
    gallery.decide(unsure, Verdict.UNSURE)
    for each in (rejected, none, unsure):
        gallery.says(each.ref.key, Verdict.ACCEPT, "red", Chosen.BULK)
    found = by_key(read(gallery))
    assert [False, None, None] == truths(found[rejected.ref.key])
    assert [False, False, False] == truths(found[none.ref.key])
    assert [True, False, False] == truths(found[confirmed.ref.key])
    for each in (rejected, none, confirmed):
        [answer] = found[each.ref.key].answers
        assert ("random", True) == (answer.chosen, answer.draw is not None)
    [answer] = found[unsure.ref.key].answers
    assert ("bulk", None) == (answer.chosen, answer.draw)  # nobody who looked could tell


def test_a_draw_belongs_to_the_bytes_that_were_drawn(gallery: Gallery):
    """An answer about other bytes of the same key says nothing about the plan."""
    made, items = planned(gallery)
    gallery.write({items[0].ref.key: gallery.written[items[0].ref.key]}, salt="other")
    gallery.says(items[0].ref.key, Verdict.ACCEPT, "red")
    [answer] = by_key(read(gallery))[items[0].ref.key].answers
    assert None is answer.draw
    assert "changed" == plans.items(gallery.engine, made.plan.id)[0].state


def test_a_plan_about_the_whole_taxonomy_is_known(gallery: Gallery):
    """It is a sample of everything, whichever label an item asks about."""
    _, items = planned(gallery, None)
    for item in items:
        gallery.decide(item, Verdict.ACCEPT, item.label)
    found = by_key(read(gallery))
    draws = [answer.draw for image in found.values() for answer in image.answers]
    assert [True] * 8 == [each is not None and each.everything for each in draws]


def test_images_without_a_vector_are_counted(gallery: Gallery):
    """They are decided about, and cannot be measured; nor are the oldest of very many."""
    keys = list(gallery.written)[:6]
    for key in keys:
        gallery.says(key, Verdict.ACCEPT, "red")
    gallery.sql(
        f"DELETE FROM embeddings_{gallery.space.id} WHERE image_id IN (SELECT id FROM images WHERE key = '{keys[0]}')"
    )
    found = read(gallery)
    assert (6, set(keys[1:])) == (found.total, set(by_key(found)))
    assert (6, set(keys[4:])) == ((some := read(gallery, most=2)).total, set(by_key(some)))


def test_vectors_and_scores_are_those_of_the_images(gallery: Gallery):
    """In their order; the scores are what the tagger decides by."""
    for key in list(gallery.written)[:40]:
        gallery.says(key, Verdict.ACCEPT, "red")
    found = read(gallery)
    expected = np.stack([gallery.written[each.ref.key] for each in found.images])
    np.testing.assert_allclose(expected, found.vectors, atol=1e-3)
    taxonomy: Taxonomy = gallery.labels.now.tagger.taxonomies[0]
    scored = scores(gallery.build(gallery.space, [taxonomy]), found.vectors)
    [decided] = gallery.labels.now.tagger.decide(found.vectors)
    held = {
        (image, decided.labels[label]) for image, label in zip(decided.images, decided.label, strict=True) if label >= 0
    }
    assert held == {(image, scored.labels[row]) for row, image in zip(*np.nonzero(scored.holds), strict=True)}
    assert (3, 0) == scores(gallery.build(gallery.space, [taxonomy]), found.vectors[:0]).probability.shape


def test_near_duplicates_are_one_scene(gallery: Gallery):
    """The same at every call."""
    vector = next(iter(gallery.written.values()))
    gallery.write({f"burst-{n}": vector for n in range(5)}, phash=7)
    for n in range(5):
        gallery.says(f"burst-{n}", Verdict.ACCEPT, "red")
    found = read(gallery)
    assert {BUCKET} == {each.ref.bucket for each in found.images}
    assert [0] * 5 == found.scenes.tolist()
    assert ref("burst-0") == found.images[0].ref


def test_images_that_do_not_meet_the_condition_are_left_out(gallery: Gallery):
    """What a taxonomy is not asked about cannot judge it; another taxonomy may change that."""
    gallery.apply(COLOUR, WARM)
    colours = {key: {label for taxonomy, label in its if taxonomy == "colour"} for key, its in gallery.seen().items()}
    red = next(key for key, its in colours.items() if its == {"red"})
    green = next(key for key, its in colours.items() if its == {"green"})
    said = [DecisionRequest(ref=ref(key), taxonomy="warmth", verdict=Verdict.NONE) for key in (red, green)]
    decide.decide(gallery.engine, said, reviewer="eve")
    with snapshot(gallery.engine) as connection:
        found = reviewed(connection, gallery.space, "warmth")
    assert (2, [red]) == (found.total, [each.ref.key for each in found.images])
