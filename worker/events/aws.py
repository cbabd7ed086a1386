"""Unwraps the envelopes that AWS puts around S3's notifications.

Lambda hands over queue messages and topic messages in records; a queue's message may be one of a topic, of EventBridge
or of S3; a topic's message may be one of EventBridge or of S3.
"""

from __future__ import annotations

from worker.errors import MalformedEventError
from worker.events.eventbridge import is_eventbridge, parse_eventbridge
from worker.events.fields import Field
from worker.events.jsontext import decode_within
from worker.events.s3 import parse_s3
from worker.events.sns import is_sns, open_sns
from worker.events.values import Envelope, Source

#: Nested envelopes. AWS nests at most three: S3 in SNS in SQS in Lambda's records.
MAX_ENVELOPES = 4


def parse_aws(payload: object) -> Envelope:
    """Parse S3's notifications in any envelopes.

    Args:
        payload: parsed JSON.

    Raises:
        MalformedEventError: names the field and what was expected.
    """
    return _open(Field(payload), 0)


def _open(root: Field, around: int) -> Envelope:
    if around > MAX_ENVELOPES:
        raise MalformedEventError(f"{root.path}: expected at most {MAX_ENVELOPES} nested envelopes")
    if is_sns(root):
        inner = open_sns(root)
        return inner if isinstance(inner, Envelope) else _open(inner, around + 1)
    if is_eventbridge(root):
        return parse_eventbridge(root)
    records = list(root.member("Records").items()) if root.has("Records") else []
    if not any(map(_is_lambdas, records)):
        return parse_s3(root)
    return Envelope.each(
        records, lambda record: _open(decode_within(_message(record)), around + 1), shown=lambda record: record.value
    )


def _is_lambdas(record: Field) -> bool:
    """Whether Lambda made this record from an SQS or SNS message; S3's own records are not of this kind."""
    return record.has("body") or record.has("Sns")


def _message(record: Field) -> Field:
    return record.member("Sns").member("Message") if record.has("Sns") else record.member("body")


S3 = Source(
    name="s3",
    sender="AWS S3 (also by SNS, EventBridge or Lambda), RustFS, Ceph RGW or MinIO",
    parse=parse_aws,
    schemas=("s3", "sns", "eventbridge", "lambda"),
    example={
        "Records": [
            {
                "eventName": "ObjectCreated:Put",
                "eventSource": "aws:s3",
                "s3": {"bucket": {"name": "photos"}, "object": {"key": "2026/red+flower.jpg"}},
            }
        ]
    },
)
