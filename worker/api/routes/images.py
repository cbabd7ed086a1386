"""Reading back: one image, a search, what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query
from starlette.convertors import Convertor, register_url_convertor

from worker.api import present
from worker.api.explanations import Explanation, explanation
from worker.api.guard import BEARER, GuardedRoute, JsonRoute
from worker.api.models import Changes, Image, SearchRequest, SearchResponse, Text
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.pipeline import query
from worker.types import ObjectRef


class _KeyConvertor(Convertor[str]):
    """A path to its end. Starlette's own ``path`` ends at a line break, which keys may have."""

    regex = r"(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("object_key", _KeyConvertor())

router = APIRouter(
    prefix="/v1",
    tags=["images"],
    route_class=GuardedRoute,
    dependencies=[Depends(BEARER)],
    responses=described(401, 422, 503),
)
searches = APIRouter(
    prefix="/v1",
    tags=["images"],
    route_class=JsonRoute,
    dependencies=[Depends(BEARER)],
    responses=described(401, 408, 409, 413, 415, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Bucket = Annotated[Text, Path(description="Name of the bucket.", examples=["photos"])]
_Key = Annotated[
    Text,
    Path(
        description="Key of the object, percent-encoded; slashes may stay as they are.",
        examples=["2026/red flower.jpg"],
    ),
]
_After = Annotated[
    Text | None, Query(max_length=64, description="`next` of the page before; without it, from the beginning.")
]
_Taxonomies = Annotated[Sequence[Text], Query(description="Only these taxonomies; may be repeated.", max_length=64)]
_Limit = Annotated[int, Query(ge=1, le=10_000, description="Most changes in the answer.")]


@router.get("/images/{bucket}/{key:object_key}", summary="Get one image", responses=described(400, 404))
async def get_image(bucket: _Bucket, key: _Key, parts: _Parts) -> Image:
    """Metadata, and every tag with its provenance. A 404 says what is known about the object instead."""
    ref = ObjectRef(bucket=bucket, key=key)
    return present.image(await parts.reading(lambda: query.image(parts.services.engine, ref)))


@router.get(
    "/explanations/{bucket}/{key:object_key}",
    summary="Explain an image's tags",
    responses=described(400, 404, 409),
)
async def get_explanation(bucket: _Bucket, key: _Key, parts: _Parts, taxonomy: _Taxonomies = ()) -> Explanation:
    """Why an image has its tags: every number that was compared, and the reason it came to.

    Computed from the vector in the catalog, by the taxonomy versions that decided. The first one loads the model's text
    half, which takes seconds.
    """
    ref = ObjectRef(bucket=bucket, key=key)
    return explanation(await parts.searching(lambda: parts.services.explain(ref)), taxonomy)


@searches.post("/search", summary="Search by words")
async def search(request: SearchRequest, parts: _Parts) -> SearchResponse:
    """The images that match a text best, optionally only those with certain tags.

    The first search loads the model's text half, which takes seconds.
    """
    found = await parts.searching(
        lambda: parts.services.search(
            request.text,
            limit=request.limit,
            tags=present.filters(request.tags),
            min_similarity=request.min_similarity,
        )
    )
    return present.hits(found)


@router.get("/changes", summary="Follow what changes", responses=described(400))
async def changes(parts: _Parts, after: _After = None, limit: _Limit = 1_000) -> Changes:
    """What changed behind a cursor, in commit order. Nothing is skipped, nothing comes twice.

    Ask again with `after` set to `next`; an answer without changes means that there are none yet.
    """
    try:
        found = await parts.reading(lambda: query.changes(parts.services.engine, after=after, limit=limit))
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    return present.changes(found, after=after)
