"""Heads that people's decisions teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query

from worker.api import access
from worker.api.authentication import JsonRoute, ReadRoute
from worker.api.head_models import (
    HeadApplyRequest,
    HeadAsked,
    HeadInfo,
    HeadList,
    HeadPlan,
    HeadPlanRequest,
    HeadResult,
    LearnedHead,
)
from worker.api.models import Text
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.api.taxonomy_models import ChangePlan
from worker.pipeline.learning import messages, requests
from worker.pipeline.learning.learn import LearningRequest
from worker.pipeline.learning.requests import Heads

router = APIRouter(
    prefix="/v1",
    tags=["heads"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 404, 422, 503),
)
changes = APIRouter(
    prefix="/v1/heads",
    tags=["heads"],
    route_class=JsonRoute,
    dependencies=access.described(JsonRoute.scope),
    responses=described(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Taxonomies = Annotated[Sequence[Text], Query(description="Only these taxonomies; may be repeated.", max_length=64)]
_Limit = Annotated[int, Query(ge=1, le=500, description="Most heads to return.")]
_Before = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Continue an earlier list: its `next`.")]
_EXAMPLES: Any = {
    "learn": {"summary": "Learn a head", "value": {"taxonomy": "time-of-day"}},
    "zero-shot": {"summary": "Take it out of force", "value": {"taxonomy": "setting", "zero_shot": True}},
}
_PlanBody = Annotated[HeadPlanRequest, Body(openapi_examples=_EXAMPLES)]
_ApplyBody = Annotated[HeadApplyRequest, Body(openapi_examples=_EXAMPLES)]


@router.get("/heads", summary="List heads")
async def list_heads(parts: _Parts, taxonomy: _Taxonomies = (), limit: _Limit = 20, before: _Before = None) -> HeadList:
    """What was learned from people's decisions, how it compared with zero-shot, and what is in force."""
    engine = parts.services.engine
    found = await parts.reading(lambda: requests.heads(engine, taxonomies=taxonomy, limit=limit + 1, before=before))
    page = [HeadInfo(in_force=each.in_force, **_known(asdict(each.head))) for each in found[:limit]]
    return HeadList(heads=page, next=page[-1].id if len(found) > limit else None)


@changes.post("/plan", summary="Preview a head")
async def plan_head(body: _PlanBody, parts: _Parts) -> HeadPlan:
    """Learns from decisions, and says what putting the head into force would do. Stores and changes nothing."""
    own, asked = Heads(parts.services.engine, parts.services.taxonomies), _asked(body)
    if body.zero_shot:
        _, change = await parts.searching(lambda: own.plan_zero_shot(asked, sample=body.sample))
        return HeadPlan(learned=None, plan=ChangePlan.model_validate(change))
    found, plan = await parts.searching(lambda: own.plan(asked, sample=body.sample))
    learned = LearnedHead.model_validate(messages.report(found))
    return HeadPlan(learned=learned, plan=None if plan is None else ChangePlan.model_validate(plan))


@changes.post("/apply", summary="Learn a head and put it into force", status_code=202)
async def apply_head(body: _ApplyBody, parts: _Parts) -> HeadResult:
    """Stores how the head compares, and puts it into force if it is better than zero-shot.

    Workers follow, and the API updates stored tags, which may take minutes: `GET /v1/taxonomies` shows how far it is.
    """
    own, asked = Heads(parts.services.engine, parts.services.taxonomies), _asked(body)
    if body.zero_shot:
        _, made = await parts.searching(lambda: own.apply_zero_shot(asked, planned=body.planned))
        return HeadResult(learned=None, revision=made.id)
    found, revision = await parts.searching(lambda: own.apply(asked, planned=body.planned))
    learned = LearnedHead.model_validate(messages.report(found))
    return HeadResult(learned=learned, revision=None if revision is None else revision.id)


def _asked(body: HeadAsked) -> LearningRequest:
    return LearningRequest(taxonomy=body.taxonomy, space=body.space, promote=body.promote, pooled=body.pooled)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in HeadInfo.model_fields}
