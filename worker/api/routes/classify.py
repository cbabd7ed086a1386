"""Classifying images without storing anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response

from worker import tagging
from worker.api import access
from worker.api.authentication import UploadRoute
from worker.api.classify_models import Classification, PictureToClassify, PostClassification, classification
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.errors import ChoiceError, TaxonomyError
from worker.pipeline.reading.classify import Classified, Classifier, Picture, Question

router = APIRouter(
    prefix="/v1",
    tags=["classification"],
    route_class=UploadRoute,
    dependencies=access.described(UploadRoute.scope),
    responses=described(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Asked = Annotated[
    PostClassification,
    Body(
        openapi_examples={
            "labels": {
                "summary": "By labels of your own",
                "value": {
                    "images": [{"image": "photos/red.jpg"}],
                    "labels": ["hen", {"name": "dog", "prompts": ["dog", "puppy"]}],
                    "templates": ["a photo of a {}"],
                    "background": ["a photo"],
                },
            },
            "taxonomies": {
                "summary": "All images that match a filter, by a taxonomy in force",
                "value": {"filter": {"bucket": "photos"}, "limit": 2, "taxonomies": ["time-of-day"]},
            },
        }
    ),
]


@router.post("/classify", summary="Classify images", response_model=Classification)
async def post_classification(request: _Asked, parts: _Parts) -> Response:
    """Images by labels given with them, by taxonomies in force, or by definitions; nothing is stored.

    An image that cannot be read has a `problem`, and the others their answers. The first request loads the model, which
    takes seconds; images of the catalog by taxonomies in force need none.
    """
    parts.images.take(request.uploads)
    return await parts.encoding(lambda: _classified(request, parts.services.classifier))


def _classified(request: PostClassification, classifier: Classifier) -> Response:
    """Written out in the thread: so many numbers take long."""
    try:
        found = _answered(request, classifier)
    except TaxonomyError as error:
        raise ChoiceError(str(error)) from error
    return Response(classification(found).model_dump_json(), media_type="application/json")


def _answered(request: PostClassification, classifier: Classifier) -> Classified:
    texts = {f"definitions[{number}]": each for number, each in enumerate(request.definitions or ())}
    question = Question(
        labels=request.given_labels(),
        taxonomies=tuple(request.taxonomies or ()),
        files=tagging.parse_files(texts),
        top=request.top,
    )
    if request.filter is not None:
        return classifier.page(request.filter.to_value(), question, limit=request.limit, after=request.after)
    return classifier.images(_pictures(request.images or ()), question)


def _pictures(given: Sequence[PictureToClassify]) -> list[Picture | ChoiceError]:
    return [_picture(each, f"images[{number}]") for number, each in enumerate(given)]


def _picture(given: PictureToClassify, where: str) -> Picture | ChoiceError:
    """The image, or why its base64 is wrong: that costs no other image its answer."""
    try:
        return given.value(where)
    except ChoiceError as error:
        return error
