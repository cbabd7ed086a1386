"""Recorded and documented notifications, and small builders of made-up ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "events"
_EXPECTED = ".expected.json"


@dataclass(frozen=True, kw_only=True)
class Fixture:
    """A file in a folder of ``tests/fixtures/events``, and what must come of it: see docs/how-to/add-a-source.md."""

    name: str  # folder/file
    events: list[Any]  # one notification, or all of a recorded session
    source: str
    objects: set[tuple[str, str]]  # bucket, key
    readings: set[tuple[str, str]]  # what else their names may mean
    ignored: dict[str, int]  # by reason
    test: bool

    @property
    def bodies(self) -> list[bytes]:
        return [json.dumps(event, ensure_ascii=False).encode() for event in self.events]


def fixtures() -> list[Fixture]:
    """Every fixture of every folder."""
    paths = (path for path in sorted(FIXTURES.glob("*/*.json")) if not path.name.endswith(_EXPECTED))
    return [_fixture(path) for path in paths]


def _fixture(path: Path) -> Fixture:
    expected = json.loads((path.parent / f"{path.stem}{_EXPECTED}").read_text())
    body = json.loads(path.read_text())
    return Fixture(
        name=str(path.relative_to(FIXTURES).with_suffix("")),
        events=body if isinstance(body, list) else [body],
        source=expected["source"],
        objects={(each["bucket"], each["key"]) for each in expected["objects"]},
        readings={(each["bucket"], each["key"]) for each in expected.get("readings", [])},
        ignored=expected.get("ignored", {}),
        test=expected.get("test", False),
    )


def load(name: str) -> Any:
    """A fixture, parsed: one notification, or a list of them where a session was recorded."""
    return json.loads((FIXTURES / name).read_text())


def recordings(source: str = "seaweedfs") -> list[Any]:
    """Every notification of a source."""
    return [event for each in fixtures() if each.source == source for event in each.events]


def documented() -> list[Any]:
    """Every S3-shaped notification of the fixtures, in whatever envelope."""
    return recordings("s3")


def aws_escape(key: str) -> str:
    """Escape a key as AWS does: form encoding that leaves slashes."""
    return quote_plus(key, safe="/")


def s3_record(key: object, *, source: str = "aws:s3", bucket: object = "photos", **more: object) -> dict[str, Any]:
    """A record with little in it."""
    return {"eventSource": source, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}, **more}


def s3_event(key: str) -> dict[str, Any]:
    """What AWS sends of one upload."""
    return {"Records": [s3_record(aws_escape(key))]}


def eventbridge_event(key: object, *, kind: object = "Object Created", **more: object) -> dict[str, Any]:
    """An event of EventBridge with little in it."""
    detail = {"bucket": {"name": "photos"}, "object": {"key": key}}
    return {"source": "aws.s3", "detail-type": kind, "detail": detail, **more}


def in_sns(event: object) -> dict[str, Any]:
    """A notification of SNS."""
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:t", "Message": json.dumps(event)}


def in_lambda(*events: object) -> dict[str, Any]:
    """What Lambda gets from SQS."""
    return {"Records": [{"eventSource": "aws:sqs", "body": json.dumps(event)} for event in events]}


def filer_event(path: str, *, kind: str = "create", entry: dict[str, Any] | None = None) -> dict[str, Any]:
    """A SeaweedFS event of one entry."""
    side = "old_entry" if kind == "delete" else "new_entry"
    return {"event_type": kind, "key": path, "message": {side: entry or {"name": path.rpartition("/")[2]}}}
