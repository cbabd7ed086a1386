"""What AWS wraps around S3's notifications: SNS, EventBridge, and Lambda's records of SQS."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.events.event_fixtures import aws_escape, eventbridge_event, in_lambda, in_sns, load, s3_event, s3_record
from worker.errors import MalformedEventError
from worker.events import MAX_ENVELOPES, Envelope, Ignored, IgnoredReason, Subscription, may_be_opened, parse_aws
from worker.types import Hint, ObjectRef

TOPIC = "arn:aws:sns:us-west-2:123456789012:MyTopic"
URL = f"https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37EXAMPLE"


def refusal(payload: Any) -> str:
    with pytest.raises(MalformedEventError) as error:
        parse_aws(payload)
    return str(error.value)


def asked(**more: Any) -> Subscription:
    return Subscription(**{"kind": "SubscriptionConfirmation", "topic": TOPIC, "url": URL, **more})


def test_an_eventbridge_event_gives_the_whole_hint() -> None:
    """The key is taken as it is: EventBridge does not escape."""
    hint = Hint(
        ref=ObjectRef(bucket="amzn-s3-demo-bucket1", key="2026/red flower+1 100%.jpg"),
        source="eventbridge",
        event="Object Created",
        event_time=datetime(2021, 11, 12, tzinfo=UTC),
    )
    assert parse_aws(load("eventbridge/object-created.json")) == Envelope(hints=(hint,))


@pytest.mark.parametrize(
    "kind", ["Object Deleted", "Object Restore Completed", "Object ACL Updated", "Object New Thing"]
)
def test_every_other_event_of_eventbridge_is_a_hint(kind: str) -> None:
    """Also those that nobody here has heard of."""
    (hint,) = parse_aws(eventbridge_event("a.jpg", kind=kind)).hints
    assert (hint.ref.key, hint.event) == ("a.jpg", kind)


@pytest.mark.parametrize(
    "kind",
    [
        "Object Restore Initiated",
        "Object Restore Expired",
        "Object Storage Class Changed",
        "Object Access Tier Changed",
        "Object Tags Added",
        "Object Tags Deleted",
    ],
)
def test_an_event_of_eventbridge_that_leaves_the_bytes_alone_is_ignored(kind: str) -> None:
    """The object has the bytes it had; in an archive it could not even be read."""
    envelope = parse_aws(eventbridge_event("a.jpg", kind=kind))
    assert envelope == Envelope(ignored=(Ignored(what="photos/a.jpg", reason=IgnoredReason.METADATA_ONLY),))


def test_a_record_is_the_same_in_every_envelope() -> None:
    """What is around it changes nothing in the hint."""
    bare = s3_event("a b+c.jpg")
    expected = parse_aws(bare)
    for wrapped in (in_sns(bare), in_lambda(bare), in_lambda(in_sns(bare)), in_sns(in_sns(bare))):
        assert expected == parse_aws(wrapped)


def test_the_messages_of_lambda_s_records_come_in_their_order() -> None:
    """All of them, of whatever kind each is."""
    envelope = parse_aws(in_lambda(s3_event("b.jpg"), in_sns(s3_event("c.jpg")), eventbridge_event("a.jpg")))
    assert ["b.jpg", "c.jpg", "a.jpg"] == [hint.ref.key for hint in envelope.hints]


def test_a_test_event_among_others_makes_no_test_of_them() -> None:
    """`test` says that there was nothing but tests."""
    test = {"Event": "s3:TestEvent", "Bucket": "photos"}
    assert parse_aws(in_lambda(test, test)).test
    mixed = parse_aws(in_lambda(test, s3_event("a.jpg")))
    assert (False, 1, 1) == (mixed.test, len(mixed.hints), len(mixed.ignored))


def test_envelopes_in_one_another_are_bounded() -> None:
    """The most that AWS makes is three."""
    event: Any = s3_event("a.jpg")
    for _ in range(MAX_ENVELOPES):
        event = in_sns(event)
    assert 1 == len(parse_aws(event).hints)
    assert refusal(in_sns(event)).endswith("expected at most 4 nested envelopes")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (
            in_sns({"Records": [s3_record(1)]}),
            "$.Message → $.Records[0].s3.object.key: expected a string, not a number",
        ),
        ({"TopicArn": TOPIC, "Message": "hello"}, "$.Message: expected JSON: Expecting value at character 0"),
        ({"TopicArn": TOPIC, "Message": "[" * 90_000}, "$.Message: expected JSON of at most 64 levels"),
        ({"TopicArn": TOPIC, "Message": {}}, "$.Message: expected a string, not an object"),
        (in_sns({}), "$.Message → $: expected a member 'Records', which is missing"),
        (in_sns([]), "$.Message → $: expected an object, not an array"),
        (in_lambda({"Records": [1]}), "$.Records[0].body → $.Records[0]: expected an object, not a number"),
        ({"Records": [{}, {"body": "{}"}]}, "$.Records[0]: expected a member 'body', which is missing (and 1 more)"),
        ({"Records": [s3_record(1), {"x": 1}]}, "$.Records[0].s3.object.key: expected a string, not a number (and 1"),
        (
            eventbridge_event(""),
            "$.detail.object.key: expected an object key, which is empty; see docs/reference/notifications.md",
        ),
        (eventbridge_event("é" * 513), "$.detail.object.key: expected an object key of at most 1024 bytes, not 1026"),
        (eventbridge_event("a", detail=None), "$: expected a member 'bucket'"),
        ({"Type": "UnsubscribeConfirmation", "TopicArn": TOPIC, "Message": ""}, "$: expected a member 'SubscribeURL'"),
    ],
)
def test_what_is_wrong_within_an_envelope_is_said_to_be_there(payload: Any, message: str) -> None:
    """The path leads through the strings that hold JSON."""
    assert refusal(payload).startswith(message.replace("$: expected a member 'bucket'", "$.detail"))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"body": "no JSON"}, "$.Records[1].body: expected JSON: Expecting value at character 0"),
        ({}, "$.Records[1]: expected a member 'body', which is missing"),
        (7, "$.Records[1]: expected an object, not a number"),
        (s3_record("a.jpg"), "$.Records[1]: expected a member 'body', which is missing"),
        ({"body": json.dumps(in_sns([]))}, "$.Records[1].body → $.Message → $: expected an object, not an array"),
        (
            {"body": json.dumps({"Records": [s3_record(1), s3_record("in the same.jpg")]})},
            "$.Records[1].body → $.Records[0].s3.object.key: expected a string, not a number",
        ),
    ],
    ids=["no JSON", "no body", "no object", "another kind", "within a topic's", "one record of two"],
)
def test_a_bad_message_costs_none_of_the_others(bad: Any, reason: str) -> None:
    """Of a batch that Lambda passes on, the good ones are hints, wherever the bad one is and whatever it is."""
    good = in_lambda(s3_event("a.jpg"), eventbridge_event("b.jpg"))["Records"]
    envelope = parse_aws({"Records": [good[0], bad, good[1]]})
    keys = [hint.ref.key for hint in envelope.hints]
    assert ["a.jpg", "b.jpg"] == [key for key in keys if key != "in the same.jpg"]
    assert ("in the same.jpg" in keys) == ("[0].s3" in reason)
    assert [reason] == [refused.reason for refused in envelope.refused]


def test_events_of_other_services_are_refused_with_the_pattern_for_the_rule() -> None:
    """A rule that matches everything is a mistake that somebody wants to hear of."""
    message = refusal(eventbridge_event("a", source="aws.ec2"))
    assert message.startswith("$.source: expected 'aws.s3', not 'aws.ec2'; give the rule the pattern {")


def test_a_confirmation_of_a_subscription_is_no_hint() -> None:
    """It names the topic and the address; what to do about it is decided elsewhere."""
    envelope = parse_aws(load("sns/subscription-confirmation.json"))
    ignored = Ignored(what=TOPIC, reason=IgnoredReason.SUBSCRIPTION)
    assert envelope == Envelope(ignored=(ignored,), subscriptions=(asked(),))
    (ended,) = parse_aws(in_lambda(load("sns/unsubscribe-confirmation.json"))).subscriptions
    assert "UnsubscribeConfirmation" == ended.kind


@pytest.mark.parametrize(
    ("topic", "host"),
    [
        (TOPIC, "sns.us-west-2.amazonaws.com"),
        ("arn:aws-cn:sns:cn-north-1:123456789012:t", "sns.cn-north-1.amazonaws.com.cn"),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:t.fifo", "sns.us-gov-west-1.amazonaws.com"),
    ],
)
def test_sns_s_own_address_for_a_topic_that_was_named_may_be_opened(topic: str, host: str) -> None:
    """As SNS writes it: the colons of the ARN escaped or not."""
    for written in (topic, aws_escape(topic)):
        url = f"https://{host}/?Action=ConfirmSubscription&TopicArn={written}&Token=x"
        assert may_be_opened(asked(topic=topic, url=url), topics=[topic])


@pytest.mark.parametrize(
    "more",
    [
        {"topic": "arn:aws:sns:us-west-2:123456789012:Other"},
        {"kind": "UnsubscribeConfirmation"},
        {"url": URL.replace("https", "http")},
        {"url": URL.replace("https", "file")},
        {"url": URL.replace("sns.us-west-2.amazonaws.com", "169.254.169.254")},
        {"url": URL.replace("sns.us-west-2.amazonaws.com", "127.0.0.1:8700")},
        {"url": URL.replace("amazonaws.com/", "amazonaws.com:8443/")},
        {"url": URL.replace("amazonaws.com/", "amazonaws.com.example.org/")},
        {"url": URL.replace("amazonaws.com/", "amazonaws.com@example.org/")},
        {"url": URL.replace("https://", "https://user:password@")},
        {"url": URL.replace("https://", "https://example.org\\@")},
        {"url": URL.replace("https://", "https://example.org\t@")},
        {"url": URL.replace("us-west-2", "us-east-1", 1)},
        {"url": URL.replace("sns.", "s3.")},
        {"url": URL.replace("/?", "/other?")},
        {"url": URL.replace("Action=Confirm", "Action=Unsubscribe&Action=Confirm")},
        {"url": URL.replace("ConfirmSubscription", "DeleteTopic")},
        {"url": URL.replace("MyTopic", "Other")},
        {"url": f"{URL}\r\nHost: example.org"},
        {"url": "https://["},
        {"url": "https://sns.us-west-2.amazonaws.com"},
        {"url": ""},
        {"url": "ftp://\udc80"},
    ],
)
def test_no_other_address_may_be_opened(more: dict[str, Any]) -> None:
    """A message can be made up: nothing it says leads anywhere but to SNS, for a topic that was named."""
    assert may_be_opened(asked(), topics=[TOPIC])
    assert not may_be_opened(asked(**more), topics=[TOPIC])


def test_a_topic_that_is_no_topic_has_no_address() -> None:
    """A setting that names nonsense opens nothing."""
    assert not may_be_opened(asked(topic="photos", url=json.dumps(URL)), topics=["photos"])
