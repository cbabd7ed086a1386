"""S3 event records of AWS, RustFS, Ceph and MinIO."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.events.event_fixtures import aws_escape, load, s3_record
from worker.errors import MalformedEventError
from worker.events import MAX_KEY_BYTES, Envelope, Ignored, IgnoredReason, parse_aws
from worker.types import Hint, ObjectRef

OBJECT_KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1).filter(
    lambda key: len(key.encode()) <= MAX_KEY_BYTES
)


def hinted(*records: Any) -> list[str]:
    return [hint.ref.key for hint in parse_aws({"Records": list(records)}).hints]


def test_an_aws_record_gives_the_whole_hint() -> None:
    """The documented example: a plus is a space, %2B a plus, and the time is aware."""
    hint = Hint(
        ref=ObjectRef(bucket="amzn-s3-demo-bucket", key="summer/red flower+1.jpg"),
        source="s3",
        event="ObjectCreated:Put",
        event_time=datetime(1970, 1, 1, 0, 0, 0, 123000, tzinfo=UTC),
    )
    assert parse_aws(load("aws-s3/put.json")) == Envelope(hints=(hint,))


def test_the_test_event_of_aws_is_accepted() -> None:
    """It has no records; it names the bucket it was sent for."""
    ignored = Ignored(what="amzn-s3-demo-bucket", reason=IgnoredReason.TEST_EVENT)
    assert parse_aws(load("aws-s3/test-event.json")) == Envelope(ignored=(ignored,), test=True)


def test_a_ceph_record_is_hinted_under_both_readings_of_its_key() -> None:
    """Ceph does not escape: its `1+2` is `1+2` or, from a gateway that does, `1 2`."""
    keys = [(hint.ref.key, hint.guess) for hint in parse_aws(load("ceph-rgw/put.json")).hints]
    assert [("recordings/myimage1+2.jpg", False), ("recordings/myimage1 2.jpg", True)] == keys


@pytest.mark.parametrize(
    ("raw", "source", "expected"),
    [
        ("a+b.jpg", "aws:s3", ["a b.jpg", "a+b.jpg"]),
        ("a+%C3%A9.jpg", "aws:s3", ["a é.jpg", "a+é.jpg"]),
        ("a+b%2Bc.jpg", "aws:s3", ["a b+c.jpg"]),
        ("a+b%2bc.jpg", "aws:s3", ["a b+c.jpg"]),
        ("a+b%20c.jpg", "aws:s3", ["a+b c.jpg", "a b c.jpg"]),
        ("a+b.jpg", "minio:s3", ["a b.jpg", "a+b.jpg"]),
        ("a+b.jpg", "ceph:s3", ["a+b.jpg", "a b.jpg"]),
        ("a+b%20c.jpg", "", ["a+b%20c.jpg", "a+b c.jpg", "a b c.jpg"]),
    ],
)
def test_a_plus_is_read_both_ways_whoever_sent_it(raw: str, source: str, expected: list[str]) -> None:
    """AWS writes a space as a plus; others say that they are AWS and leave a plus alone. The likeliest comes first."""
    hints = parse_aws({"Records": [s3_record(raw, source=source)]}).hints
    assert [(key, number > 0) for number, key in enumerate(expected)] == [(hint.ref.key, hint.guess) for hint in hints]


def test_a_rustfs_deletion_is_decoded() -> None:
    """RustFS escapes slashes too, has nanoseconds and deletes without an etag."""
    expected = Hint(
        ref=ObjectRef(bucket="bucket-name", key="folder/greeting file (2).jpg"),
        source="s3",
        event="s3:ObjectRemoved:Delete",
        event_time=datetime(2026, 3, 25, 18, 1, 7, 956295, tzinfo=UTC),
    )
    assert [expected] == [hint for hint in parse_aws(load("rustfs/delete.json")).hints if not hint.guess]


def test_a_minio_record_is_decoded() -> None:
    """MinIO escapes slashes on purpose."""
    assert ["test12/DG0890EY2.jpg"] == [hint.ref.key for hint in parse_aws(load("minio/put.json")).hints]


@given(OBJECT_KEYS)
def test_every_key_comes_back_from_an_aws_record(key: str) -> None:
    """What AWS escapes is decoded to the uploader's key; all else is a guess, and there is one where it has spaces."""
    [first, *others] = parse_aws({"Records": [s3_record(aws_escape(key))]}).hints
    assert (first.ref.key, first.guess) == (key, False)
    assert [True] * (" " in key and "+" not in key) == [other.guess for other in others]


