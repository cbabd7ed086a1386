"""Vectors of texts, images and labels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response

from worker.api import access
from worker.api.authentication import UploadRoute
from worker.api.embedding_models import EmbeddingList, PostEmbeddings, embedding_list
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.pipeline.reading.embed import EmbeddingRequest, embed

router = APIRouter(
    prefix="/v1",
    tags=["embeddings"],
    route_class=UploadRoute,
    dependencies=access.described(UploadRoute.scope),
    responses=described(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Asked = Annotated[
    PostEmbeddings,
    Body(
        openapi_examples={
            "texts": {"summary": "Texts", "value": {"input": ["a photo of a hen", "a photo of a dog"]}},
            "anything": {
                "summary": "Images of the catalog, and labels",
                "value": {
                    "input": [{"image": "photos/red.jpg"}, {"label": {"taxonomy": "setting", "label": "indoor"}}],
                    "encoding_format": "base64",
                },
            },
        }
    ),
]


@router.post("/embeddings", summary="Embed texts, images and labels", response_model=EmbeddingList)
async def post_embeddings(request: _Asked, parts: _Parts) -> Response:
    """Vectors of unit length, in the active space or another; nothing is stored.

    Request and answer follow OpenAI's embeddings API, whose clients can be used. The first request with a text or an
    uploaded image loads the model, which takes seconds. Images of the catalog and labels need no model.
    """
    parts.images.take(sum(each.is_upload for each in request.input))
    return await parts.encoding(lambda: _embedded(request, parts))


def _embedded(request: PostEmbeddings, parts: Parts) -> Response:
    """Written out in the thread: so many numbers take long."""
    examples = tuple(each.value(f"input[{number}]") for number, each in enumerate(request.input))
    wanted = EmbeddingRequest(
        examples=examples, model=request.model, space=request.space, dimensions=request.dimensions
    )
    found = embed(parts.services.engine, parts.services.examples, wanted)
    answer = embedding_list(
        found.space.id, found.space.model, found.vectors, found.tokens, as_base64=request.encoding_format == "base64"
    )
    return Response(answer.model_dump_json(), media_type="application/json")
