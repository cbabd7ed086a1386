"""Notifications that lie, exaggerate or come from strangers: each gets a clear answer, and costs little."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace

import pytest

from tests.integration.api.live import TOKEN, record, serve
from tests.ledger import pending
from tests.unit.events.event_fixtures import aws_escape, eventbridge_event, filer_event, in_lambda, in_sns, s3_record
from worker import ledger
from worker.api import Tokens
from worker.db import transaction

NESTED = b'{"a":' * 1_000 + b"1" + b"}" * 1_000


def s3_with(record_more=None, object_more=None, key="a.jpg"):
    built = s3_record(key, **(record_more or {}))
    built["s3"]["object"].update(object_more or {})
    return {"Records": [built]}


def kept(api):
    with transaction(api.services.engine) as connection:
        return ledger.rejected_events.count(connection)


# -- keys --------------------------------------------------------------------------------------------------------------
AT_THE_LIMIT = ["k" * 1_024, "é" * 512, "🏞" * 256]
BEYOND = ["k" * 1_025, "é" * 512 + "k", "🏞" * 257, "k" * 20_000]
WRAPPED = {
    "s3": lambda key: {"Records": [s3_record(aws_escape(key))]},
    "ceph": lambda key: {"Records": [s3_record(key, source="ceph:s3")]},
    "eventbridge": eventbridge_event,
    "sns": lambda key: in_sns({"Records": [s3_record(aws_escape(key))]}),
    "lambda": lambda key: in_lambda(eventbridge_event(key)),
    "seaweedfs": lambda key: filer_event(f"/buckets/photos/{key}"),
}


@pytest.mark.parametrize("envelope", WRAPPED)
def test_a_key_of_1024_bytes_is_taken_and_a_longer_one_refused(api, envelope):
    """The limit is one of bytes, and the same in every envelope; the answer says both numbers."""
    address = "/v1/events/seaweedfs" if envelope == "seaweedfs" else "/v1/events/s3"
    for key in AT_THE_LIMIT:
        assert 1 == api.post(address, WRAPPED[envelope](key)).json["hinted"]
        assert "pending" == api.image("photos", key).json["state"]
    for key in BEYOND:
        answer = api.post(address, WRAPPED[envelope](key))
        assert 400 == answer.status
        assert f"at most 1024 bytes, not {len(key.encode())}" in answer.detail
    assert pending(api.services.engine) == len(AT_THE_LIMIT)


@pytest.mark.parametrize("bucket", ["../etc", "a/b", "", " ", "x" * 256, "arn:aws:s3:::photos", "b\u0000", "búcket"])
def test_a_name_that_no_bucket_can_have_is_refused(shared_api, bucket):
    """The answer quotes it."""
    answer = shared_api.post("/v1/events/s3", {"Records": [s3_record("a.jpg", bucket=bucket)]})
    assert 400 == answer.status
    assert "expected a bucket name, not " in answer.detail


# -- what is not believed ----------------------------------------------------------------------------------------------
ETAGS: list[object] = [
    "37b51d194a7513e45b56f6524f2d51f2",
    '"37b51d19"',
    'W/"37b5"',
    '""',
    "",
    "x" * 10_000,
    "\u0000",
    None,
    5,
    [],
]


@pytest.mark.parametrize("etag", ETAGS, ids=lambda etag: repr(etag)[:20])
def test_an_etag_is_not_believed_whatever_it_looks_like(shared_api, etag):
    """With quotes, without, or absurd: it is the store's answer that says which etag is current."""
    assert 1 == shared_api.post("/v1/events/s3", s3_with(object_more={"eTag": etag})).json["hinted"]
    event = eventbridge_event("a.jpg")
    event["detail"]["object"]["etag"] = etag
    assert 1 == shared_api.post("/v1/events/s3", event).json["hinted"]


TIMES = [
    "2999-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "0001-01-01T00:00:00Z",
    "-0044-03-15T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "1969-07-20T20:17:40Z",
    "2026-11-21T09:53:54",
    "yesterday",
    "",
    "1" * 10_000,
    -1,
    1e308,
    None,
    {"seconds": 1},
]


