"""Searches, saved queries, and similarities."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, HTTPException, Path, Query
from pydantic import ValidationError

from worker.api import access, problems, saved_queries, search_answers, strict_json
from worker.api.authentication import ReadRoute, ReviewUploadRoute, UndoRoute, UploadRoute
from worker.api.problems import described
from worker.api.search_models import (
    QueryName,
    SavedQuery,
    SavedQueryList,
    SearchRequest,
    SearchResponse,
    SimilarityRequest,
    SimilarityTable,
)
from worker.api.services import Parts, Services, parts_of
from worker.pipeline.reading.similarity import similarities

router = APIRouter(
    prefix="/v1",
    tags=["search"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 404, 409, 422, 503),
)
searches = APIRouter(
    prefix="/v1",
    tags=["search"],
    route_class=UploadRoute,
    dependencies=access.described(UploadRoute.scope),
    responses=described(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
)
changes = APIRouter(
    prefix="/v1",
    tags=["search"],
    route_class=ReviewUploadRoute,
    dependencies=access.described(ReviewUploadRoute.scope),
    responses=described(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
)
removals = APIRouter(
    prefix="/v1",
    tags=["search"],
    route_class=UndoRoute,
    dependencies=access.described(UndoRoute.scope),
    responses=described(400, 401, 403, 404, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Name = Annotated[QueryName, Path(description="Name of the saved query.")]
_EXAMPLES = {
    "words": {
        "summary": "By words, among images with a tag",
        "value": {
            "text": "a cat on a sofa",
            "limit": 10,
            "tags": [{"taxonomy": "time-of-day", "label": "night"}],
            "min_similarity": 0.2,
        },
    },
    "label": {
        "summary": "By a label, regardless of tags",
        "value": {"label": {"taxonomy": "setting", "label": "indoor"}, "limit": 10},
    },
    "examples": {
        "summary": "Like an image of the catalog, but without people",
        "value": {"like": [{"image": "photos/red.jpg"}], "unlike": [{"text": "people"}], "limit": 10},
    },
}
_Search = Annotated[SearchRequest, Body(openapi_examples=_EXAMPLES)]
_Saved = Annotated[SearchRequest, Body(openapi_examples=_EXAMPLES)]
_Compared = Annotated[
    SimilarityRequest,
    Body(
        openapi_examples={
            "words": {
                "summary": "Words and an image of the catalog",
                "value": {"examples": [{"text": "a dog"}, {"text": "a wolf"}, {"image": "photos/red.jpg"}]},
            }
        }
    ),
]
_QueryText = Annotated[
    str,
    Query(
        min_length=2,
        max_length=8_000,
        description="A request as `POST /v1/search` takes it, as JSON. Files are refused: an address is for links.",
        examples=['{"text": "a cat on a sofa", "limit": 10}'],
    ),
]


@searches.post("/search", summary="Search by examples: words, images, labels, vectors")
async def search(request: _Search, parts: _Parts) -> SearchResponse:
    """The images that are most like some examples and least like others, optionally only those that match a filter.

    The first search by words or by an uploaded image loads the model, which takes seconds; images of the catalog,
    labels and vectors need no model. Uploaded images are not stored.
    """
    parts.images.take(request.uploads)
    return await _answer(request, parts)


@router.get("/search", summary="Search by a link")
async def search_by_link(query: _QueryText, parts: _Parts) -> SearchResponse:
    """The same as `POST /v1/search`, with the request in the address: for links that can be shared."""
    try:
        request = SearchRequest.model_validate_json(strict_json.checked(query))
    except ValidationError as error:
        raise HTTPException(422, problems.complaints(error.errors(), of="query")) from error
    if request.uploads:
        raise HTTPException(
            422, "an address holds no files: send them with POST /v1/search, or save the query and name it in `saved`"
        )
    return await _answer(request, parts)


async def _answer(request: SearchRequest, parts: Parts) -> SearchResponse:
    run = parts.encoding if request.uploads else parts.searching
    return await run(lambda: _found(request, parts.services))


def _found(request: SearchRequest, services: Services) -> SearchResponse:
    query = saved_queries.complete(services.queries_saved, request).to_value()
    return search_answers.found(services.find(query))


@searches.post("/similarity", summary="Compare texts, images, labels and vectors with each other")
async def similarity(request: _Compared, parts: _Parts) -> SimilarityTable:
    """The cosines of all pairs, in the active space; nothing is stored."""
    uploads = sum(each.is_upload for each in request.examples)
    parts.images.take(uploads)
    run = parts.encoding if uploads else parts.searching
    return await run(lambda: _compared(request, parts.services))


def _compared(request: SimilarityRequest, services: Services) -> SimilarityTable:
    given = [each.value(f"examples[{number}]") for number, each in enumerate(request.examples)]
    return search_answers.similarity_table(similarities(services.examples, given))


# -- saved queries -----------------------------------------------------------------------------------------------------
@router.get("/queries", summary="List saved queries")
async def list_queries(parts: _Parts) -> SavedQueryList:
    """All saved queries, by name; there are at most 1,000."""
    found = await parts.reading(parts.services.queries_saved.every)
    return SavedQueryList(queries=[SavedQuery.model_validate(each) for each in found])


@router.get("/queries/{name}", summary="Get a saved query")
async def get_query(name: _Name, parts: _Parts) -> SavedQuery:
    """The request that was saved. Search with it by `{"saved": NAME}`."""
    return SavedQuery.model_validate(await parts.reading(lambda: parts.services.queries_saved.find(name)))


@changes.put("/queries/{name}", summary="Save a query")
async def put_query(name: _Name, request: _Saved, parts: _Parts) -> SavedQuery:
    """Save a request under a name, in place of one that has it. Files are not stored: their vectors are.

    A query with vectors can be used as long as their embedding space is active.
    """
    parts.images.take(request.uploads)
    services, asked = parts.services, saved_queries.CompletedRequest(request=request)
    return SavedQuery.model_validate(
        await parts.encoding(lambda: saved_queries.save(services.queries_saved, services.examples, name, asked))
    )


@removals.delete("/queries/{name}", status_code=204, summary="Delete a saved query")
async def delete_query(name: _Name, parts: _Parts) -> None:
    """Searches that name it are refused from then on."""
    await parts.reading(lambda: parts.services.queries_saved.delete(name))
