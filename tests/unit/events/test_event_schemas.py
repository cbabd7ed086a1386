"""The JSON Schemas of notifications say what the parsers do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.events.event_fixtures import documented, filer_event, recordings, s3_record
from worker.errors import MalformedEventError
from worker.events import parse_s3, parse_seaweedfs
from worker.resources import schemas_dir

PARSERS = {"seaweedfs": parse_seaweedfs, "s3": parse_s3}


def schema(name: str) -> Any:
    return json.loads((schemas_dir() / "events" / f"{name}.schema.json").read_text())


def is_valid(name: str, payload: Any) -> bool:
    return Draft202012Validator(schema(name)).is_valid(payload)


@pytest.mark.parametrize("name", ["seaweedfs", "s3", "change"])
def test_the_schemas_are_schemas(name: str) -> None:
    """They follow JSON Schema 2020-12."""
    Draft202012Validator.check_schema(schema(name))


def test_every_recording_validates() -> None:
    """All that a real SeaweedFS sent is in the accepted subset."""
    validator = Draft202012Validator(schema("seaweedfs"))
    assert [event["key"] for event in recordings() if not validator.is_valid(event)] == []


def test_every_documented_s3_notification_validates() -> None:
    """So is every S3-shaped fixture."""
    assert [event for event in documented() if not is_valid("s3", event)] == []


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("seaweedfs", []),
        ("seaweedfs", {"event_type": "create", "key": "/x"}),
        ("seaweedfs", {"event_type": "create", "key": "/x", "message": {"old_entry": None}}),
        ("seaweedfs", {**filer_event("/buckets/b/k"), "key": "relative"}),
        ("seaweedfs", {**filer_event("/buckets/b/k"), "event_type": 1}),
        ("seaweedfs", filer_event("/buckets/b/k", entry={"attributes": 1})),
        ("s3", {}),
        ("s3", {"Records": {}}),
        ("s3", {"Records": [{}]}),
        ("s3", {"Records": [s3_record("")]}),
        ("s3", {"Records": [s3_record("a", bucket="a/b")]}),
        ("s3", {"Records": [s3_record("a", eventName=1)]}),
        ("s3", {"Event": "s3:Other"}),
    ],
)
def test_what_the_schema_refuses_the_parser_refuses(name: str, payload: Any) -> None:
    """Schema and parser agree on what is malformed."""
    assert not is_valid(name, payload)
    with pytest.raises(MalformedEventError):
        PARSERS[name](payload)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("kind", "created"),
        ("etag", 1),
        ("at", "2026-11-21 09:53"),
        ("at", "2026-11-21T09:53:54"),
        ("id", 1),
        ("key", ""),
    ],
)
def test_the_change_event_is_checked_member_by_member(member: str, value: object) -> None:
    """The examples validate; with one member wrong they do not."""
    examples = schema("change")["examples"]
    assert [is_valid("change", example) for example in examples] == [True, True]
    assert not is_valid("change", {**examples[0], member: value})
