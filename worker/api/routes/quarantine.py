"""The quarantine: list, show, retry and give up objects that could not be enriched."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query

from worker.api import access, serializers
from worker.api.authentication import JsonRoute, ReadRoute
from worker.api.models import MomentText
from worker.api.parameters import BucketInPath, KeyInPath, OnlyBucket, OnlyPrefix
from worker.api.problems import described
from worker.api.quarantine_models import (
    QuarantineChanged,
    QuarantineChoice,
    QuarantineCounts,
    QuarantineDetails,
    QuarantineList,
)
from worker.api.services import Parts, parts_of
from worker.errors import ChoiceError
from worker.pipeline.common import time_filters
from worker.pipeline.operations import quarantine as use_case
from worker.types import ObjectRef, Reason

#: Seconds after which a retry or a drop returns, finished or not.
_PATIENCE = 5.0

router = APIRouter(
    prefix="/v1/quarantine",
    tags=["quarantine"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 422, 503),
)
changes = APIRouter(
    prefix="/v1/quarantine",
    tags=["quarantine"],
    route_class=JsonRoute,
    dependencies=access.described(JsonRoute.scope),
    responses=described(400, 401, 403, 408, 413, 415, 422, 503),
)

_Parts = Annotated[Parts, Depends(parts_of)]
_Reason = Annotated[Reason | None, Query(description="Only this reason.")]
_Since = Annotated[
    MomentText | None, Query(description="Only entries put there since: `2d`, `12h`, or a time with its offset.")
]
_OlderThan = Annotated[
    MomentText | None, Query(description="Only entries put there before: `30d`, `12h`, or a time with its offset.")
]
_GivenUp = Annotated[bool, Query(description="Objects that were given up, instead; `since` is when.")]
_After = Annotated[str | None, Query(max_length=256, description="`next` of the previous page, for older entries.")]
_Limit = Annotated[int, Query(ge=1, le=1_000, description="Most entries to return.")]


_Some = Annotated[
    QuarantineChoice,
    Body(
        openapi_examples={
            "some": {
                "summary": "By reason, place and age",
                "value": {"reason": "unsupported-format", "bucket": "photos", "prefix": "2026/", "since": "2d"},
            },
            "one": {"summary": "One object", "value": {"bucket": "photos", "key": "2026/broken.jpg"}},
            "all": {"summary": "Everything", "value": {"all": True}},
        }
    ),
]


async def chosen(
    *,
    reason: _Reason = None,
    bucket: OnlyBucket = None,
    prefix: OnlyPrefix = None,
    since: _Since = None,
    older_than: _OlderThan = None,
    given_up: _GivenUp = False,
) -> use_case.QuarantineQuery:
    """The filters of a list. An entry must match all of them."""
    return use_case.QuarantineQuery(
        reason=reason,
        bucket=bucket,
        prefix=prefix,
        since=_moment(since),
        older_than=_moment(older_than),
        given_up=given_up,
    )


_Chosen = Annotated[use_case.QuarantineQuery, Depends(chosen)]


@router.get("", summary="List what is in quarantine")
async def list_quarantine(parts: _Parts, choice: _Chosen, limit: _Limit = 100, after: _After = None) -> QuarantineList:
    """The newest entries, newest first.

    What is put there while you turn pages is on none of the later ones: it is at the beginning of the next listing.
    """
    engine = parts.services.engine
    found = await parts.reading(lambda: use_case.listing(engine, choice, limit=limit, after=after))
    hashes = await parts.reading(lambda: use_case.described(engine, found.entries))
    entries = [serializers.quarantine_entry(entry, hashes) for entry in found.entries]
    return QuarantineList(entries=entries, next=found.next)


@router.get("/counts", summary="Count what is in quarantine")
async def count_quarantine(parts: _Parts, choice: _Chosen) -> QuarantineCounts:
    """How many entries there are, by reason. Reads the whole selection: for people and dashboards, not for loops."""
    counts = await parts.reading(lambda: use_case.counts(parts.services.engine, choice))
    return QuarantineCounts(total=sum(counts.values()), reasons=counts)


@router.get("/{bucket}/{key:object_key}", summary="Get one entry", responses=described(404))
async def get_quarantine_entry(bucket: BucketInPath, key: KeyInPath, parts: _Parts) -> QuarantineDetails:
    """Why one object could not be enriched, with the error and a hexdump of the file's first bytes."""
    ref = ObjectRef(bucket=bucket, key=key)
    engine = parts.services.engine
    found = await parts.reading(lambda: use_case.entry(engine, ref))
    return serializers.quarantined(found, await parts.reading(lambda: use_case.described(engine, [found])))


@changes.post("/retry", summary="Retry entries")
async def retry_quarantine(request: _Some, parts: _Parts) -> QuarantineChanged:
    """Make the chosen entries pending work again, with all their attempts, behind live uploads.

    A single object is retried even if it was given up; to retry others that were, use `given_up`.

    Works in small transactions and returns within seconds: repeat with `after` until `next` is null. Repeating a call
    is harmless: entries that are already pending are skipped. Entries that come into quarantine after the first call,
    or come back, are left alone.
    """
    choice, services = _required(request), parts.services
    changed = await parts.reading(
        lambda: use_case.retry(services.engine, choice, notify=services.notify, after=request.after, patience=_PATIENCE)
    )
    return QuarantineChanged(changed=changed.count, next=changed.next)


@changes.post("/drop", summary="Give entries up")
async def drop_quarantine(request: _Some, parts: _Parts) -> QuarantineChanged:
    """Give the chosen entries up: the objects count as excluded until new bytes are uploaded or they are retried.

    Works in small transactions and returns within seconds: repeat with `after` until `next` is null. Entries that are
    being retried are skipped.
    """
    choice, services = _required(request), parts.services
    if request.given_up:
        raise ChoiceError("objects that were given up cannot be given up again: leave given_up out")
    changed = await parts.reading(
        lambda: use_case.drop(services.engine, choice, after=request.after, patience=_PATIENCE)
    )
    return QuarantineChanged(changed=changed.count, next=changed.next)


def _required(request: QuarantineChoice) -> use_case.QuarantineQuery:
    choice = use_case.QuarantineQuery(
        reason=request.reason,
        bucket=request.bucket,
        prefix=request.prefix,
        key=request.key,
        since=_moment(request.since),
        older_than=_moment(request.older_than),
        given_up=request.given_up,
    )
    use_case.require_selection(choice, everything=request.all)
    return choice


def _moment(text: str | None) -> time_filters.TimeFilter | None:
    return None if text is None else time_filters.parse(text)
