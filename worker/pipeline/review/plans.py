"""The use case: review plans, whose images are fixed before the first look at the results.

A person who may draw until a proof succeeds gets one, even if it is false. So a plan fixes the images, their
order, and after how many of them the results may be judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker import catalog
from worker.catalog.review_plans import Item, ItemState, Plan
from worker.db import Connection, Engine, again, snapshot, transaction
from worker.errors import ChoiceError, EnrichError, NotFoundError
from worker.pipeline.common.tag_filters import require_taxonomies
from worker.pipeline.review import frames
from worker.pipeline.review.decide import Seen
from worker.pipeline.review.frames import PlanRequest
from worker.pipeline.review.queues import Queue, QueueItem, ReviewQueues, refuse_unused
from worker.pipeline.review.sampling import share
from worker.pipeline.review.subject import scorings, subject

#: Seconds for which an item is one reviewer's.
HELD = 600


class PlanOpenError(EnrichError):
    """A random plan about the same label is open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LookState:
    """One planned look at the results."""

    items: int  # the first so many of the frame
    delta: float  # error probability that it may spend, if no plan about the label came before
    complete: bool  # whether all of them are decided, changed or gone
    right: int
    wrong: int
    unsure: int
    left_out: int  # changed or gone: not counted


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanState:
    """A plan, and how far it is."""

    plan: Plan
    outdated: bool  # another space or version of the taxonomy is in force now
    reviewed: int
    right: int
    wrong: int
    unsure: int
    changed: int  # the key has other bytes now
    gone: int  # the image left the catalog
    remaining: int
    looks: tuple[LookState, ...]

    @property
    def look(self) -> int:
        """How many looks are complete."""
        return sum(each.complete for each in self.looks)


def create(queues: ReviewQueues, request: PlanRequest, *, reviewer: str) -> PlanState:
    """Draw a frame and keep it.

    Raises:
        PlanOpenError: a random plan about the same label is open.
        ChoiceError: what the queue needs is missing, or nothing is left to review.
        UnknownNameError: there is no such taxonomy or label.
    """
    if not reviewer.strip():
        raise ChoiceError("say who plans: reviewer is empty")
    if not (0.5 <= request.target < 1 and 0.5 <= request.confidence < 1):  # noqa: PLR2004  # below, nothing is proven
        raise ChoiceError("target and confidence are shares from 0.5 to below 1, such as 0.95")
    refuse_unused(request.queue, query=request.query, other_space=request.other_space)
    _refuse_second(queues.engine, request)
    plan, items = frames.made(queues, request, reviewer=reviewer.strip())
    if not items:
        raise ChoiceError("nothing is left to review there: every such image is decided")

    def keep() -> int | None:
        with transaction(queues.engine) as connection:
            return catalog.review_plans.add(connection, plan, items)

    number = again(keep)
    if number is None:
        _refuse_second(queues.engine, request)
        raise PlanOpenError("another plan about this label was made and closed meanwhile: try again")
    return get(queues.engine, number)


def get(engine: Engine, number: int) -> PlanState:
    """One plan.

    Raises:
        NotFoundError: there is none with this number.
    """
    with snapshot(engine) as connection:
        return _states(connection, [_plan(connection, number)])[0]


def open_about(engine: Engine, taxonomy: str, label: str | None) -> PlanState | None:
    """The open random plan about a label in the active space, by the version in force.

    Raises:
        UnknownNameError: there is no such taxonomy or label.
    """
    with snapshot(engine) as connection:
        asked = subject(connection, taxonomy, label)
        found = catalog.review_plans.open_one(
            connection,
            space=asked.space.id,
            taxonomy=asked.taxonomy.name,
            version=asked.taxonomy.version,
            scoring=asked.scoring,
            label=asked.label,
        )
        return None if found is None else _states(connection, [found])[0]


def plans(
    engine: Engine,
    *,
    taxonomies: Sequence[str] = (),
    only_open: bool = False,
    limit: int = 100,
    before: int | None = None,
) -> list[PlanState]:
    """Plans, newest first, older than ``before``.

    Raises:
        UnknownNameError: there is no such taxonomy.
    """
    with snapshot(engine) as connection:
        require_taxonomies(connection, taxonomies)
        found = catalog.review_plans.plans(
            connection, taxonomies=taxonomies, only_open=only_open, limit=limit, before=before
        )
        return _states(connection, found)


def items(engine: Engine, number: int) -> list[Item]:
    """The whole frame, with what became of each image.

    Raises:
        NotFoundError: there is no such plan.
    """
    with snapshot(engine) as connection:
        _plan(connection, number)
        return catalog.review_plans.items(connection, number)


def following(engine: Engine, number: int, *, reviewer: str, limit: int) -> list[QueueItem]:
    """The next items to review, reserved for this reviewer for ``HELD`` seconds.

    Raises:
        NotFoundError: there is no such plan.
        ChoiceError: it is closed, or no reviewer is named.
    """
    if not reviewer.strip():
        raise ChoiceError("say who reviews: reviewer is empty")

    def lend() -> list[QueueItem]:
        with transaction(engine) as connection:
            plan = _plan(connection, number)
            if plan.closed_at is not None:
                raise ChoiceError(f"plan {number} was closed by {plan.closed_by}: make a new one")
            every = {each.place: each for each in catalog.review_plans.items(connection, number)}
            left = [place for place, each in every.items() if each.state == "open"]
            lent = catalog.review_plans.lend(connection, number, left, by=reviewer.strip(), limit=limit, seconds=HELD)
            return _described(connection, plan, [every[place] for place in lent])

    return again(lend)


