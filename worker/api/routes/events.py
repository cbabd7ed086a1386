"""Event intake: notifications of object stores."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from worker import events, metrics
from worker.api import access
from worker.api.authentication import EventRoute
from worker.api.models import Accepted
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.errors import MalformedEventError
from worker.events import Source
from worker.pipeline.intake.ingest import Notification

#: Bytes up to which a body is parsed on the event loop: a fraction of a millisecond, less than two threads take to
#: hand it to each other. Notifications of one object have about a thousand.
_SMALL = 16 << 10

_REASONS = 10

router = APIRouter(
    prefix="/v1/events",
    tags=["events"],
    route_class=EventRoute,
    dependencies=access.described(EventRoute.scope),
    responses=described(400, 401, 403, 408, 413, 415, 503),
)


def _described(source: Source) -> dict[str, Any]:
    names = " or ".join(f"`schemas/events/{name}.schema.json`" for name in source.schemas)
    shape = {"schema": {"type": "object"}, "example": dict(source.example)}
    return {
        "requestBody": {
            "required": True,
            "description": f"Its schema is {names}. Any content type is read as JSON.",
            "content": {"application/json": shape},
        }
    }


async def take(request: Request) -> Response:
    """The endpoint of every source. The last part of the path names the source."""
    source = str(request.scope["route"].path).rpartition("/")[2]
    parts = await parts_of(request)
    try:
        body = await request.body()
        with metrics.INTAKE_SECONDS.time():
            taken = await _take(parts, source, body)
    except HTTPException as error:
        if error.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            parts.services.ingest.missed()
        raise
    answer = Accepted(hinted=taken.hinted, ignored=dict(taken.ignored), test=taken.test)
    if taken.refused:
        answer.refused, answer.reasons = len(taken.refused), [part.reason for part in taken.refused[:_REASONS]]
    return Response(answer.model_dump_json(exclude_unset=True), media_type="application/json")


async def _take(parts: Parts, source: str, body: bytes) -> Notification:
    """A plain notification that is held while the database is unavailable occupies no thread: there are only a few."""
    ingest = parts.services.ingest
    try:
        if len(body) <= _SMALL:
            notification = ingest.parse(source, body)
        else:
            notification = await parts.intake(lambda: ingest.parse(source, body))
    except MalformedEventError as error:
        why = str(error)
        raise await parts.intake(lambda: ingest.reject(source, body, why)) from error
    if notification.is_plain:
        await parts.intake.result_of(ingest.submit(source, notification))
    else:
        await parts.intake(lambda: ingest.commit(source, [notification]))
    return notification


for _source in events.SOURCES.values():
    router.add_api_route(
        f"/{_source.name}",
        take,
        methods=["POST"],
        response_model=Accepted,
        name=f"events_{_source.name}",
        summary=f"Accept a notification from {_source.sender}",
        description="Answers 200 only once the work is committed: a sender that repeats everything answered with any "
        "other status loses nothing. While the database is unavailable, a notification is held for up to 25 seconds, "
        "then answered with 503. If the sender does not repeat it, the next reconciliation finds the objects.\n\nA "
        "notification that cannot be parsed is answered with 400 and kept: `enrich rejected` shows it. If it has "
        "several records or messages, those that can be parsed are accepted; the answer counts the others as "
        "`refused`, and they are kept.",
        openapi_extra=_described(_source),
    )