@pytest.mark.parametrize("when", TIMES, ids=lambda when: repr(when)[:30])
def test_no_time_keeps_an_object_from_being_looked_at(shared_api, when):
    """In the future, before the epoch, or no time at all: people see it, nothing else depends on it."""
    key = f"{TIMES.index(when)}.jpg"
    assert 1 == shared_api.post("/v1/events/s3", s3_with({"eventTime": when}, key=key)).json["hinted"]
    assert 1 == shared_api.post("/v1/events/s3", eventbridge_event(key, time=when)).json["hinted"]
    assert "pending" == shared_api.image("photos", key).json["state"]


@pytest.mark.parametrize("mtime", [2**31, 253402300799, 2**62, -1, 0, 1e300, "now", None, True])
def test_no_filer_time_keeps_an_object_from_being_looked_at(shared_api, mtime):
    """SeaweedFS counts seconds; the same holds for any number of them."""
    entry = {"name": "f.jpg", "attributes": {"mtime": mtime, "mtime_ns": mtime}}
    answer = shared_api.post("/v1/events/seaweedfs", filer_event("/buckets/photos/f.jpg", entry=entry))
    assert 1 == answer.json["hinted"]


def test_a_time_in_the_future_does_not_put_work_off(api, engine):
    """Work is ordered by the database's clock, not by what senders say."""
    api.post("/v1/events/s3", s3_with({"eventTime": "9999-12-31T23:59:59Z"}))
    with transaction(engine) as connection:
        taken = ledger.claims.claim(connection, worker="test", size=1, lease=60)
    assert taken is not None
    assert ["a.jpg"] == [each.ref.key for each in taken.objects]


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
@pytest.mark.parametrize("source", ["s3", "seaweedfs"])
def test_numbers_that_json_does_not_have_are_refused(shared_api, source, number):
    """Parsers disagree on them: the answer names the word."""
    answer = shared_api.send("POST", f"/v1/events/{source}", b'{"Records": [], "time": %s}' % number)
    assert (400, f"expected JSON; {number.decode()} is not a JSON number") == (answer.status, answer.detail)


# -- size and depth ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "body", [NESTED, b"[" * 50_000, json.dumps({"TopicArn": "t", "Message": NESTED.decode()}).encode()]
)
def test_deep_json_is_refused_quickly(shared_api, body):
    """Also where it hides in a string: no recursion, no traceback, a sentence."""
    started = time.monotonic()
    answer = shared_api.send("POST", "/v1/events/s3", body)
    assert 400 == answer.status
    assert answer.detail.endswith("expected JSON of at most 64 levels")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("source", ["s3", "seaweedfs"])
def test_an_oversize_body_is_refused_at_every_address(shared_api, source):
    """413 names the limit; nothing is kept of it."""
    before = kept(shared_api)
    answer = shared_api.send("POST", f"/v1/events/{source}", b'{"Records": [' + b" " * 100_000 + b"]}")
    assert (413, "larger than 100,000 bytes; send less at once") == (answer.status, answer.detail)
    assert before == kept(shared_api)


# -- buckets that are not ours -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "event"),
    [
        ("s3", record("a.jpg", bucket="unwatched")),
        ("s3", in_sns(record("a.jpg", bucket="unwatched"))),
        ("s3", in_lambda(record("a.jpg", bucket="unwatched"))),
        ("seaweedfs", filer_event("/buckets/unwatched/a.jpg")),
    ],
)
def test_events_of_buckets_that_are_not_watched_are_counted_and_dropped(api, engine, source, event):
    """200, for repeating it would not help; the answer says why nothing came of it."""
    answer = api.post(f"/v1/events/{source}", event)
    assert (200, {"hinted": 0, "ignored": {"not-watched": 1}, "test": False}) == (answer.status, answer.json)
    assert 0 == pending(engine)


def test_what_is_watched_is_taken_from_among_what_is_not(api, engine):
    """One notification may name both."""
    both = {"Records": [*record("a.jpg", bucket="unwatched")["Records"], *record("b.jpg")["Records"]]}
    assert {"hinted": 1, "ignored": {"not-watched": 1}, "test": False} == api.post("/v1/events/s3", both).json
    assert 1 == pending(engine)


