"""Which reviewed images judge a label, and at which looks."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import numpy as np
import pytest

from worker.catalog.reviewed_images import Draw, PersonAnswer, ReviewedImage
from worker.catalog.spaces import Space
from worker.pipeline.evaluation.pools import PlanProgress, Pool, Question, pool, queued
from worker.pipeline.evaluation.reviewed import Reviewed
from worker.tagging.label_probabilities import LabelProbabilities
from worker.types import ObjectRef

RED = Question(label="red", target=0.9, delta=0.1, versions=frozenset({"now"}))
_SPACE: Any = object.__new__(Space)


def file(name: str) -> str:
    """The batch of an imported file."""
    return str(uuid5(NAMESPACE_OID, name))


def client(number: int) -> str:
    """A batch that a client numbers."""
    return str(UUID(int=number, version=4))


def draw(number: int, **options: Any) -> Draw:
    """In a plan by place, or in an imported file."""
    fields = {"batch": file("a"), "plan": None, "place": None, "asked": "red", "given": True, "probability": None,
              "alike": 1, "version": "now"}  # fmt: skip
    return Draw(decision=number, **fields | options)


def image(number: int, draws: Draw | None, *, label: str | None = "red", asked: str | None = None) -> ReviewedImage:
    """About which a person said that it has this label; ``asked``: that it does not have that one."""
    answer = PersonAnswer(
        label=asked or label, holds=asked is None and label is not None, whole=asked is None, decision=number,
        reviewer="ada", at=datetime(2026, 1, 1, tzinfo=UTC), chosen="random", batch="a", draw=draws,
    )  # fmt: skip
    ref = ObjectRef(bucket="photos", key=f"{number}.jpg")
    return ReviewedImage(id=number, ref=ref, sha256=f"{number:064x}", etag="", phash=_hash(number), answers=(answer,))


def _hash(number: int) -> int:
    """As unlike each other as those of different pictures."""
    return int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:8], "big", signed=True)


def chosen(
    images: list[ReviewedImage], *plans: PlanProgress, asked: Question = RED, probability: Any = None, alike: Any = ()
) -> Pool:
    """With red as everybody's best answer."""
    count = len(images)
    vectors = np.eye(max(count, 1), dtype=np.float32)[:count]
    for one, other in alike:
        vectors[one] = vectors[other]
    chances = np.zeros((2, count), dtype=np.float32)
    chances[0] = np.linspace(0.9, 0.5, count) if probability is None else probability
    best = np.zeros((2, count), dtype=bool)
    best[0] = True
    scored = LabelProbabilities(
        labels=("red", "blue"), level=np.zeros(2, np.intp), probability=chances, holds=best, eligible=best,
        thresholds=np.full(2, 0.5, np.float32),
    )  # fmt: skip
    found = Reviewed(space=_SPACE, taxonomy="colour", images=tuple(images), vectors=vectors, total=count)
    return pool(found, scored, plans, asked)


def plan(number: int, *looks: int, label: str | None = "red", waiting: int = 0) -> PlanProgress:
    return PlanProgress(id=number, label=label, looks=looks, queued={"red": waiting} if waiting else {})


def of_plan(number: int, count: int, *, first: int = 0) -> list[ReviewedImage]:
    """Its first images, reviewed in another order than that of their places."""
    places = range(count)
    return [image(first + n, draw(first + n, plan=number, place=place)) for n, place in enumerate(reversed(places), 1)]


def test_only_complete_looks_are_judged():
    """What was reviewed since waits; before the first look, all is shown and nothing judged."""
    found = chosen(of_plan(7, 50), plan(7, 40))
    assert (True, 40, 10, 0, (7,), 50) == (
        found.is_judged, len(found.right), found.waiting, found.look, found.plans, found.last_decision,
    )  # fmt: skip
    found = chosen(of_plan(7, 30), plan(7))
    assert (False, 30, 0) == (found.is_judged, len(found.right), found.look)


def test_looks_of_several_plans_are_counted_together():
    """Two of the first plan, one of the second: the third look may spend an eighth."""
    images = [*of_plan(7, 120), *of_plan(9, 60, first=120)]
    found = chosen(images, plan(7, 60, 120), plan(9, 60))
    assert (2, 180, (7, 9)) == (found.look, len(found.right), found.plans)


def test_a_look_that_can_prove_nothing_is_free():
    """Thirty are the least at half of the error probability: ten cannot be a false proof."""
    found = chosen(of_plan(7, 40), plan(7, 10, 20, 40))
    assert (True, 0, 40) == (found.is_judged, found.look, len(found.right))


def test_imported_files_are_looks_where_they_add_enough():
    """Forty, forty-five, a hundred: the second adds too little, and spends nothing."""
    batches = [("a", 40), ("b", 5), ("c", 55)]
    images = [
        image(n, draw(n, batch=file(name)))
        for n, name in enumerate((name for name, size in batches for _ in range(size)), 1)
    ]
    assert (0, 40) == (chosen(images[:40]).look, len(chosen(images[:40]).right))
    found = chosen(images[:45])
    assert (0, 40, 5) == (found.look, len(found.right), found.waiting)
    found = chosen(images)
    assert (1, 100, 0) == (found.look, len(found.right), found.waiting)


