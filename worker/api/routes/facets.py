"""Facets, samples and near-duplicates of the images that match a filter."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends

from worker.api import access, serializers
from worker.api.authentication import SearchRoute
from worker.api.facet_models import (
    Duplicate,
    DuplicateGroup,
    DuplicateRequest,
    Duplicates,
    FacetRequest,
    Facets,
    LabelSample,
    Sample,
    SampleRequest,
)
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.pipeline.reading import duplicates, facets, sample

router = APIRouter(
    prefix="/v1",
    tags=["images"],
    route_class=SearchRoute,
    dependencies=access.described(SearchRoute.scope),
    responses=described(400, 401, 403, 408, 413, 415, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Facets = Annotated[
    FacetRequest,
    Body(
        openapi_examples={
            "night": {
                "summary": "What the photos of 2024 have that were taken at night",
                "value": {
                    "filter": {
                        "taken_since": "2024",
                        "taken_until": "2024",
                        "tags": [{"taxonomy": "time-of-day", "label": "night"}],
                    }
                },
            }
        }
    ),
]
_Sample = Annotated[
    SampleRequest,
    Body(openapi_examples={"five": {"summary": "Five of each label", "value": {"taxonomy": "time-of-day"}}}),
]
_Duplicates = Annotated[
    DuplicateRequest,
    Body(openapi_examples={"bucket": {"summary": "In a bucket", "value": {"filter": {"bucket": "photos"}}}}),
]


@router.post("/facets", summary="Count what images have")
async def post_facets(request: _Facets, parts: _Parts) -> Facets:
    """Labels with their probabilities, when and with what images were taken, their sizes, and what is in quarantine.

    All counts are over the images that match the filter, whose number is `of`. Up to 50,000 are all counted; of more, a
    uniform sample of 20,000 is examined, and each count has a 95 % interval.
    """
    return Facets.model_validate(
        await parts.counting(
            lambda: facets.facets(
                parts.services.engine,
                request.filter.to_value(),
                taxonomies=request.taxonomies,
                limit=request.limit,
                seed=request.seed,
            )
        )
    )


@router.post("/samples", summary="Draw images of each label")
async def post_samples(request: _Sample, parts: _Parts) -> Sample:
    """A few images of each label, drawn at random, to see what the label means."""
    found = await parts.counting(
        lambda: sample.sample(
            parts.services.engine,
            request.filter.to_value(),
            taxonomy=request.taxonomy,
            labels=request.labels,
            per_label=request.per_label,
            seed=request.seed,
            most_labels=request.most_labels,
        )
    )
    return sampled(found)


@router.post("/duplicates", summary="List near-duplicates")
async def post_duplicates(request: _Duplicates, parts: _Parts) -> Duplicates:
    """Groups of images with the same bytes, or with perceptual hashes that differ in a few bits. Follow `next`."""
    found = await parts.counting(
        lambda: duplicates.duplicates(
            parts.services.engine,
            request.filter.to_value(),
            bits=request.bits,
            limit=request.limit,
            per_group=request.per_group,
            after=request.after,
        )
    )
    return duplicated(found)


def sampled(found: sample.Sample) -> Sample:
    """The sample as the API returns it."""
    labels = [
        LabelSample(
            label=each.label,
            images=[serializers.image(image) for image in each.images],
            total=each.total,
            exact=each.exact,
        )
        for each in found.labels
    ]
    return Sample(taxonomy=found.taxonomy, seed=found.seed, labels=labels, left_out=found.left_out)


def duplicated(found: duplicates.DuplicatePage) -> Duplicates:
    """The page as the API returns it."""
    groups = [
        DuplicateGroup(
            images=[
                Duplicate(image=serializers.image(each.image), same_bytes=each.same_bytes, bits=each.bits)
                for each in group.images
            ],
            total=group.total,
            complete=group.complete,
        )
        for group in found.groups
    ]
    return Duplicates(groups=groups, examined=found.examined, next=found.next)