@given(OBJECT_KEYS, st.sampled_from(["ceph:s3", "", "some:store"]), st.booleans())
def test_the_right_key_is_hinted_whether_or_not_an_unknown_store_escapes(key: str, source: str, escapes: bool) -> None:
    """Of at most three hints one is right."""
    found = hinted(s3_record(aws_escape(key) if escapes else key, source=source))
    assert key in found
    assert len(found) <= 3


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("%C3%A9" * 400, ["é" * 400]), ("a%00.jpg", ["a%00.jpg"])],
    ids=["too-long-as-it-is", "impossible-when-decoded"],
)
def test_a_reading_that_no_store_can_have_is_not_hinted(raw: str, expected: list[str]) -> None:
    """Nor does it cost the reading that is right."""
    assert expected == hinted(s3_record(raw, source="some:store"))


@pytest.mark.parametrize(
    ("raw", "source", "expected"),
    [
        ("plain/key.jpg", "ceph:s3", ["plain/key.jpg"]),
        ("a b+c%41", "ceph:s3", ["a b+c%41"]),
        ("a b", "aws:s3", ["a b"]),
        ("100%.jpg", "aws:s3", ["100%.jpg"]),
        ("%ff.jpg", "aws:s3", ["%ff.jpg"]),
        ("é+1", "aws:s3", ["é+1"]),
        ("%2e%2E/x", "aws:s3", ["../x"]),
        ("%2Flead", "minio:s3", ["/lead"]),
    ],
)
def test_a_key_that_no_escaping_can_have_made_is_taken_as_it_is(raw: str, source: str, expected: list[str]) -> None:
    """A space, a letter beyond ASCII or a lone percent sign shows that the key is not escaped."""
    assert expected == hinted(s3_record(raw, source=source))


@pytest.mark.parametrize(
    "event",
    [
        "ObjectCreated:CompleteMultipartUpload",
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "LifecycleExpiration:Delete",
        "s3:LifecycleExpiration:DeleteMarkerCreated",
        "ObjectRestore:Completed",
        "s3:ObjectLifecycle:Expiration:Current",
        "ReducedRedundancyLostObject",
        "ObjectAcl:Put",
        "s3:ObjectSynced:Create",
        "Something:New",
    ],
)
def test_every_event_that_is_no_read_is_a_hint(event: str) -> None:
    """What happened is the store's to say, also for events that nobody here has heard of; expired objects are gone."""
    (hint,) = parse_aws({"Records": [s3_record("a.jpg", eventName=event)]}).hints
    assert (hint.ref.key, hint.event) == ("a.jpg", event)


@pytest.mark.parametrize("event", ["s3:ObjectAccessed:Get", "ObjectAccessed:Head"])
def test_a_read_is_ignored(event: str) -> None:
    """Following up a read reads, which would be announced in turn."""
    envelope = parse_aws({"Records": [s3_record("a.jpg", eventName=event)]})
    assert envelope == Envelope(ignored=(Ignored(what="photos/a.jpg", reason=IgnoredReason.READ),))


@pytest.mark.parametrize(
    "event",
    [
        "ObjectRestore:Post",
        "s3:ObjectRestore:Delete",
        "LifecycleTransition",
        "s3:ObjectLifecycle:Transition:NonCurrent",
        "s3:IntelligentTiering",
        "ObjectTagging:Put",
    ],
)
def test_an_event_that_leaves_the_bytes_alone_is_ignored(event: str) -> None:
    """An archived object cannot even be read: following it up would fail until somebody restores it."""
    envelope = parse_aws({"Records": [s3_record("a.jpg", eventName=event)]})
    assert envelope == Envelope(ignored=(Ignored(what="photos/a.jpg", reason=IgnoredReason.METADATA_ONLY),))