def test_many_single_decisions_do_not_use_everything_up():
    """Each is a batch: there is a look whenever there are half as many more."""
    found = chosen([image(n, draw(n, batch=client(n))) for n in range(1, 201)])
    assert (True, 4, 149) == (found.is_judged, found.look, len(found.right))


def test_a_batch_that_grows_has_looks_that_stay():
    """Clients may add to a batch: its end is no look, and what was judged at a look stays the same."""
    found = [chosen([image(n, draw(n, batch=client(1))) for n in range(1, size + 1)]) for size in range(28, 70)]
    assert [0, *[29] * 15, *[44] * 22, *[66] * 4] == [len(each.right) if each.is_judged else 0 for each in found]
    assert [0, 1, 2] == sorted({each.look for each in found if each.is_judged})


def test_looks_that_were_spent_on_other_images_are_counted():
    """As out-of-fold results of a head: the next look has the second share, and needs more images."""
    asked = replace(RED, spent=1)
    few, enough = (chosen([image(n, draw(n)) for n in range(1, size + 1)], asked=asked) for size in (30, 40))
    assert [(False, 1), (True, 1)] == [(few.is_judged, few.look), (enough.is_judged, enough.look)]


def test_two_batches_that_grow_by_turns_are_in_the_order_of_their_decisions():
    """What is added to the first does not come before what the second had."""
    images = [image(n, draw(n, batch=client(n // 20 % 2))) for n in range(1, 101)]
    few, all_ = chosen(images[:50]), chosen(images)
    assert few.last_decision == len(few.right)
    assert all_.last_decision == len(all_.right) > 66


def test_images_that_look_alike_are_one():
    """The first in the order of review."""
    images = [image(n, draw(n)) for n in range(1, 51)]
    found = chosen(images, alike=[(n, 0) for n in range(1, 11)])
    assert (50, 40, 40) == (found.images, found.scenes, len(found.right))


def test_images_drawn_with_a_lower_probability_end_the_pool():
    """Only those that are more probable than all of them are a uniform sample."""
    images = [image(n, draw(n, probability=0.5 if n != 45 else 0.1)) for n in range(1, 61)]
    found = chosen(images)
    assert (60, 44) == (found.scenes, len(found.right))
    several = [image(n, draw(n, probability=0.1, alike=5 if n % 2 else 4)) for n in range(1, 61)]
    assert 60 == len(chosen(several).right)  # a scene of five is as likely as one of four, or nearly so


@pytest.mark.parametrize(
    ("own", "counts"),
    [
        (image(1, draw(1)), 1),
        (image(1, draw(1), label="blue"), 1),
        (image(1, draw(1), label=None), 1),
        (image(1, draw(1), asked="red"), 1),
        (image(1, draw(1), asked="blue"), 0),
        (image(1, None), 0),
        (image(1, draw(1, plan=8, place=0)), 0),
    ],
    ids=["accepted", "another", "none", "rejected", "unknown", "not random", "another plan"],
)
def test_what_counts_as_an_answer(own, counts):
    """That another label is wrong says nothing about this one, and other draws are no sample of it."""
    found = chosen([own], plan(7))
    assert counts == len(found.right)
    assert [own.labels == {"red"}] * counts == found.right.tolist()


def test_decisions_before_an_expiry_do_not_count():
    """The collection has changed since."""
    images = [image(n, draw(n)) for n in range(1, 101)]
    found = chosen(images, asked=replace(RED, after=60))
    assert (40, 100) == (len(found.right), found.last_decision)


def test_all_labels_together_have_plans_about_everything():
    """A plan about one label is no sample of all."""
    images = [*of_plan(7, 40), *of_plan(8, 40, first=40)]
    asked = replace(RED, label=None)
    found = chosen(images, plan(7, 40), plan(8, 40, label=None), asked=asked)
    assert (40, (8,)) == (len(found.right), found.plans)


def test_an_empty_pool():
    """As before the first review."""
    found = chosen([])
    assert (0, False, None) == (len(found.right), found.is_judged, found.last_decision)


def test_open_items_are_counted():
    """Of the plan that has most of them."""
    plans = [plan(7, waiting=3), plan(9, waiting=12), plan(11, label="blue")]
    assert ((12, 9), (0, None)) == (queued(plans, "red"), queued(plans, "green"))
    assert (12, 9) == queued(plans, None)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 40),
        ({"asked": None, "version": None}, 40),
        ({"version": "before"}, 0),
        ({"version": None}, 0),
        ({"space": 2}, 0),
        ({"asked": "blue"}, 0),
    ],
    ids=["as now", "from all images", "another version", "unknown", "another space", "another label"],
)
def test_images_drawn_without_a_plan_must_have_had_the_label_as_now(options: dict[str, Any], count: int):
    """What older prompts gave the label to is not a sample of what has it now."""
    images = [image(number, draw(number, **options)) for number in range(1, 41)]
    assert count == len(chosen(images, asked=replace(RED, space=1)).right)
