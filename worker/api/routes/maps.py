"""2-D maps of all images: versions, points, colours, and the images of some points."""

from __future__ import annotations

import base64
import re
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response

from worker.api import access
from worker.api.authentication import ReadRoute, ReviewRoute, SearchRoute
from worker.api.map_models import Map, MapColour, MapColours, MapImage, MapImages, MapList, PostMap, PostMapImages
from worker.api.models import Text
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.catalog.read import ImageRecord
from worker.pipeline.maps import colours, points, requests

router = APIRouter(
    prefix="/v1",
    tags=["maps"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 404, 409, 422, 503),
)
searches = APIRouter(
    prefix="/v1",
    tags=["maps"],
    route_class=SearchRoute,
    dependencies=access.described(SearchRoute.scope),
    responses=described(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
)
changes = APIRouter(
    prefix="/v1",
    tags=["maps"],
    route_class=ReviewRoute,
    dependencies=access.described(ReviewRoute.scope),
    responses=described(400, 401, 403, 408, 409, 413, 415, 422, 503),
)

#: The first points of a map never change; how many there are does.
_FOR_EVER = "private, max-age=31536000, immutable"
_ASK_AGAIN = "private, no-cache"
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')

_Parts = Annotated[Parts, Depends(parts_of)]
_Map = Annotated[int, Path(ge=1, lt=1 << 63, description="Number of the map.")]
_Count = Annotated[
    int | None,
    Query(
        ge=1,
        lt=1 << 31,
        description="Only the first so many points; by default all. With `images` of the map, the address names what "
        "never changes, and colours fit to the points.",
    ),
]
_By = Annotated[
    Text,
    Query(
        min_length=1,
        max_length=210,
        description="`tag:TAXONOMY`: the label in force, of several that of a person, or the most probable one. "
        "`decision`: what people decided. `time`: when it was taken. `bucket`.",
    ),
]
_New = Annotated[
    PostMap,
    Body(
        openapi_examples={
            "draw": {"summary": "Draw a map", "value": {}},
            "update": {"summary": "Place new images on the current map", "value": {"update": True}},
        }
    ),
]
_Picked = Annotated[
    PostMapImages, Body(openapi_examples={"two": {"summary": "Two points", "value": {"points": [0, 1]}}})
]
_POINTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "For each point x, then y: two unsigned 16-bit integers, little-endian, from 0 to 65,535, "
        "with the same scale on both axes.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "The points are still those with the ETag of `If-None-Match`."},
}


@router.get("/maps", summary="List maps")
async def list_maps(parts: _Parts) -> MapList:
    """Versions of the map of all images, newest first. The one to show is `current`; one more is kept behind it."""
    return MapList.of(await parts.reading(lambda: requests.maps(parts.services.engine)))


@changes.post("/maps", status_code=202, summary="Ask for a map")
async def post_map(request: _New, parts: _Parts) -> Map:
    """Ask the scheduler to draw a map of the active space, or to place new images on the current one.

    It begins within seconds, in a process of its own with the lowest priority; ask `GET /v1/maps` how far it is. If a
    map of the space is requested or drawn already, that one is returned. Until the new map is ready, the one before is
    current. A 409 says that there is nothing to draw, or no map to update.
    """
    engine = parts.services.engine
    if request.update:
        return Map.of(await parts.reading(lambda: requests.request_update(engine)))
    wanted = requests.MapRequest(method=request.method, sample=request.sample, seed=request.seed)
    return Map.of(await parts.reading(lambda: requests.requested(engine, wanted)))


@router.get("/maps/{map}/points", summary="Get a map's points", response_class=Response, responses=_POINTS)
async def get_map_points(request: Request, map: _Map, parts: _Parts, count: _Count = None) -> Response:  # noqa: A002
    """Where each image lies, as numbers that a graphics card can read. A point's number is its place in this list."""
    engine = parts.services.engine
    wanted = await parts.reading(lambda: points.count(engine, map, count))
    headers = {
        "Cache-Control": _ASK_AGAIN if count is None else _FOR_EVER,
        "ETag": f'"{map}-{wanted}"',
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if f"{map}-{wanted}" in _ETAG.findall(", ".join(request.headers.getlist("if-none-match"))):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    data = await parts.reading(lambda: points.points(engine, map, count=wanted))
    return Response(data, headers=headers, media_type="application/octet-stream")


@router.get("/maps/{map}/colours", summary="Colour a map's points")
async def get_map_colours(map: _Map, by: _By, parts: _Parts, count: _Count = None) -> MapColours:  # noqa: A002
    """One byte for each point, and what the bytes mean; at most 252 values have a number of their own."""
    found = await parts.counting(lambda: colours.colours(parts.services.engine, map, by, count=count))
    return MapColours(
        map=map,
        by=by,
        count=len(found.column),
        column=base64.b64encode(found.column).decode(),
        legend=[MapColour.model_validate(each, from_attributes=True) for each in found.legend],
    )


@searches.post("/maps/{map}/images", summary="Get the images of some points")
async def post_map_images(map: _Map, request: _Picked, parts: _Parts) -> MapImages:  # noqa: A002
    """Which images lie at these points, with their tags: for a click, or for a selection."""
    found = await parts.reading(lambda: points.picked(parts.services.engine, map, request.points))
    return MapImages(images=[_image(point, record) for point, record in found.images], gone=list(found.gone))


def _image(point: int, record: ImageRecord) -> MapImage:
    tags: dict[str, list[str]] = {}
    for tag in record.tags:
        if tag.in_force and tag.label is not None:
            tags.setdefault(tag.taxonomy, []).append(tag.label)
    return MapImage(
        point=point, bucket=record.bucket, key=record.key, sha256=record.sha256, taken_at=record.taken_at, tags=tags
    )
