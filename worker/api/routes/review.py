"""Which images people should look at next, and review plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query

from worker.api import access
from worker.api.authentication import ReadRoute, ReviewRoute
from worker.api.models import Text
from worker.api.problems import described
from worker.api.review_models import (
    ClosePlan,
    LookState,
    NextItems,
    PlannedItem,
    PlannedItems,
    PostPlan,
    ReleaseItems,
    ReviewItem,
    ReviewItems,
    ReviewPage,
    ReviewPlan,
    ReviewPlanList,
    SeenItem,
)
from worker.api.services import Parts, parts_of
from worker.pipeline.review import plans
from worker.pipeline.review.frames import PlanRequest
from worker.pipeline.review.plans import PlanState
from worker.pipeline.review.queues import MOST, Queue, QueueItem, QueueRequest

router = APIRouter(
    prefix="/v1",
    tags=["review"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 404, 409, 422, 503),
)
changes = APIRouter(
    prefix="/v1",
    tags=["review"],
    route_class=ReviewRoute,
    dependencies=access.described(ReviewRoute.scope),
    responses=described(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Queue = Annotated[Queue, Path(description="How images are chosen.")]
_Taxonomy = Annotated[Text, Path(description="A taxonomy in force.", examples=["time-of-day"])]
_Label = Annotated[Text | None, Query(max_length=200, description="Its name, title or an alias.")]
_Words = Annotated[
    Text | None, Query(max_length=2_000, description="For `search`: words. Without it, the label is searched for.")
]
_OtherSpace = Annotated[
    int | None,
    Query(
        ge=1,
        lt=1 << 31,
        description="For `disagreement`; by default the prompts alone if there is a head, else the newest other one.",
    ),
]
_Unsure = Annotated[bool, Query(description="Ask again about images where people could not tell.")]
_Seed = Annotated[int | None, Query(ge=0, lt=1 << 31, description="Of the draw; by default another one each time.")]
_Limit = Annotated[int, Query(ge=1, le=MOST, description="Most items to return.")]
_Plan = Annotated[int, Path(ge=1, lt=1 << 63, description="Number of the plan.")]
_Taxonomies = Annotated[Sequence[Text], Query(description="Only these taxonomies; may be repeated.", max_length=64)]
_OnlyOpen = Annotated[bool, Query(description="Only plans that are not closed.")]
_PlanLimit = Annotated[int, Query(ge=1, le=100, description="Most plans to return.")]
_Older = Annotated[int | None, Query(ge=1, lt=1 << 63, description="`next` of the previous page, for older ones.")]
_New = Annotated[
    PostPlan,
    Body(
        openapi_examples={
            "precision": {
                "summary": "Prove a label's precision",
                "value": {"taxonomy": "time-of-day", "label": "night", "target": 0.95, "reviewer": "ada"},
            },
            "uncertain": {
                "summary": "A list of work for several people",
                "value": {"queue": "uncertain", "taxonomy": "time-of-day", "size": 50, "reviewer": "ada"},
            },
        }
    ),
]


_Next = Annotated[NextItems, Body(openapi_examples={"ada": {"value": {"reviewer": "ada", "limit": 20}}})]
_Release = Annotated[ReleaseItems, Body(openapi_examples={"ada": {"value": {"reviewer": "ada", "places": [0, 1]}}})]
_Close = Annotated[
    ClosePlan, Body(openapi_examples={"ada": {"value": {"reviewer": "ada", "reason": "the prompts have changed"}}})
]


@router.get("/review-queues/{queue}/{taxonomy}", summary="Find images to review")
async def get_review_queue(
    *,
    queue: _Queue,
    taxonomy: _Taxonomy,
    parts: _Parts,
    label: _Label = None,
    query: _Words = None,
    other_space: _OtherSpace = None,
    unsure: _Unsure = False,
    seed: _Seed = None,
    limit: _Limit = 20,
) -> ReviewPage:
    """The images that a person should look at next, for one taxonomy and usually one label.

    Images about which a person has decided are left out, so asking again continues. To share the work, or to prove a
    precision, make a plan instead. Of more than 50,000 images a uniform sample is
    examined, so that the answer takes seconds, however many there are.
    """
    request = QueueRequest(
        queue=queue,
        taxonomy=taxonomy,
        label=label,
        query=query,
        other_space=other_space,
        unsure=unsure,
        limit=limit,
        seed=seed,
    )
    page = await parts.searching(lambda: parts.services.queues.page(request))
    return ReviewPage(
        items=_items(page.items),
        taxonomy=page.subject.taxonomy.name,
        taxonomy_version=page.subject.taxonomy.version,
        space=page.subject.space.id,
        model=page.subject.space.model,
        examined=page.examined,
        total=page.total,
        exact=page.exact,
    )


@router.get("/review-plans", summary="List review plans")
async def list_review_plans(
    *,
    parts: _Parts,
    taxonomy: _Taxonomies = (),
    only_open: _OnlyOpen = False,
    limit: _PlanLimit = 20,
    after: _Older = None,
) -> ReviewPlanList:
    """Newest first, with how far each is."""
    engine = parts.services.engine
    found = await parts.reading(
        lambda: plans.plans(engine, taxonomies=taxonomy, only_open=only_open, limit=limit, before=after)
    )
    more = found[-1].plan.id if len(found) == limit else None
    return ReviewPlanList(plans=[plan_state(each) for each in found], next=more)


@router.get("/review-plans/{plan}", summary="Get a review plan")
async def get_review_plan(plan: _Plan, parts: _Parts) -> ReviewPlan:
    """The plan, and how far it is."""
    return plan_state(await parts.reading(lambda: plans.get(parts.services.engine, plan)))


@router.get("/review-plans/{plan}/items", summary="List a review plan's images")
async def get_review_plan_items(plan: _Plan, parts: _Parts) -> PlannedItems:
    """All of them in order, with what became of each; 1,200 at most."""
    found = await parts.reading(lambda: plans.items(parts.services.engine, plan))
    return PlannedItems(items=[PlannedItem.model_validate(each) for each in found])


@changes.post("/review-plans", status_code=201, summary="Plan a review")
async def post_review_plan(request: _New, parts: _Parts) -> ReviewPlan:
    """Choose images now, and keep them and their order.

    A 409 says that a `random` plan about the same label is open: go on with it, or close it. Drawing again until the
    result suits proves nothing.
    """
    wanted = PlanRequest(**request.model_dump(exclude={"reviewer"}))
    return plan_state(
        await parts.searching(lambda: plans.create(parts.services.queues, wanted, reviewer=request.reviewer))
    )


@changes.post("/review-plans/{plan}/next", summary="Get a plan's next images")
async def next_review_items(plan: _Plan, request: _Next, parts: _Parts) -> ReviewItems:
    """The next images to review. They are reserved for this reviewer for a while: two who ask at once get different
    ones, and a reviewer who asks again gets the same.
    """
    engine = parts.services.engine
    found = await parts.reading(lambda: plans.following(engine, plan, reviewer=request.reviewer, limit=request.limit))
    return ReviewItems(items=_items(found))


@changes.post("/review-plans/{plan}/release", status_code=204, summary="Give reserved images back")
async def release_review_items(plan: _Plan, request: _Release, parts: _Parts) -> None:
    """Let others review them now."""
    engine = parts.services.engine
    await parts.reading(lambda: plans.release(engine, plan, request.places, reviewer=request.reviewer))


@changes.post("/review-plans/{plan}/close", summary="Close a review plan")
async def close_review_plan(plan: _Plan, request: _Close, parts: _Parts) -> ReviewPlan:
    """End a plan, complete or not. Who closed it and why is kept, and the decisions stay in force."""
    engine = parts.services.engine
    return plan_state(
        await parts.reading(lambda: plans.close(engine, plan, reviewer=request.reviewer, reason=request.reason))
    )


def _items(found: Sequence[QueueItem]) -> list[ReviewItem]:
    return [
        ReviewItem(
            bucket=each.ref.bucket,
            key=each.ref.key,
            sha256=each.sha256,
            etag=each.etag,
            label=each.label,
            probability=each.probability,
            given=each.given,
            taxonomy_version=each.taxonomy_version,
            space=each.space,
            tags=each.tags,
            why=each.why,
            seen=SeenItem.model_validate(each.seen),
            chosen=each.chosen,
            inclusion_probability=each.inclusion_probability,
            plan=each.plan,
            place=each.place,
        )
        for each in found
    ]


def plan_state(found: PlanState) -> ReviewPlan:
    """A plan as a response."""
    counts = {name: value for name, value in asdict(found).items() if name not in ("plan", "looks")}
    looks = [LookState.model_validate(each) for each in found.looks]
    return ReviewPlan(**{**asdict(found.plan), **counts, "look": found.look, "looks": looks})
