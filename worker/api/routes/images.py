"""Reading: images, explanations, the change feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.convertors import Convertor, register_url_convertor

from worker.api import access, serializers
from worker.api.authentication import ReadRoute
from worker.api.count_models import LabelCounts
from worker.api.explanations import Explanation, explanation
from worker.api.filter_models import FilterText, from_text
from worker.api.image_models import Image, ImageList, NearestLabels
from worker.api.models import (
    Changes,
    MomentText,
    TagSource,
    TagText,
    Text,
)
from worker.api.parameters import BucketInPath, KeyInPath, OnlyBucket, OnlyPrefix
from worker.api.problems import described
from worker.api.services import Parts, parts_of
from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.pipeline.common import time_filters
from worker.pipeline.delivery import change_feed
from worker.pipeline.reading import image_list, image_lookup, label_counts
from worker.types import ObjectRef


class _KeyConvertor(Convertor[str]):
    """The rest of a path. Starlette's own ``path`` ends at a line break, which keys may contain."""

    regex = r"(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("object_key", _KeyConvertor())

router = APIRouter(
    prefix="/v1",
    tags=["images"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 422, 503),
)
_Parts = Annotated[Parts, Depends(parts_of)]
_Tags = Annotated[
    list[TagText],
    Query(
        alias="tag",
        max_length=16,
        description="Only images to which this tag applies, as `TAXONOMY=LABEL`; may be repeated: all must apply.",
        examples=[["time-of-day=night"]],
    ),
]
_Suggested = Annotated[
    list[TagText],
    Query(
        alias="suggested",
        max_length=16,
        description="Only images for which the active model suggests this label and about which nobody has decided, as "
        "`TAXONOMY=LABEL`; may be repeated: all must be suggested.",
    ),
]
_Source = Annotated[
    TagSource | None,
    Query(
        description="Only tags from this source: those named by `tag`; without `tag`, at least one tag of the image."
    ),
]
_UpdatedSince = Annotated[
    MomentText | None,
    Query(
        description="Only images whose `enriched_at` is not earlier: `2d`, `12h`, or a time with its offset. New tags "
        "for the same bytes do not change it: to keep a copy, follow `/v1/changes`."
    ),
]
_Behind = Annotated[
    str | None, Query(max_length=10_000, description="`next` of the previous page, with the same filters.")
]
_Order = Annotated[
    image_list.ListOrder,
    Query(description="`key`: by bucket and key; `newest`: the image that was added last comes first."),
]
_PageLimit = Annotated[int, Query(ge=1, le=1_000, description="Most images to return.")]
_After = Annotated[
    Text | None,
    Query(
        max_length=96,
        description="`next` of the previous page; `end`: the end of the feed; if omitted, from the beginning.",
    ),
]
_Taxonomies = Annotated[Sequence[Text], Query(description="Only these taxonomies; may be repeated.", max_length=64)]
_MostLabels = Annotated[int, Query(ge=1, le=1_000, description="Most labels to return.")]
_LabelsPerTaxonomy = Annotated[int, Query(ge=1, le=10_000, description="Most labels per taxonomy.")]
_CountedSource = Annotated[TagSource | None, Query(description="Only tags from this source.")]
_Limit = Annotated[int, Query(ge=1, le=10_000, description="Most changes to return.")]


async def wanted(
    *,
    bucket: OnlyBucket = None,
    prefix: OnlyPrefix = None,
    tags: _Tags = [],  # noqa: B006  # FastAPI copies it
    suggested: _Suggested = [],  # noqa: B006
    source: _Source = None,
    updated_since: _UpdatedSince = None,
    filter_: FilterText = None,
) -> ImageFilter:
    """The filters of a list. An image must match all of them."""
    plain = ImageFilter(
        bucket=bucket,
        prefix=prefix,
        tags=_filters(tags),
        suggested=_filters(suggested),
        source=source,
        enriched_since=None if updated_since is None else time_filters.parse(updated_since),
    )
    return plain if filter_ is None else plain.and_(from_text(filter_))


def _filters(tags: Sequence[str]) -> tuple[TagFilter, ...]:
    return tuple(TagFilter(taxonomy=each.partition("=")[0], label=each.partition("=")[2]) for each in tags)


