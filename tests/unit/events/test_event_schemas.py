"""The JSON Schemas of notifications say what the parsers do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.events.event_fixtures import eventbridge_event, filer_event, s3_record
from worker.errors import MalformedEventError
from worker.events import parse_aws, parse_seaweedfs
from worker.resources import schemas_dir

PARSERS = {
    "seaweedfs": parse_seaweedfs,
    "s3": parse_aws,
    "sns": parse_aws,
    "eventbridge": parse_aws,
    "lambda": parse_aws,
}


def schema(name: str) -> Any:
    return json.loads((schemas_dir() / "events" / f"{name}.schema.json").read_text())


def is_valid(name: str, payload: Any) -> bool:
    return Draft202012Validator(schema(name)).is_valid(payload)


@pytest.mark.parametrize("name", ["seaweedfs", "s3", "sns", "eventbridge", "lambda", "change"])
def test_the_schemas_are_schemas(name: str) -> None:
    """They follow JSON Schema 2020-12."""
    Draft202012Validator.check_schema(schema(name))


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
        ("sns", {"TopicArn": "t", "Message": 1}),
        ("sns", {"TopicArn": 1, "Type": "SubscriptionConfirmation", "SubscribeURL": "https://x", "Message": ""}),
        ("sns", {"TopicArn": "t", "Type": "SubscriptionConfirmation", "SubscribeURL": 1, "Message": ""}),
        ("sns", {"TopicArn": "t", "Type": 1, "Message": "{}"}),
        ("eventbridge", eventbridge_event("")),
        ("eventbridge", eventbridge_event(1)),
        ("eventbridge", eventbridge_event("a", kind=1)),
        ("eventbridge", eventbridge_event("a", source="aws.ec2")),
        ("eventbridge", {**eventbridge_event("a"), "detail": {}}),
        ("lambda", {"Records": [{"body": 1}]}),
        ("lambda", {"Records": [{"body": "{}"}, {}]}),
        ("lambda", {"Records": [{"Sns": {}}]}),
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
    assert [True, True] == [is_valid("change", example) for example in examples]
    assert not is_valid("change", {**examples[0], member: value})
