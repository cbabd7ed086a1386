"""What operators look at: backlog, throughput, processes, reconciliations, the change feed, rejected notifications."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from worker.api import access, operation_models, operation_serializers
from worker.api.authentication import GuardedRoute, ReadRoute
from worker.api.parameters import OnlyBucket
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.pipeline.delivery import change_feed
from worker.pipeline.operations import backlog, processes, rejected_events, throughput
from worker.pipeline.reconciliation import reconcile

router = APIRouter(
    prefix="/v1",
    tags=["operation"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 422, 503),
)
#: Bodies of notifications may hold addresses that confirm subscriptions.
bodies = APIRouter(
    prefix="/v1",
    tags=["operation"],
    route_class=GuardedRoute,
    dependencies=access.described(GuardedRoute.scope),
    responses=described(400, 401, 403, 404, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Limit = Annotated[int, Query(ge=1, le=1_000, description="Most notifications to return.")]
_After = Annotated[str | None, Query(max_length=256, description="`next` of the previous page, for older ones.")]
_Number = Annotated[int, Path(ge=1, lt=1 << 63, description="Number of the notification.")]


@router.get("/backlog", summary="Show what is pending")
async def get_backlog(parts: _Parts, bucket: OnlyBucket = None) -> operation_models.Backlog:
    """How many objects wait in each lane, for how long the oldest has, and why objects are retried.

    Reads counters and at most a few thousand rows, however many objects there are. Where more than a thousand wait in
    a lane, `exact` says whether `oldest_seconds` is a lower bound.
    """
    return operation_serializers.backlog(
        await parts.reading(lambda: backlog.backlog(parts.services.engine, bucket=bucket))
    )


@router.get("/throughput", summary="Show how fast images become searchable")
async def get_throughput(parts: _Parts) -> operation_models.Throughput:
    """Images enriched in each of the last 60 minutes, and how long they took from event to searchable.

    The work is bounded: of a minute with more than 250 images, those in between are estimated, and `exact` is false.
    Images that were deleted meanwhile are not counted, and those that were enriched twice are counted once.
    """
    found = await parts.counting(lambda: throughput.throughput(parts.services.engine))
    return operation_models.Throughput.model_validate(found)


@router.get("/processes", summary="List running processes")
async def list_processes(parts: _Parts) -> operation_models.ProcessList:
    """Workers, schedulers and listeners that reported within a day: what they do, and what is wrong with them."""
    found = await parts.reading(lambda: processes.processes(parts.services.engine))
    return operation_models.ProcessList(
        processes=[operation_models.RunningProcess.model_validate(each) for each in found]
    )


@router.get("/reconciliations", summary="Show how buckets compare with their stores")
async def list_reconciliations(parts: _Parts) -> operation_models.ReconciliationList:
    """How each watched bucket or prefix compared with its store when the scheduler last listed it.

    After a complete comparison, every object that the store listed is known. `enrich verify` proves it at any time.
    """
    found = await parts.reading(lambda: reconcile.states(parts.services.engine))
    return operation_models.ReconciliationList(
        reconciliations=[operation_serializers.reconciliation(each) for each in found]
    )


@router.get("/feed", summary="Show the state of the change feed")
async def get_feed(parts: _Parts) -> operation_models.FeedState:
    """Its newest position, how far back it goes, and what holds it back. `GET /v1/changes` reads it."""
    found = await parts.reading(lambda: change_feed.state(parts.services.engine))
    return operation_serializers.feed(found, retention_days=parts.services.feed_retention_days)


@router.get("/rejected-events", summary="List rejected notifications")
async def list_rejected_events(
    parts: _Parts, limit: _Limit = 20, after: _After = None
) -> operation_models.RejectedNotificationList:
    """Notifications that could not be parsed, or that need a person, newest first, without their bodies."""
    found = await parts.reading(lambda: rejected_events.listing(parts.services.engine, limit=limit, after=after))
    events = [operation_models.RejectedNotification.model_validate(each) for each in found.events]
    return operation_models.RejectedNotificationList(events=events, total=found.total, next=found.next)


@bodies.get("/rejected-events/{number}", summary="Get a rejected notification")
async def get_rejected_event(number: _Number, parts: _Parts) -> operation_models.RejectedNotificationBody:
    """One notification with its body. If `whole` is true, the body may be sent to `POST /v1/events/{source}` again.

    Needs the admin token: a body may hold an address that confirms a subscription.
    """
    found = await parts.reading(lambda: rejected_events.get(parts.services.engine, number))
    return operation_serializers.rejected(found)
