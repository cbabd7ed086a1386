"""Measuring tags by what people decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Body, Depends

from worker.api import access
from worker.api.authentication import EvaluationRoute
from worker.api.evaluation_models import Evaluation, PostEvaluation, TestSet
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.catalog.decisions import Verdict
from worker.errors import ChoiceError
from worker.pipeline.evaluation import evaluate as use_case
from worker.pipeline.evaluation.evaluate import EvaluationRequest
from worker.pipeline.evaluation.label_files import labels_of
from worker.pipeline.learning.held_out import held_out
from worker.pipeline.review.formats.rows import FileRow, Place
from worker.types import ObjectRef

router = APIRouter(
    prefix="/v1",
    tags=["evaluation"],
    route_class=EvaluationRoute,
    dependencies=access.described(EvaluationRoute.scope),
    responses=described(400, 401, 403, 404, 408, 413, 415, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Asked = Annotated[
    PostEvaluation,
    Body(
        openapi_examples={
            "decisions": {"summary": "By people's decisions", "value": {"taxonomies": ["time-of-day"]}},
            "test set": {
                "summary": "By labels of your own",
                "value": {
                    "test_set": {
                        "taxonomy": "time-of-day",
                        "labels": [{"bucket": "photos", "key": "red.jpg", "label": "night"}],
                    }
                },
            },
        }
    ),
]
#: How a test set is called in messages.
_NAME = "the test set"


@router.post("/evaluations", summary="Measure tags")
async def post_evaluation(request: _Asked, parts: _Parts) -> Evaluation:
    """How many tags are right, by label, with intervals; nothing is stored.

    Only images that were drawn at random are counted, one of near-duplicates: those of random review plans. What
    reviews taught and several spaces are compared on the same images.
    """
    return await parts.searching(lambda: _evaluated(parts, request))


def _evaluated(parts: Parts, request: PostEvaluation) -> Evaluation:
    engine, queues = parts.services.engine, parts.services.queues
    file = None if request.test_set is None else labels_of(engine, _rows(request.test_set), name=_NAME)
    wanted = EvaluationRequest(
        taxonomies=tuple(request.taxonomies), spaces=tuple(request.spaces), file=file, cross_validate=held_out
    )
    return Evaluation.model_validate(use_case.evaluate(engine, queues.build, wanted))


def _rows(test_set: TestSet) -> Iterator[FileRow]:
    for number, each in enumerate(test_set.labels, 1):
        if each.verdict not in (Verdict.ACCEPT, Verdict.REJECT, Verdict.NONE):
            raise ChoiceError(f"labels[{number - 1}].verdict: a test set takes accept, reject and none")
        if (each.label is None) != (each.verdict is Verdict.NONE):
            raise ChoiceError(f"labels[{number - 1}].label: give one with accept and reject, and none with none")
        yield FileRow(
            place=Place(line=number),
            ref=ObjectRef(bucket=each.bucket, key=each.key),
            taxonomy=test_set.taxonomy,
            verdict=each.verdict,
            labels=() if each.label is None else (each.label,),
            chosen=each.chosen,
        )
