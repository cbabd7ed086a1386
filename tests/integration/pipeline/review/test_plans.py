"""Review plans: frames that are fixed, and what becomes of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.integration.pipeline.review.gallery import CAUTIOUS, Gallery, answered
from tests.integration.pipeline.review.test_queues import standing
from worker.catalog.decisions import Chosen, Verdict
from worker.errors import ChoiceError, NotFoundError
from worker.pipeline.review import plans
from worker.pipeline.review.frames import PlanRequest
from worker.pipeline.review.plans import PlanOpenError, PlanState
from worker.pipeline.review.queues import Queue
from worker.tagging import Calibration

RED = PlanRequest(queue=Queue.RANDOM, taxonomy="colour", label="red", target=0.9)


def create(gallery: Gallery, request: PlanRequest = RED) -> PlanState:
    return plans.create(gallery.queues, request, reviewer="ada")


def frame(gallery: Gallery, number: int) -> list[tuple[str, float | None]]:
    return [(each.key, each.inclusion_probability) for each in plans.items(gallery.engine, number)]


def following(gallery: Gallery, made: PlanState, count: int, reviewer: str = "ada"):
    return plans.following(gallery.engine, made.plan.id, reviewer=reviewer, limit=count)


def test_a_frame_is_fixed(gallery):
    """What is uploaded, retagged or decided later changes nothing in it, not even its order."""
    made = create(gallery)
    before = frame(gallery, made.plan.id)
    given, near = standing(gallery, "red")
    assert set(dict(before)) <= given | near
    assert [made.plan.frame_size] == [len(before)]
    gallery.add(100, seed=4)
    gallery.apply(replace(CAUTIOUS, calibration=Calibration(threshold=0.5)))
    gallery.says(before[0][0], Verdict.REPLACE, "blue")
    assert before == frame(gallery, made.plan.id)
    assert plans.get(gallery.engine, made.plan.id).outdated


def test_a_frame_stands_for_all_images(gallery):
    """One of each group that look alike, whose probabilities add up to all."""
    given, near = standing(gallery, "red")
    made = create(gallery)
    items = plans.items(gallery.engine, made.plan.id)
    assert (len(given | near), True) == (made.plan.population, made.plan.exact)
    assert made.plan.frame_size < made.plan.drawn == len(given | near)  # some of so many colours are alike
    assert made.plan.drawn == sum(each.alike for each in items)
    assert pytest.approx(made.plan.population) == sum(1 / (each.inclusion_probability or 0) for each in items)


def test_a_batch_upload_of_one_scene_is_one_item(gallery):
    """However many there are."""
    red = next(iter(standing(gallery, "red")[0]))
    gallery.write({f"burst-{n}": gallery.written[red] for n in range(200)}, phash=7)
    items = plans.items(gallery.engine, create(gallery).plan.id)
    assert sum(each.key.startswith("burst-") or each.key == red for each in items) <= 1
    assert max(each.alike for each in items) >= 150


def test_a_second_draw_is_refused_while_one_is_open(gallery):
    """Until it is closed, which is kept with who did it and why."""
    first = create(gallery)
    with pytest.raises(PlanOpenError, match=rf"plan {first.plan.id} for colour=red is open, with .* close it first"):
        create(gallery, replace(RED, target=0.95))
    create(gallery, replace(RED, label="blue"))
    closed = plans.close(gallery.engine, first.plan.id, reviewer="eve", reason="too large")
    assert ("eve", "too large") == (closed.plan.closed_by, closed.plan.closed_because)
    with pytest.raises(ChoiceError, match="was closed by eve before"):
        plans.close(gallery.engine, first.plan.id, reviewer="ada")
    second = create(gallery)
    assert [second.plan.id, second.plan.id - 1, first.plan.id] == [
        each.plan.id for each in plans.plans(gallery.engine, taxonomies=["colour"])
    ]
    with pytest.raises(ChoiceError, match="closed by eve"):
        following(gallery, first, 1)


def test_of_two_draws_at_once_one_is_kept(gallery):
    """Also if both looked before either was there."""
    with ThreadPoolExecutor(6) as pool:
        every = [pool.submit(create, gallery) for _ in range(6)]
    failed = [each.exception() for each in every if each.exception()]
    assert ([PlanOpenError] * 5, 1) == ([type(each) for each in failed], len(plans.plans(gallery.engine)))


def test_images_scored_otherwise_may_be_planned_anew(gallery):
    """What was proven of other probabilities says nothing of these."""
    made = create(gallery)
    gallery.apply(replace(CAUTIOUS, calibration=Calibration(threshold=0.9, temperature=2)))
    assert made.plan.scoring != create(gallery).plan.scoring


def test_another_threshold_is_no_reason_for_a_second_plan(gallery):
    """The images are scored as before, so that what was reviewed of them still counts."""
    create(gallery)
    gallery.apply(replace(CAUTIOUS, calibration=Calibration(threshold=0.8, temperature=3)))
    with pytest.raises(PlanOpenError):
        create(gallery)


def test_verdicts_are_counted(gallery):
    """Right and wrong are about the label that was asked; what people cannot tell is neither."""
    made = create(gallery, replace(RED, size=6))
    items = following(gallery, made, 10)
    for item, (verdict, label) in zip(items, [
        (Verdict.ACCEPT, "red"), (Verdict.REJECT, "red"), (Verdict.REPLACE, "blue"), (Verdict.NONE, None),
        (Verdict.UNSURE, None),
    ], strict=False):  # fmt: skip
        assert "saved" == gallery.decide(item, verdict, label).results[0].outcome
    state = plans.get(gallery.engine, made.plan.id)
    assert (5, 1, 3, 1, 1, 0) == (
        state.reviewed, state.right, state.wrong, state.unsure, state.remaining, state.look,
    )  # fmt: skip
    [decided] = gallery.sql("SELECT count(*), count(DISTINCT inclusion_probability), min(chosen) FROM decisions")
    assert (5, "random") == (decided[0], decided[2])
    gallery.decide(items[5], Verdict.ACCEPT, "red")
    assert 1 == plans.get(gallery.engine, made.plan.id).look


def test_looks_are_planned(gallery):
    """After the first batch, after twice as many, and after twice as many again; each may spend half as much."""
    gallery.add(3_000, seed=5)
    made = create(gallery, replace(RED, target=0.8, seed=1))
    assert (30, 60, 120) == made.plan.looks
    assert [0.025, 0.0125, 0.00625] == pytest.approx([each.delta for each in made.looks])
    for item in following(gallery, made, 60):
        gallery.decide(item, Verdict.ACCEPT, "red")
    state = plans.get(gallery.engine, made.plan.id)
    assert (2, [30, 60, 60]) == (state.look, [each.right for each in state.looks])


def test_an_undone_or_withdrawn_decision_is_asked_for_again(gallery):
    """And a correction in another place counts instead of the first answer."""
    made = create(gallery, replace(RED, size=4))
    first, second, third, _ = following(gallery, made, 4)
    for item in (first, second, third):
        gallery.decide(item, Verdict.ACCEPT, "red")
    gallery.sql(
        "INSERT INTO decisions (bucket, key, sha256, taxonomy, verdict, adds, removes, answers, undoes, reviewer) "
        "SELECT bucket, key, sha256, taxonomy, 'undo', '{}', '{}', false, id, 'eve' FROM decisions WHERE key = :key",
        key=first.ref.key,
    )
    gallery.says(second.ref.key, Verdict.WITHDRAW)
    gallery.says(third.ref.key, Verdict.REPLACE, "blue")
    states = [each.state for each in plans.items(gallery.engine, made.plan.id)]
    assert ["open", "open", "wrong", "open"] == states


def test_decisions_that_were_not_asked_for_by_the_plan_do_not_count(gallery):
    """They were made for other reasons, or without looking at each: the image is asked about all the same."""
    made = create(gallery, replace(RED, size=2))
    first, second = plans.items(gallery.engine, made.plan.id)
    gallery.says(first.key, Verdict.ACCEPT, "red", chosen=Chosen.BULK)
    gallery.says(second.key, Verdict.ACCEPT, "red")
    assert ["open", "open"] == [each.state for each in plans.items(gallery.engine, made.plan.id)]
    asked = following(gallery, made, 2)
    assert [first.key, second.key] == [each.ref.key for each in asked]
    assert "saved" == gallery.decide(asked[0], Verdict.REJECT, "red").results[0].outcome
    assert ["wrong", "open"] == [each.state for each in plans.items(gallery.engine, made.plan.id)]


def test_other_bytes_and_deleted_images_are_not_counted(gallery):
    """They are shown as what they are, and nobody is asked about them; bytes that come back are."""
    made = create(gallery, replace(RED, size=4))
    first, second, third, fourth = plans.items(gallery.engine, made.plan.id)
    gallery.write({first.key: gallery.written[first.key]}, salt="other")
    gallery.sql("DELETE FROM images WHERE key = :key", key=second.key)
    assert [third.key, fourth.key] == [each.ref.key for each in following(gallery, made, 4)]
    for item in following(gallery, made, 4):
        gallery.decide(item, Verdict.ACCEPT, "red")
    state = plans.get(gallery.engine, made.plan.id)
    assert (2, 1, 1, 0, 1) == (state.reviewed, state.changed, state.gone, state.remaining, state.look)
    assert (2, 2) == (state.looks[0].right, state.looks[0].left_out)
    gallery.write({first.key: gallery.written[first.key]})
    assert 1 == plans.get(gallery.engine, made.plan.id).remaining


def test_two_reviewers_get_different_items(gallery):
    """At once; what one holds the other is not asked about, until it is given back."""
    made = create(gallery, replace(RED, size=40))
    names = [f"reviewer {n}" for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda name: following(gallery, made, 5, name), names))
    places = [each.place for part in parts for each in part]
    assert (40, 40) == (len(places), len(set(places)))
    assert [] == following(gallery, made, 5)
    again = following(gallery, made, 5, names[3])
    assert [each.place for each in parts[3]] == [each.place for each in again]
    plans.release(gallery.engine, made.plan.id, [again[0].place], reviewer=names[3])
    assert [again[0].place] == [each.place for each in following(gallery, made, 5)]


def test_one_reviewer_in_two_windows_is_told(gallery):
    """The second answer is a conflict, and is not saved."""
    made = create(gallery, replace(RED, size=3))
    [here, *_], [there, *_] = following(gallery, made, 3), following(gallery, made, 3)
    assert here.ref == there.ref
    gallery.decide(here, Verdict.ACCEPT, "red")
    [late] = answered(gallery, there, Verdict.REJECT, "red").results
    assert "conflict" == late.outcome
    assert "decided about it meanwhile" in late.message


def test_what_ran_out_is_lent_to_others(gallery):
    """A reviewer who went away does not keep images."""
    made = create(gallery, replace(RED, size=3))
    following(gallery, made, 3, "gone")
    gallery.sql("UPDATE review_items SET held_until = now() - interval '1 second'")
    assert 3 == len(following(gallery, made, 3))


def test_other_queues_can_be_planned_and_prove_nothing(gallery):
    """As a list of work for several people: without target, looks or probabilities, and as many as are wanted."""
    made = create(gallery, PlanRequest(queue=Queue.UNCERTAIN, taxonomy="colour", size=10))
    create(gallery, PlanRequest(queue=Queue.UNCERTAIN, taxonomy="colour", size=10))
    assert (None, None, 10, {None}) == (
        made.plan.target, made.plan.delta, made.plan.frame_size,
        {each.inclusion_probability for each in plans.items(gallery.engine, made.plan.id)},
    )  # fmt: skip
    [item] = following(gallery, made, 1)
    assert (Chosen.UNCERTAIN, made.plan.id, 0) == (item.chosen, item.plan, item.place)


def test_what_cannot_be_planned_is_refused(gallery):
    """With the reason."""
    with pytest.raises(ChoiceError, match="target and confidence are shares"):
        create(gallery, replace(RED, target=95))
    with pytest.raises(ChoiceError, match="reviewer is empty"):
        plans.create(gallery.queues, RED, reviewer=" ")
    with pytest.raises(NotFoundError, match="no review plan 7"):
        plans.get(gallery.engine, 7)
    gallery.sql(
        "INSERT INTO decisions (bucket, key, taxonomy, verdict, label, reviewer) "
        "SELECT bucket, key, 'colour', 'accept', 'red', 'eve' FROM images"
    )
    with pytest.raises(ChoiceError, match="nothing is left to review"):
        create(gallery)
