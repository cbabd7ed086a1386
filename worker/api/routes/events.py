"""Event intake: a store says that something happened to its objects."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from worker import metrics
from worker.api.guard import BEARER, EventRoute
from worker.api.models import Accepted
from worker.api.problems import described
from worker.api.services import Parts, parts_of

router = APIRouter(
    prefix="/v1/events",
    tags=["events"],
    route_class=EventRoute,
    dependencies=[Depends(BEARER)],
    responses=described(400, 401, 408, 413, 415, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]


def _body(schema: str, example: dict[str, Any]) -> dict[str, Any]:
    description = f"Its shape is `schemas/events/{schema}`. Any content type is taken for JSON."
    return {
        "requestBody": {
            "required": True,
            "description": description,
            "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
        }
    }


_RECORD = {
    "eventName": "ObjectCreated:Put",
    "eventSource": "aws:s3",
    "s3": {"bucket": {"name": "photos"}, "object": {"key": "2026/red+flower.jpg"}},
}
_FILER_EVENT = {
    "event_type": "create",
    "key": "/buckets/photos/2026/red flower.jpg",
    "message": {"new_entry": {"name": "red flower.jpg"}, "new_parent_path": "/buckets/photos/2026"},
}


@router.post(
    "/s3",
    summary="Take a notification of AWS S3, RustFS, Ceph RGW or MinIO",
    openapi_extra=_body("s3.schema.json", {"Records": [_RECORD]}),
)
async def events_s3(request: Request, parts: _Parts) -> Accepted:
    """Answers 200 only once the work is committed: a sender that repeats whatever was answered otherwise loses nothing.

    A notification that cannot be parsed is answered with 400 and kept for inspection: `enrich rejected`.
    """
    return await _accept(request, parts, "s3")


@router.post(
    "/seaweedfs",
    summary="Take a call of SeaweedFS's webhook",
    openapi_extra=_body("seaweedfs.schema.json", _FILER_EVENT),
)
async def events_seaweedfs(request: Request, parts: _Parts) -> Accepted:
    """Answers 200 only once the work is committed: a sender that repeats whatever was answered otherwise loses nothing.

    A notification that cannot be parsed is answered with 400 and kept for inspection: `enrich rejected`.
    """
    return await _accept(request, parts, "seaweedfs")


async def _accept(request: Request, parts: Parts, source: str) -> Accepted:
    body = await request.body()
    with metrics.INTAKE_SECONDS.time():
        accepted = await parts.intake(lambda: parts.services.ingest.accept(source, body))
    return Accepted(hinted=accepted.hinted, ignored=dict(accepted.ignored), test=accepted.test)
