"""S3 event records, from AWS and stores with similar ones (RustFS, Ceph RGW, MinIO)."""

from __future__ import annotations

from collections.abc import Iterator

from worker.events.fields import Field
from worker.events.names import object_ref, possible_keys
from worker.events.times import iso_time
from worker.events.values import Envelope, Ignored, IgnoredReason
from worker.types import Hint

_TEST_EVENT = "s3:TestEvent"

# Beginnings of event names (docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-
# destinations.html) after which the object has the bytes it had. Of ObjectRestore:*, Post asks for a copy out of the
# archive and Delete ends it: neither makes anything readable. Completed does, and is followed up like a creation.
# ObjectAcl:Put is followed up as well: it may let us read what we could not.
_SAME_BYTES = (
    "ObjectRestore:Post",
    "ObjectRestore:Delete",
    "ObjectTagging:",
    "LifecycleTransition",
    "ObjectLifecycle:Transition",  # Ceph
    "IntelligentTiering",
)


def parse_s3(root: Field) -> Envelope:
    """Parse ``{"Records": [...]}`` or a test event.

    Every event is a hint, also those not known here, but for reads and those that leave the bytes alone: what really
    happened is the store's to say. Fields other than the bucket's and the object's name may be missing or odd. A record
    is hinted under several keys where one cannot tell how its key is escaped (see `possible_keys`).

    Raises:
        MalformedEventError: no record can be understood; names the field and what was expected.
    """
    if root.optional_text("Event") == _TEST_EVENT:
        what = root.optional_text("Bucket") or _TEST_EVENT
        return Envelope(ignored=(Ignored(what=what, reason=IgnoredReason.TEST_EVENT),), test=True)
    return Envelope.each(
        root.member("Records").items(),
        lambda record: Envelope.of(_understand(record)),
        shown=lambda record: record.value,
    )


def _understand(record: Field) -> Iterator[Hint | Ignored]:
    event, s3 = record.optional_text("eventName") or "unknown", record.member("s3")
    bucket, key = s3.member("bucket").member("name"), s3.member("object").member("key")
    reason = _ignorable(event.removeprefix("s3:"))
    if reason is not None:
        yield Ignored(what=f"{bucket.text()}/{key.text()}", reason=reason)
        return
    time = iso_time(record, "eventTime")
    readings = possible_keys(key.text(), source=record.optional_text("eventSource") or "")
    for number, reading in enumerate(readings):
        ref = object_ref(bucket.text(), reading, bucket_path=bucket.path, key_path=key.path)
        yield Hint(ref=ref, source="s3", event=event, event_time=time, guess=number > 0)


def _ignorable(event: str) -> IgnoredReason | None:
    if event.startswith("ObjectAccessed"):
        return IgnoredReason.READ
    return IgnoredReason.METADATA_ONLY if event.startswith(_SAME_BYTES) else None
