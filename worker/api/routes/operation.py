"""For operators, load balancers and Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Response

from worker import db, logs, metrics
from worker.api import access
from worker.api.authentication import ReadRoute
from worker.api.models import Alive, MomentText, Ready, Status, Text
from worker.api.parameters import OnlyBucket
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.api.stats_models import TagStats
from worker.api.strict_route import StrictRoute
from worker.pipeline.common import time_filters
from worker.pipeline.operations import system_status, tag_stats

_log = logs.get("api")

router = APIRouter(tags=["operation"], route_class=StrictRoute, responses=described(403, 422))
guarded = APIRouter(
    prefix="/v1",
    tags=["operation"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Bucket = Annotated[Text | None, Query(description="Count this bucket only.")]
_Taxonomies = Annotated[Sequence[Text], Query(description="Only these taxonomies; may be repeated.", max_length=64)]
_FirstDay = Annotated[
    MomentText, Query(description="The first day: `14d`, or a time with its offset; at most 90 days ago.")
]
_ByBucket = Annotated[bool, Query(description="Each bucket by itself, too.")]


@guarded.get("/status", summary="Count objects by state")
async def status(parts: _Parts, bucket: _Bucket = None) -> Status:
    """Every object that was ever announced or listed is in exactly one of the first five counts.

    People's decisions and open reviews are those of all buckets.
    """
    return Status.model_validate(
        await parts.reading(lambda: system_status.status(parts.services.engine, bucket=bucket))
    )


@router.get("/healthz", summary="Check that the process answers")
async def healthz() -> Alive:
    """Nothing else is checked: an unavailable database is not a reason to restart the API. Needs no token."""
    return Alive(status="ok")


@guarded.get("/stats", summary="Show what the model says by day, and what has changed")
async def get_stats(
    *,
    parts: _Parts,
    taxonomy: _Taxonomies = (),
    bucket: OnlyBucket = None,
    since: _FirstDay = "14d",
    by_bucket: _ByBucket = False,
) -> TagStats:
    """Labels, images without one, and probabilities, by the day on which images were enriched (UTC).

    Each day is compared with the 14 days before it. Only the model's answers count, as they are now; people's
    corrections are left out. At most 50,000 images are read: where there are more, a random sample of each bucket and
    day, and `exact` is false.
    """
    start = time_filters.parse(since)
    return TagStats.model_validate(
        await parts.reading(
            lambda: tag_stats.stats(
                parts.services.engine, since=start, taxonomies=taxonomy, bucket=bucket, by_bucket=by_bucket
            )
        )
    )


@router.get(
    "/readyz",
    summary="Check that events can be committed",
    responses={503: {"model": Ready, "description": "The database is away, read-only or full."}},
)
async def readyz(response: Response, parts: _Parts) -> Ready:
    """Whether the database takes writes, which model is in use, and what refuses to work with it. Needs no token."""
    problem, refused = await _look(parts)
    if problem != "ok":
        response.status_code = 503
    return Ready(
        ready=problem == "ok",
        model=parts.services.model,
        database=problem,
        reason=None if problem == "ok" else f"the database is {problem}: events are held, and then refused with 503",
        refused=[
            *refused,
            *(f"searches: {why}" for why in parts.services.search.refusals),
            *(f"uploaded images: {why}" for why in parts.services.examples.refusals),
        ],
    )


async def _look(parts: Parts) -> tuple[Literal["ok"] | db.Away, list[str]]:
    """The problem with the database; if there is none, which processes refused to start."""
    try:
        return "ok", await parts.probing(lambda: parts.takes_events(parts.services.engine))
    except HTTPException as error:
        cause = error.__cause__ or error
        # The database's address and user name go to the log only, because this page needs no token.
        _log.warning("events cannot be committed", action="ready", error=db.in_one_line(cause))
        return db.why_away(cause), []


@router.get("/metrics", include_in_schema=False)
async def prometheus() -> Response:
    """Metrics of this process. Needs no token."""
    body, media_type = metrics.exposition()
    return Response(body, media_type=media_type)