def release(engine: Engine, number: int, places: Sequence[int], *, reviewer: str) -> None:
    """Give items back that were reserved and are not decided, so that others are asked at once."""
    with transaction(engine) as connection:
        catalog.review_plans.release(connection, number, places, by=reviewer.strip())


def close(engine: Engine, number: int, *, reviewer: str, reason: str | None = None) -> PlanState:
    """Close a plan for good, whether or not it is complete; who did so and why is kept.

    Raises:
        NotFoundError: there is no such plan.
        ChoiceError: it was closed before, or no reviewer is named.
    """
    if not reviewer.strip():
        raise ChoiceError("say who closes the plan: reviewer is empty")
    with transaction(engine) as connection:
        plan = _plan(connection, number)
        if not catalog.review_plans.close(connection, number, by=reviewer.strip(), because=reason):
            raise ChoiceError(f"plan {number} was closed by {plan.closed_by} before")
    return get(engine, number)


# -- making ------------------------------------------------------------------------------------------------------------
def _refuse_second(engine: Engine, request: PlanRequest) -> None:
    if request.queue is not Queue.RANDOM:
        return
    state = open_about(engine, request.taxonomy, request.label)
    if state is None:
        return
    there = state.plan
    what = f"{there.taxonomy}={there.label}" if there.label else there.taxonomy
    raise PlanOpenError(
        f"plan {there.id} for {what} is open, with {state.remaining} of {there.frame_size} images to review: go on "
        "with it, or close it first; a second draw until one succeeds proves nothing"
    )


# -- reading -----------------------------------------------------------------------------------------------------------
def _plan(connection: Connection, number: int) -> Plan:
    found = catalog.review_plans.plan(connection, number)
    if found is None:
        raise NotFoundError(f"there is no review plan {number}: `enrich review --plans` lists them")
    return found


def _states(connection: Connection, found: Sequence[Plan]) -> list[PlanState]:
    became = catalog.review_plans.states(connection, [each.id for each in found])
    active = catalog.spaces.active(connection)
    in_force = scorings(connection, active, {each.taxonomy for each in found}) if active else {}
    return [
        _state(
            each,
            became[each.id],
            outdated=active is None or active.id != each.space or not _is_current(each, in_force.get(each.taxonomy)),
        )
        for each in found
    ]


def _is_current(plan: Plan, in_force: tuple[str, str] | None) -> bool:
    """Whether images are scored as when the plan was made; thresholds do not matter."""
    if in_force is None:
        return False
    version, scoring = in_force
    return plan.taxonomy_version == version if plan.scoring is None else plan.scoring == scoring


def _state(plan: Plan, became: Sequence[ItemState], *, outdated: bool) -> PlanState:
    deltas = [share(look) * (plan.delta or 0.0) for look in range(len(plan.looks))]
    return PlanState(
        plan=plan,
        outdated=outdated,
        reviewed=sum(each in ("right", "wrong", "unsure") for each in became),
        right=became.count("right"),
        wrong=became.count("wrong"),
        unsure=became.count("unsure"),
        changed=became.count("changed"),
        gone=became.count("gone"),
        remaining=became.count("open"),
        looks=tuple(_look(became[:size], delta) for size, delta in zip(plan.looks, deltas, strict=True)),
    )


def _look(became: Sequence[ItemState], delta: float) -> LookState:
    return LookState(
        items=len(became),
        delta=delta,
        complete="open" not in became,
        right=became.count("right"),
        wrong=became.count("wrong"),
        unsure=became.count("unsure"),
        left_out=became.count("changed") + became.count("gone"),
    )


def _described(connection: Connection, plan: Plan, found: Sequence[Item]) -> list[QueueItem]:
    images = catalog.review_candidates.described(connection, [each.image for each in found if each.image is not None])
    now = catalog.decisions.answers(connection, [(image, plan.taxonomy) for image in images])
    described = []
    for each in found:
        image = images.get(each.image) if each.image is not None else None
        if image is None:
            continue
        seen = Seen(
            sha256=each.sha256, labels=tuple(image.tags.get(plan.taxonomy, ())),
            decision=now[image.id, plan.taxonomy].decision or 0, label=each.label, version=plan.taxonomy_version,
            space=plan.space,
        )  # fmt: skip
        described.append(QueueItem(
            ref=image.ref, sha256=each.sha256, etag=image.etag, label=each.label, probability=each.probability,
            given=each.given, taxonomy_version=plan.taxonomy_version, space=plan.space, tags=image.tags, seen=seen,
            chosen=Queue(plan.queue).chosen, why=each.why, inclusion_probability=each.inclusion_probability,
            plan=plan.id, place=each.place,
        ))  # fmt: skip
    return described
