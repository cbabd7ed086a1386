"""The use case: list the catalog's images, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from worker import catalog, ledger
from worker.catalog.image_filter import ImageFilter
from worker.catalog.read import ImageRecord
from worker.db import Engine, snapshot
from worker.errors import CursorError
from worker.pipeline.common import cursors, image_filters
from worker.types import ObjectRef

#: `key`: by the bytes of bucket and key; `newest`: the image that was added last comes first.
ListOrder = Literal["key", "newest"]
_LIST, _NEWEST = "images", "newest"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageListPage:
    """Images, in the order that was asked for."""

    images: tuple[ImageRecord, ...]
    next: str | None  # cursor of the next page; None: this is the last


def images(
    engine: Engine, wanted: ImageFilter, *, limit: int, after: str | None = None, order: ListOrder = "key"
) -> ImageListPage:
    """A page, in one snapshot.

    Raises:
        CursorError: ``after`` is not the ``next`` of an earlier page.
        UnknownNameError: the filter names something that is unknown.
        ChoiceError: no image can match the filter.
    """
    if order == "newest":
        return _newest(engine, wanted, limit=limit, after=after)
    with snapshot(engine) as connection:
        began, behind = _start(after, wanted, now=ledger.heartbeats.now(connection))
        filter_ = image_filters.resolved(connection, wanted, now=began)
        found = catalog.listing.page(connection, filter_, limit=limit, behind=behind)
    following = (
        None if found.end is None else cursors.encode(_LIST, began, wanted.fingerprint, found.end.bucket, found.end.key)
    )
    return ImageListPage(images=found.images, next=following)


def _newest(engine: Engine, wanted: ImageFilter, *, limit: int, after: str | None) -> ImageListPage:
    with snapshot(engine) as connection:
        began, behind = ledger.heartbeats.now(connection), None
        if after is not None:
            began, fingerprint, behind = cursors.decode(after, _NEWEST, datetime, str, int)
            _require_same(fingerprint, wanted)
        filter_ = image_filters.resolved(connection, wanted, now=began)
        found = catalog.newest_images.page(connection, filter_, limit=limit, behind=behind)
    following = None if found.end is None else cursors.encode(_NEWEST, began, wanted.fingerprint, found.end)
    return ImageListPage(images=found.images, next=following)


def _start(after: str | None, wanted: ImageFilter, *, now: datetime) -> tuple[datetime, ObjectRef | None]:
    """The time of the first page, to which ages are relative, and where the last page ended."""
    if after is None:
        return now, None
    began, fingerprint, bucket, key = cursors.decode(after, _LIST, datetime, str, str, str)
    _require_same(fingerprint, wanted)
    return began, ObjectRef(bucket=bucket, key=key)


def _require_same(fingerprint: str, wanted: ImageFilter) -> None:
    if fingerprint != wanted.fingerprint:
        raise CursorError("the cursor is of a list with other filters: repeat them, or begin again without it")