_Wanted = Annotated[ImageFilter, Depends(wanted)]


@router.get("/images", summary="List images")
async def list_images(
    parts: _Parts, filters: _Wanted, limit: _PageLimit = 100, after: _Behind = None, order: _Order = "key"
) -> ImageList:
    """Images sorted by bucket and key, or newest first, each as `GET` returns it alone. Follow `next` until it is null.

    An image that exists throughout is on exactly one page, whatever is written meanwhile. A page may have fewer images
    than `limit`, even none, although more follow: a request for something rare stops after a bounded time.
    """
    page = await parts.reading(
        lambda: image_list.images(parts.services.engine, filters, limit=limit, after=after, order=order)
    )
    return ImageList(images=[serializers.image(each) for each in page.images], next=page.next)


@router.get("/label-counts", summary="Count images by label")
async def get_label_counts(
    *,
    parts: _Parts,
    bucket: OnlyBucket = None,
    prefix: OnlyPrefix = None,
    taxonomy: _Taxonomies = (),
    source: _CountedSource = None,
    limit: _LabelsPerTaxonomy = 1_000,
) -> LabelCounts:
    """How many images have each label now, and for how many each taxonomy is undecided.

    The work is bounded: if there are more than a million rows of tags, and the filters match more than 100,000 images,
    the numbers are estimated from a sample, and `exact` is false.
    """
    place = label_counts.CountScope(bucket=bucket, prefix=prefix)
    found = await parts.reading(
        lambda: label_counts.count(parts.services.engine, place, taxonomies=taxonomy, source=source, limit=limit)
    )
    return LabelCounts.model_validate(found)


@router.get("/images/{bucket}/{key:object_key}", summary="Get one image", responses=described(404))
async def get_image(bucket: BucketInPath, key: KeyInPath, parts: _Parts) -> Image:
    """Metadata, and every tag with its provenance. A 404 says what is known about the object instead."""
    ref = ObjectRef(bucket=bucket, key=key)
    return serializers.image(await parts.reading(lambda: image_lookup.image(parts.services.engine, ref)))


@router.get(
    "/explanations/{bucket}/{key:object_key}",
    summary="Explain an image's tags",
    responses=described(404, 409),
)
async def get_explanation(
    bucket: BucketInPath, key: KeyInPath, parts: _Parts, taxonomy: _Taxonomies = ()
) -> Explanation:
    """Why an image has its tags: every number that was compared, and the resulting reason.

    Computed from the vector in the catalog, with the taxonomy versions that decided. The first request loads the
    model's text tower, which takes seconds.
    """
    ref = ObjectRef(bucket=bucket, key=key)
    return explanation(await parts.searching(lambda: parts.services.explain(ref, only=taxonomy)))


@router.get(
    "/nearest-labels/{bucket}/{key:object_key}",
    summary="Find the labels nearest to an image",
    responses=described(404, 409),
)
async def get_nearest_labels(
    bucket: BucketInPath, key: KeyInPath, parts: _Parts, taxonomy: _Taxonomies = (), limit: _MostLabels = 10
) -> NearestLabels:
    """From all taxonomies in use, vocabularies included, or from some. The nearest label is not a tag."""
    ref = ObjectRef(bucket=bucket, key=key)
    found = await parts.reading(lambda: parts.services.labels.labels_of(ref, limit=limit, taxonomies=taxonomy))
    return serializers.nearest_labels(found)


@router.get("/changes", summary="Follow what changes", responses=described(410))
async def changes(parts: _Parts, after: _After = None, limit: _Limit = 1_000) -> Changes:
    """Changes after a cursor, in commit order. None is skipped, none comes twice.

    Repeat with `after` set to `next`; a response without changes means that there are none yet. `after=end` returns the
    end of the feed, to follow from once all images were read. Changes are kept for `ENRICH_FEED_RETENTION_DAYS`. A 410
    means that some after the cursor have been deleted, or that the database is a different one; it says how to start
    over.
    """
    return serializers.changes(
        await parts.reading(lambda: change_feed.changes(parts.services.engine, after=after, limit=limit))
    )
