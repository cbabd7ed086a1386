"""S3 event records: AWS, and the stores that send the like (RustFS, Ceph RGW, MinIO)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from worker.errors import MalformedEventError
from worker.events.fields import Field
from worker.events.names import object_ref, possible_keys
from worker.events.values import Envelope, Ignored, IgnoredReason
from worker.types import Hint

SOURCE = "s3"
_TEST_EVENT = "s3:TestEvent"


def parse_s3(payload: object) -> Envelope:
    """Understand ``{"Records": [...]}`` or a test event.

    Every event but a read is a hint, also those not known here: what really happened is the store's to say. Fields
    other than the bucket's and the object's name may be missing or odd. A record is hinted under two keys where one
    cannot tell whether its key is escaped (see `possible_keys`).

    Args:
        payload: parsed JSON.

    Raises:
        MalformedEventError: names the field and what was expected.
    """
    root = Field(payload)
    if _optional_text(root, "Event") == _TEST_EVENT:
        what = _optional_text(root, "Bucket") or _TEST_EVENT
        return Envelope(ignored=(Ignored(what=what, reason=IgnoredReason.TEST_EVENT),), test=True)
    found = [part for record in _records(root).items() for part in _understand(record)]
    return Envelope(
        hints=tuple(part for part in found if isinstance(part, Hint)),
        ignored=tuple(part for part in found if isinstance(part, Ignored)),
    )


def _records(root: Field) -> Field:
    for member, envelope in (("TopicArn", "an SNS message"), ("detail-type", "an EventBridge event")):
        if root.has(member) and not root.has("Records"):
            raise MalformedEventError(f"$.Records: expected an array of S3 event records, but this is {envelope}")
    return root.member("Records")


def _understand(record: Field) -> Iterator[Hint | Ignored]:
    event, s3 = _optional_text(record, "eventName") or "unknown", record.member("s3")
    bucket, key = s3.member("bucket").member("name"), s3.member("object").member("key")
    if event.removeprefix("s3:").startswith("ObjectAccessed"):
        yield Ignored(what=f"{bucket.text()}/{key.text()}", reason=IgnoredReason.READ)
        return
    time = _time(record)
    for candidate in possible_keys(key.text(), source=_optional_text(record, "eventSource") or ""):
        ref = object_ref(bucket.text(), candidate, bucket_path=bucket.path, key_path=key.path)
        yield Hint(ref=ref, source=SOURCE, event=event, event_time=time)


def _optional_text(of: Field, name: str) -> str | None:
    found = of.optional(name)
    return None if found is None else found.text()


def _time(record: Field) -> datetime | None:
    """``eventTime``, if it can be read: it is shown to people and nothing else depends on it."""
    found = record.optional("eventTime")
    if found is None or not isinstance(found.value, str):
        return None
    try:
        time = datetime.fromisoformat(found.value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
