"""Event intake: a store says that something happened to its objects."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from worker import events, metrics
from worker.api.guard import BEARER, EventRoute
from worker.api.models import Accepted
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.events import Source

router = APIRouter(
    prefix="/v1/events",
    tags=["events"],
    route_class=EventRoute,
    dependencies=[Depends(BEARER)],
    responses=described(400, 401, 408, 413, 415, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]


def _described(source: Source) -> dict[str, Any]:
    names = " or ".join(f"`schemas/events/{name}.schema.json`" for name in source.schemas)
    shape = {"schema": {"type": "object"}, "example": dict(source.example)}
    return {
        "requestBody": {
            "required": True,
            "description": f"Its shape is {names}. Any content type is taken for JSON.",
            "content": {"application/json": shape},
        }
    }


async def take(request: Request, parts: _Parts) -> Accepted:
    """The endpoint of every source, which is the last part of its path."""
    source = str(request.scope["route"].path).rpartition("/")[2]
    body = await request.body()
    with metrics.INTAKE_SECONDS.time():
        accepted = await parts.intake(lambda: parts.services.ingest.accept(source, body))
    return Accepted(hinted=accepted.hinted, ignored=dict(accepted.ignored), test=accepted.test)


for _source in events.SOURCES.values():
    router.add_api_route(
        f"/{_source.name}",
        take,
        methods=["POST"],
        name=f"events_{_source.name}",
        summary=f"Take a notification of {_source.sender}",
        description="Answers 200 only once the work is committed: a sender that repeats whatever was answered "
        "otherwise loses nothing.\n\nA notification that cannot be parsed is answered with 400 and kept for "
        "inspection: `enrich rejected`.",
        openapi_extra=_described(_source),
    )
