"""Catalog values → response models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from worker import catalog
from worker.api.image_models import (
    DecidedTag,
    Image,
    Location,
    NearestLabel,
    NearestLabels,
    Suggestion,
    Tag,
)
from worker.api.links import links_of
from worker.api.models import Change, Changes, TagFilter
from worker.api.quarantine_models import QuarantineDetails, QuarantineEntry
from worker.catalog import image_filter
from worker.types import ObjectRef

if TYPE_CHECKING:
    from worker.ledger.quarantine import QuarantinedObject
    from worker.pipeline.delivery.change_feed import FeedPage
    from worker.pipeline.reading.label_search import NearLabels

_SAME = (
    "bucket", "key", "etag", "version_id", "size", "last_modified", "content_type", "width", "height", "format", "mode",
    "frames", "orientation", "camera_make", "camera_model", "lens_make", "lens_model", "iso", "exposure_time",
    "f_number", "focal_length", "focal_length_35mm", "sha256", "enriched_at",
)  # fmt: skip


def image(record: catalog.read.ImageRecord) -> Image:
    """The image with its tags."""
    return Image(
        **{name: getattr(record, name) for name in _SAME},
        taken_at=_wall_clock(record.taken_at, record.taken_offset),
        location=_location(record),
        user_metadata=dict(record.user_metadata or {}),
        phash=f"{record.phash & 0xFFFFFFFFFFFFFFFF:016x}",
        searchable_after_seconds=searchable_after(record),
        tags=[Tag.model_validate(tag) for tag in record.tags],
        suggestions=[Suggestion.model_validate(each) for each in record.suggestions],
        rejected_tags=[DecidedTag.model_validate(tag) for tag in record.rejected_tags],
        earlier_tags=[DecidedTag.model_validate(tag) for tag in record.earlier_tags],
    )


def searchable_after(record: catalog.read.ImageRecord) -> float:
    """Seconds from the store's event to being searchable; from our first hint if the event carried no time."""
    return max((record.enriched_at - (record.event_at or record.hinted_at)).total_seconds(), 0.0)


def filters(given: Sequence[TagFilter]) -> list[image_filter.TagFilter]:
    """Request filters → catalog filters."""
    return [image_filter.TagFilter(**each.model_dump()) for each in given]


def nearest_labels(found: NearLabels) -> NearestLabels:
    """The labels nearest to an image."""
    labels = [NearestLabel.model_validate(label) for label in found.labels]
    return NearestLabels(space=found.space.id, model=found.space.model, labels=labels)


def changes(found: FeedPage) -> Changes:
    """A page of the feed; one without changes returns the reader's own cursor."""
    return Changes(changes=[Change.model_validate(change) for change in found.changes], next=found.next)


def quarantine_entry(entry: QuarantinedObject, hashes: Mapping[ObjectRef, str]) -> QuarantineEntry:
    """An entry, with the address of its preview if the catalog describes its bytes."""
    sha256 = hashes.get(ObjectRef(bucket=entry.bucket, key=entry.key))
    thumbnail = None if sha256 is None else links_of(entry.bucket, entry.key, sha256).thumbnail
    return QuarantineEntry.model_validate(entry).model_copy(update={"thumbnail": thumbnail})


def quarantined(entry: QuarantinedObject, hashes: Mapping[ObjectRef, str]) -> QuarantineDetails:
    """An entry with its first bytes."""
    from worker.pipeline.operations.quarantine import hexdump

    data = entry.first_bytes
    return QuarantineDetails(
        **quarantine_entry(entry, hashes).model_dump(),
        first_bytes=None if data is None else data.hex(),
        hexdump=hexdump(data or b"").splitlines(),
    )


def _location(record: catalog.read.ImageRecord) -> Location | None:
    if record.latitude is None or record.longitude is None:
        return None
    return Location(latitude=record.latitude, longitude=record.longitude, altitude=record.altitude)


def _wall_clock(taken: datetime | None, offset: timedelta | None) -> str | None:
    if taken is None:
        return None
    return (taken if offset is None else taken.replace(tzinfo=timezone(offset))).isoformat()
