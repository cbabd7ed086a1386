"""S3 events from EventBridge: one object per event, its key as the uploader wrote it.

docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html; of the keys, userguide/EventBridge.html says: "object key
names in EventBridge are not URL encoded".
"""

from __future__ import annotations

from worker.errors import MalformedEventError
from worker.events.fields import Field
from worker.events.names import object_ref
from worker.events.times import iso_time
from worker.events.values import Envelope, Ignored, IgnoredReason
from worker.types import Hint

_PRODUCER = "aws.s3"

# After these the object has the bytes it had: see `worker.events.s3`.
_SAME_BYTES = frozenset(
    {
        "Object Access Tier Changed",
        "Object Restore Expired",
        "Object Restore Initiated",
        "Object Storage Class Changed",
        "Object Tags Added",
        "Object Tags Deleted",
    }
)


def is_eventbridge(root: Field) -> bool:
    """Whether this is an EventBridge event, from any service."""
    return root.has("detail-type")


def parse_eventbridge(root: Field) -> Envelope:
    """Parse an S3 event.

    Raises:
        MalformedEventError: names the field and what was expected.
    """
    producer, event = root.member("source"), root.member("detail-type").text()
    if producer.text() != _PRODUCER:
        raise MalformedEventError(
            f"{producer.path}: expected {_PRODUCER!r}, not {producer.text()[:80]!r}; "
            'give the rule the pattern {"source": ["aws.s3"], "detail-type": ["Object Created", "Object Deleted"]}'
        )
    detail = root.member("detail")
    bucket, key = detail.member("bucket").member("name"), detail.member("object").member("key")
    if event in _SAME_BYTES:
        return Envelope.of([Ignored(what=f"{bucket.text()}/{key.text()}", reason=IgnoredReason.METADATA_ONLY)])
    ref = object_ref(bucket.text(), key.text(), bucket_path=bucket.path, key_path=key.path)
    return Envelope.of([Hint(ref=ref, source="eventbridge", event=event, event_time=iso_time(root, "time"))])
