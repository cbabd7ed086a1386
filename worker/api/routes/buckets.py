"""Known buckets: which are missing from the store, and dropping one that is gone."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from worker.api import access, operation_serializers
from worker.api.authentication import GuardedRoute, ReadRoute
from worker.api.operation_models import BucketList
from worker.api.parameters import BucketInPath
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.pipeline.operations import buckets as use_case

router = APIRouter(
    prefix="/v1/buckets",
    tags=["operation"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 422, 503),
)
changes = APIRouter(
    prefix="/v1/buckets",
    tags=["operation"],
    route_class=GuardedRoute,
    dependencies=access.described(GuardedRoute.scope),
    responses=described(400, 401, 403, 404, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]


@router.get("", summary="List known buckets")
async def list_buckets(parts: _Parts) -> BucketList:
    """Every bucket in which an object was announced: where it was last found, since when it is missing, and whether it
    counts as deleted; and how many of its objects are in each state. Every known object is in exactly one.
    """
    found = await parts.reading(lambda: use_case.with_objects(parts.services.engine))
    return BucketList(buckets=[operation_serializers.bucket(*each) for each in found])


@changes.delete("/{bucket}", status_code=204, summary="Drop a bucket that does not exist")
async def drop_bucket(bucket: BucketInPath, parts: _Parts) -> None:
    """Treat a bucket that is missing from the store as deleted, without waiting any longer.

    Once a worker has confirmed with the store that the bucket does not exist, its events are closed, and its images
    leave the catalog and are announced as removed in the change feed. A bucket that the store has is refused with 422.
    """
    services = parts.services
    await parts.reading(lambda: use_case.drop(services.engine, bucket, notify=services.notify))
