"""People's decisions about tags: record, list and take them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, HTTPException, Query
from pydantic import Field

from worker.api import access, serializers
from worker.api.authentication import ReadRoute, ReviewRoute, UndoRoute
from worker.api.decision_models import (
    DecideMatching,
    Decision,
    DecisionBatch,
    DecisionList,
    DecisionResult,
    Matching,
    OneDecision,
    PostDecisions,
    PutDecision,
    Undone,
)
from worker.api.models import MomentText, Text
from worker.api.parameters import BucketInPath, KeyInPath, OnlyBucket, OnlyPrefix
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.catalog.decisions import DecisionFilter
from worker.errors import ChoiceError
from worker.pipeline.common import time_filters
from worker.pipeline.review import history, matching, undo
from worker.pipeline.review.decide import DecisionOutcome, DecisionRequest, Seen, decide
from worker.types import ObjectRef

router = APIRouter(
    prefix="/v1/decisions",
    tags=["decisions"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 422, 503),
)
changes = APIRouter(
    prefix="/v1/decisions",
    tags=["decisions"],
    route_class=ReviewRoute,
    dependencies=access.described(ReviewRoute.scope),
    responses=described(400, 401, 403, 408, 413, 415, 422, 503),
)
undos = APIRouter(
    prefix="/v1/decisions",
    tags=["decisions"],
    route_class=UndoRoute,
    dependencies=access.described(UndoRoute.scope),
    responses=described(400, 401, 403, 404, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Key = Annotated[Text | None, Query(min_length=1, max_length=1_024, description="Only this object; requires `bucket`.")]
_Taxonomies = Annotated[Sequence[Text], Query(description="Only these taxonomies; may be repeated.", max_length=64)]
_Reviewer = Annotated[Text | None, Query(max_length=200, description="Only decisions of this reviewer.")]
_Batch = Annotated[UUID | None, Query(description="Only this batch.")]
_Since = Annotated[
    MomentText | None, Query(description="Only those made since: `2d`, `12h`, or a time with its offset.")
]
_Older = Annotated[int | None, Query(ge=1, lt=1 << 63, description="`next` of the previous page, for older ones.")]
_Limit = Annotated[int, Query(ge=1, le=1_000, description="Most decisions to return.")]
_UndoneBatch = Annotated[UUID | None, Query(description="Take back every decision of this batch.")]
_UndoneIds = Annotated[
    Sequence[Annotated[int, Field(ge=1, lt=1 << 63)]],
    Query(alias="id", max_length=1_000, description="Take back these; may be repeated."),
]
_Undoer = Annotated[Text, Query(min_length=1, max_length=200, description="Who takes them back.")]
_Why = Annotated[Text | None, Query(max_length=2_000, description="Why.")]
_One = Annotated[
    PutDecision,
    Body(
        openapi_examples={
            "replace": {
                "summary": "Another label holds",
                "value": {
                    "taxonomy": "time-of-day",
                    "verdict": "replace",
                    "label": "night",
                    "reviewer": "ada",
                    "seen": {"label": "day", "labels": ["day"]},
                },
            },
            "none": {
                "summary": "None of the labels holds",
                "value": {"taxonomy": "time-of-day", "verdict": "none", "reviewer": "ada"},
            },
        }
    ),
]
_Many = Annotated[
    PostDecisions,
    Body(
        openapi_examples={
            "two": {
                "summary": "A label that holds, and one that does not",
                "value": {
                    "reviewer": "ada",
                    "decisions": [
                        {"bucket": "photos", "key": "a", "taxonomy": "setting", "verdict": "accept", "label": "indoor"},
                        {"bucket": "photos", "key": "b", "taxonomy": "setting", "verdict": "reject", "label": "indoor"},
                    ],
                },
            }
        }
    ),
]
_All = Annotated[
    DecideMatching,
    Body(
        openapi_examples={
            "count": {
                "summary": "Count first",
                "value": {
                    "images": {"bucket": "photos", "prefix": "night-shift/"},
                    "taxonomy": "time-of-day",
                    "verdict": "accept",
                    "label": "night",
                    "reviewer": "ada",
                },
            },
        }
    ),
]


async def wanted(
    *,
    bucket: OnlyBucket = None,
    prefix: OnlyPrefix = None,
    key: _Key = None,
    taxonomy: _Taxonomies = (),
    reviewer: _Reviewer = None,
    batch: _Batch = None,
    since: _Since = None,
) -> DecisionFilter:
    """The filters of a list. A decision must match all of them."""
    return DecisionFilter(
        bucket=bucket,
        prefix=prefix,
        key=key,
        taxonomies=tuple(taxonomy),
        reviewer=reviewer,
        batch=batch,
        since=None if since is None else time_filters.parse(since),
    )


_Wanted = Annotated[DecisionFilter, Depends(wanted)]


@router.get("", summary="List decisions")
async def list_decisions(parts: _Parts, wanted: _Wanted, limit: _Limit = 100, after: _Older = None) -> DecisionList:
    """Everything that people decided, newest first, also what was undone.

    What is decided while you turn pages is on none of the later ones.
    """
    page = await parts.reading(lambda: history.decisions(parts.services.engine, wanted, limit=limit, after=after))
    return DecisionList(decisions=[Decision.model_validate(each) for each in page.decisions], next=page.next)


@changes.post("", summary="Decide about up to 1,000 images")
async def post_decisions(request: _Many, parts: _Parts) -> DecisionBatch:
    """Record decisions in one transaction.

    Each has an outcome of its own: one that is refused, or about something that has changed since it was seen, keeps
    none of the others from being saved. A later decision about the same image replaces an earlier one.
    """
    requests = [_request(ObjectRef(bucket=each.bucket, key=each.key), each) for each in request.decisions]
    done = await parts.reading(
        lambda: decide(
            parts.services.engine,
            requests,
            reviewer=request.reviewer,
            batch=request.batch,
            new_labels=request.new_labels,
        )
    )
    return DecisionBatch(
        batch=done.batch,
        saved=done.count(DecisionOutcome.SAVED) + done.count(DecisionOutcome.OTHER_BYTES),
        results=[DecisionResult.model_validate(each) for each in done.results],
    )


@changes.post("/matching", summary="Decide about all images that match", responses=described(409))
async def decide_matching(request: _All, parts: _Parts) -> Matching:
    """Make one decision about every image that matches a filter, up to 100,000.

    Call it without `confirm` to see how many there are; nothing is decided. Then send that number as `confirm`. A call
    returns within seconds: repeat it with `after` until `next` is null.
    """
    engine, wanted = parts.services.engine, request.images.to_value()
    same = matching.SameDecision(
        taxonomy=request.taxonomy, verdict=request.verdict, label=request.label, reason=request.reason
    )
    confirmed = request.confirm
    if confirmed is None:
        found = await parts.reading(lambda: matching.preview(engine, wanted, same))
        examples = [serializers.image(each) for each in found.examples]
        return Matching(count=found.count, examples=examples, batch=None, outcomes={}, refused=None, next=None)
    done = await parts.reading(
        lambda: matching.decide_matching(
            engine, wanted, same, reviewer=request.reviewer, confirmed=confirmed, after=request.after
        )
    )
    return Matching(
        count=None,
        examples=[],
        batch=done.batch,
        outcomes={str(outcome): count for outcome, count in done.outcomes.items()},
        refused=done.refused,
        next=done.next,
    )


@changes.put("/{bucket}/{key:object_key}", summary="Decide about one image", responses=described(404, 409))
async def put_decision(bucket: BucketInPath, key: KeyInPath, request: _One, parts: _Parts) -> DecisionResult:
    """Record one decision. Sending it again changes nothing.

    A 409 says that what was seen has changed; a 422 that the decision names something that does not exist.
    """
    wanted = _request(ObjectRef(bucket=bucket, key=key), request)
    done = await parts.reading(
        lambda: decide(parts.services.engine, [wanted], reviewer=request.reviewer, new_labels=request.new_labels)
    )
    [result] = done.results
    if result.outcome is DecisionOutcome.CONFLICT:
        raise HTTPException(409, result.message)
    if result.outcome is DecisionOutcome.REFUSED:
        raise ChoiceError(result.message)
    return DecisionResult.model_validate(result)


@undos.delete("", summary="Undo decisions")
async def undo_decisions(
    *,
    parts: _Parts,
    reviewer: _Undoer,
    batch: _UndoneBatch = None,
    ids: _UndoneIds = (),
    reason: _Why = None,
) -> Undone:
    """Take decisions back: a whole batch, or some by their numbers. What held before them holds again.

    Nothing is deleted: an undo is recorded as well. Repeating one is harmless.
    """
    engine = parts.services.engine
    if (batch is None) == (not ids):
        raise ChoiceError("say what to undo: either `batch`, or `id` once or more")
    if batch is not None:
        return Undone.model_validate(
            await parts.reading(lambda: undo.undo_batch(engine, batch, reviewer=reviewer, reason=reason))
        )
    return Undone.model_validate(
        await parts.reading(lambda: undo.undo_some(engine, ids, reviewer=reviewer, reason=reason))
    )


def _request(ref: ObjectRef, given: OneDecision) -> DecisionRequest:
    seen = given.seen
    return DecisionRequest(
        ref=ref,
        taxonomy=given.taxonomy,
        verdict=given.verdict,
        label=given.label,
        reason=given.reason,
        chosen=given.chosen,
        inclusion_probability=given.inclusion_probability,
        plan=given.plan,
        seen=Seen(
            sha256=seen.sha256,
            labels=None if seen.labels is None else tuple(seen.labels),
            decision=seen.decision,
            label=seen.label,
            version=seen.version,
            space=seen.space,
        ),
    )
