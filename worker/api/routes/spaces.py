"""Embedding spaces."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from worker.api import access
from worker.api.authentication import ReadRoute
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.api.space_models import EmbeddingSpace, SpaceList
from worker.pipeline.spaces import lifecycle

router = APIRouter(
    prefix="/v1",
    tags=["operation"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]


@router.get("/spaces", summary="List embedding spaces")
async def list_spaces(parts: _Parts) -> SpaceList:
    """Each model's vectors: how many there are, what they were made from, and which of them answer searches.

    Vectors that were made from previews instead of originals belong to the same space; `preview_parity` says how near
    they are to those of originals, if that was measured.
    """
    found = await parts.reading(lambda: lifecycle.filled(parts.services.engine))
    return SpaceList(spaces=[EmbeddingSpace.model_validate(each) for each in found])