@pytest.mark.parametrize(
    "etag", ["37b51d194a7513e45b56f6524f2d51f2", '"37b51d19"', 'W/"37"', "", None, 12, "x" * 9_000]
)
def test_an_etag_is_not_looked_at(etag: object) -> None:
    """With quotes, without, or absurd: the etag that counts is in the store's answer to the GET."""
    record = s3_record("a.jpg")
    record["s3"]["object"]["eTag"] = etag
    assert ["a.jpg"] == hinted(record)


def test_all_records_of_an_envelope_are_read_in_order() -> None:
    """Envelopes may carry several records, or none."""
    assert ["b.jpg", "a.jpg"] == hinted(s3_record("b.jpg"), s3_record("a.jpg"))
    assert parse_aws({"Records": []}) == Envelope()


@pytest.mark.parametrize("time", ["yesterday", 12, {}, "", "9999-12-31T23:59-23:59", "0001-01-01T00:00+23:59", None])
def test_a_time_that_cannot_be_read_counts_as_absent(time: object) -> None:
    """Only people look at it."""
    (hint,) = parse_aws({"Records": [s3_record("a.jpg", eventTime=time)]}).hints
    assert hint.event_time is None


def test_a_time_without_offset_is_utc() -> None:
    """Older releases of Ceph write a space for the T and may leave out the Z."""
    (hint,) = parse_aws({"Records": [s3_record("a.jpg", eventTime="2021-04-29 03:44:09.933439")]}).hints
    assert hint.event_time == datetime(2021, 4, 29, 3, 44, 9, 933439, tzinfo=UTC)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (None, r"^\$: expected an object, not null$"),
        ([s3_record("a")], r"^\$: expected an object, not an array$"),
        ({}, r"^\$: expected a member 'Records', which is missing$"),
        ({"Records": {}}, r"^\$\.Records: expected an array, not an object$"),
        ({"Records": [1]}, r"^\$\.Records\[0\]: expected an object, not a number$"),
        ({"Records": [{}, 1, 2]}, r"^\$\.Records\[0\]: expected a member 's3', which is missing \(and 2 more\)$"),
        ({"Records": [{}]}, r"^\$\.Records\[0\]: expected a member 's3'"),
        ({"Records": [s3_record(1)]}, r"^\$\.Records\[0\]\.s3\.object\.key: expected a string, not a number$"),
        ({"Records": [s3_record("")]}, r"key: expected an object key, which is empty"),
        ({"Records": [s3_record("%00")]}, r"key: expected an object key without NUL$"),
        ({"Records": [s3_record("é" * 513)]}, r"key: expected an object key of at most 1024 bytes, not 1026$"),
        ({"Records": [s3_record("\udc80")]}, r"key: expected Unicode text"),
        ({"Records": [s3_record("a", bucket="arn:aws:s3:::x")]}, r"bucket\.name: expected a bucket name, not 'arn:"),
        ({"Records": [s3_record("a", bucket="../x")]}, r"bucket\.name: expected a bucket name"),
        ({"Records": [s3_record("a", eventName=1)]}, r"eventName: expected a string, not a number$"),
    ],
)
def test_a_malformed_envelope_is_refused_by_the_name_of_the_field(payload: Any, message: str) -> None:
    """The error says where and what was expected."""
    with pytest.raises(MalformedEventError, match=message):
        parse_aws(payload)


def test_a_bad_record_costs_none_of_the_others() -> None:
    """It is refused by itself: what it says, and why; the others are hints."""
    bad = s3_record(1)
    envelope = parse_aws({"Records": [s3_record("a.jpg"), bad, s3_record("b.jpg")]})
    assert ["a.jpg", "b.jpg"] == [hint.ref.key for hint in envelope.hints]
    [refused] = envelope.refused
    assert "$.Records[1].s3.object.key: expected a string, not a number" == refused.reason
    assert json.loads(refused.part) == bad