def test_buckets_that_are_not_watched_are_told_of_once(api, engine):
    """Whoever wonders why nothing is enriched looks at status: each bucket is kept with the reason, once."""
    for bucket in ("unwatched", "photos", "unwatched"):
        api.post("/v1/events/s3", record("a.jpg", bucket=bucket))
    with transaction(engine) as connection:
        [kept] = ledger.rejected_events.recent(connection)
    assert ("s3", "not watched", b"unwatched") == (kept.source, kept.reason, kept.body)


# -- who may send ------------------------------------------------------------------------------------------------------
SNS = {"x-amz-sns-message-type": "Notification"}


def basic(credentials):
    return {"Authorization": "Basic " + base64.b64encode(credentials).decode()}


@pytest.mark.parametrize("user", ["enricher", "", "ü"])
def test_a_sender_that_knows_no_bearer_tokens_has_it_as_password(shared_api, user):
    """SNS sends the user and password of its endpoint's URL, whoever the user is."""
    headers = basic(f"{user}:{TOKEN}".encode())
    assert 200 == shared_api.post("/v1/events/s3", record("a.jpg"), token=None, headers=headers).status


def test_sns_is_asked_for_its_password(shared_api):
    """It sends none before it was asked in that scheme. Browsers are not asked: they would open a dialogue."""
    for headers, challenge in ((SNS, 'Basic realm="Image Enricher"'), ({}, 'Bearer realm="Image Enricher"')):
        answer = shared_api.post("/v1/events/s3", record("a.jpg"), token=None, headers=headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, challenge)


@pytest.mark.parametrize(
    "headers",
    [
        basic(b"enricher:wrong"),
        basic(TOKEN.encode()),
        basic(b""),
        {"Authorization": "Basic ???"},
        basic(b"\xff\xfe:\xff"),
    ],
)
def test_a_wrong_password_lets_nobody_in(shared_api, headers):
    """Nor does one that is no password at all."""
    assert 401 == shared_api.post("/v1/events/s3", record("a.jpg"), token=None, headers=headers).status


@pytest.mark.parametrize("path", ["/v1/status", "/v1/changes"])
def test_a_password_opens_the_intake_only(shared_api, path):
    """Reading takes the bearer token: a password is what browsers send along by themselves."""
    assert 401 == shared_api.get(path, token=None, headers=basic(f"x:{TOKEN}".encode())).status


# -- subscriptions -----------------------------------------------------------------------------------------------------
def confirmation(topic="arn:aws:sns:eu-west-1:123456789012:uploads", host="sns.eu-west-1.amazonaws.com", **more):
    url = f"https://{host}/?Action=ConfirmSubscription&TopicArn={topic}&Token=t"
    return {"Type": "SubscriptionConfirmation", "TopicArn": topic, "SubscribeURL": url, "Message": "…", **more}


def test_a_subscription_that_nobody_named_is_kept_for_a_person(api, engine):
    """It is answered, nothing is opened, and `enrich rejected` shows what to do, once."""
    for _ in range(2):
        answer = api.post(
            "/v1/events/s3", confirmation(), headers={"x-amz-sns-message-type": "SubscriptionConfirmation"}
        )
        assert (200, {"hinted": 0, "ignored": {"subscription": 1}, "test": False}) == (answer.status, answer.json)
    with transaction(engine) as connection:
        [found] = ledger.rejected_events.recent(connection)
    assert "open the SubscribeURL below within three days, or name the topic in ENRICH_SNS_TOPICS" in found.reason
    assert json.loads(found.body)["SubscribeURL"] == confirmation()["SubscribeURL"]


def test_a_made_up_topic_breaks_nothing(api, engine):
    """What cannot be stored as text is stored in other words."""
    assert 200 == api.post("/v1/events/s3", confirmation(topic="\u0000" + "x" * 20_000)).status
    with transaction(engine) as connection:
        [found] = ledger.rejected_events.recent(connection)
    assert found.reason.startswith("\N{REPLACEMENT CHARACTER}xxx")
    assert len(found.reason) < 1_000


def test_an_api_without_token_takes_what_anybody_sends(services):
    """On loopback a developer may leave it out; a password does no harm."""
    with serve(replace(services, tokens=Tokens())) as open_api:
        assert 200 == open_api.post("/v1/events/s3", record("a.jpg"), token=None, headers=basic(b"x:y")).status
