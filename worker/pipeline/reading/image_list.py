"""The use case: list the catalog's images, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from worker import catalog, ledger
from worker.catalog.listing import ImageFilter
from worker.catalog.read import ImageRecord
from worker.catalog.search import TagFilter
from worker.db import Engine, snapshot
from worker.errors import ChoiceError
from worker.pipeline.common import cursors, time_filters
from worker.pipeline.common.bucket_filters import require_bucket
from worker.pipeline.common.tag_filters import resolve_label
from worker.pipeline.common.time_filters import TimeFilter
from worker.types import ObjectRef

_LIST = "images"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageQuery:
    """Which images to list: they must match all that is given; nothing given means all.

    Raises:
        ChoiceError: a prefix without a bucket.
    """

    bucket: str | None = None
    prefix: str | None = None  # of the key
    tags: tuple[TagFilter, ...] = ()  # labels by name, title or alias
    source: str | None = None  # of these tags; without any, of at least one tag
    updated_since: TimeFilter | None = None

    def __post_init__(self) -> None:
        if self.bucket is None and self.prefix is not None:
            raise ChoiceError("a prefix needs a bucket: name the bucket, too")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageListPage:
    """Images, sorted by bucket and key."""

    images: tuple[ImageRecord, ...]
    next: str | None  # cursor of the next page; None: this is the last


def images(engine: Engine, wanted: ImageQuery, *, limit: int, after: str | None = None) -> ImageListPage:
    """A page, in one snapshot.

    Raises:
        CursorError: ``after`` is not the ``next`` of an earlier page.
        UnknownNameError: a filter names a taxonomy, label or bucket that is unknown.
    """
    with snapshot(engine) as connection:
        require_bucket(connection, wanted.bucket)
        began, behind = _start(after, now=ledger.heartbeats.now(connection))
        filter_ = ImageFilter(
            bucket=wanted.bucket,
            prefix=wanted.prefix,
            tags=tuple(resolve_label(connection, wanted.tags)),
            source=wanted.source,
            updated_since=time_filters.at(wanted.updated_since, now=began),
        )
        found = catalog.listing.page(connection, filter_, limit=limit, behind=behind)
    following = None if found.end is None else cursors.encode(_LIST, began, found.end.bucket, found.end.key)
    return ImageListPage(images=found.images, next=following)


def _start(after: str | None, *, now: datetime) -> tuple[datetime, ObjectRef | None]:
    """The time of the first page, to which ages are relative, and where the last page ended."""
    if after is None:
        return now, None
    began, bucket, key = cursors.decode(after, _LIST, datetime, str, str)
    return began, ObjectRef(bucket=bucket, key=key)
