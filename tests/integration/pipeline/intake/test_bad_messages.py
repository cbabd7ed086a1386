"""Messages that lie, exaggerate or are not ours: by queue, each gets the answer that it gets over HTTP."""

from __future__ import annotations

import json
import time

import pytest

from tests.integration.api.test_http_bad_events import AT_THE_LIMIT, BEYOND, ETAGS, NESTED, TIMES, WRAPPED, s3_with
from tests.ledger import pending, ref, row
from tests.unit.events.event_fixtures import eventbridge_event, in_lambda, in_sns, s3_event
from tests.waiting import until
from worker import ledger
from worker.db import transaction
from worker.pipeline.intake.ingest import Ingest

#: What a queue can carry.
WRAPPINGS = [name for name in WRAPPED if name != "seaweedfs"]


def reasons(engine):
    with transaction(engine) as connection:
        return sorted(each.reason for each in ledger.rejected_events.recent(connection, limit=1_000))


def pending_keys(engine, keys):
    with transaction(engine) as connection:
        return [key for key in keys if (found := ledger.totals.object_state(connection, ref(key))) and found.pending]


@pytest.fixture
def hear(aws, listen, queue_url):
    """Sends messages, and returns when the queue is empty."""

    def send(*messages, intake=None):
        aws.send(queue_url, *messages)
        listen(queue_url, intake=intake)
        until(lambda: aws.messages(queue_url) == (0, 0), seconds=30)

    return send


def test_keys_of_1024_bytes_are_taken_and_longer_ones_refused(engine, hear):
    """In every envelope; the refusal says both numbers, and keeps none of the others from being taken."""
    at_the_limit = {name: f"{number}" + "k" * 1_023 for number, name in enumerate(WRAPPINGS)}
    beyond = [WRAPPED[name](key) for name in WRAPPINGS for key in BEYOND]
    hear(*beyond, *(WRAPPED[name](key) for name, key in at_the_limit.items()), *map(WRAPPED["s3"], AT_THE_LIMIT))
    expected = [*at_the_limit.values(), *AT_THE_LIMIT]
    assert expected == pending_keys(engine, expected)
    assert len(expected) == pending(engine)
    assert len(beyond) == len(reasons(engine))
    for size in {len(key.encode()) for key in BEYOND}:
        assert sum(f"at most 1024 bytes, not {size}" in each for each in reasons(engine)) >= len(WRAPPINGS)


def test_etags_and_times_are_not_believed_whatever_they_look_like(engine, hear):
    """With quotes, without, absurd; in the future, before the epoch, none: each object is looked at, at once."""
    events: list[object] = []
    keys: list[str] = []
    for etag in ETAGS:
        keys.append(f"etag-{len(keys)}")
        events.append(s3_with(object_more={"eTag": etag}, key=keys[-1]))
    for when in TIMES:
        keys += [f"time-{len(keys)}", f"bridge-{len(keys)}"]
        events += [s3_with({"eventTime": when}, key=keys[-2]), eventbridge_event(keys[-1], time=when)]
    hear(*events)
    assert ([], keys) == (reasons(engine), pending_keys(engine, keys))
    with transaction(engine) as connection:
        taken = ledger.claims.claim(connection, worker="test", size=100, lease=60)
    assert taken is not None
    assert sorted(keys) == sorted(each.ref.key for each in taken.objects)


def test_deep_json_is_refused_quickly(engine, hear):
    """Also where it hides in a string; what comes beside it is taken."""
    started = time.monotonic()
    hear(NESTED, b"[" * 50_000, json.dumps({"TopicArn": "t", "Message": NESTED.decode()}), s3_event("a.jpg"))
    assert time.monotonic() - started < 15
    assert ["$.Message: expected JSON of at most 64 levels"] + ["expected JSON of at most 64 levels"] * 2 == reasons(
        engine
    )
    assert 1 == pending(engine)


def test_a_message_that_is_too_large_is_refused(engine, hear, rung):
    """AWS allows one mebibyte; other servers may have other ideas. The limit is that of HTTP requests."""
    small = Ingest(engine=engine, notify=rung.set, max_bytes=10_000)
    hear(json.dumps(s3_event("large.jpg")) + " " * 10_000, s3_event("a.jpg"), intake=small)
    [reason] = reasons(engine)
    assert reason.endswith("bytes, more than 10,000 (ENRICH_MAX_EVENT_BYTES); send less at once")
    assert ["a.jpg"] == pending_keys(engine, ["large.jpg", "a.jpg"])


def test_buckets_that_are_not_watched_are_dropped_in_every_envelope(engine, hear):
    """No work is recorded of them, and `enrich rejected` tells of the bucket once."""
    record = {"Records": [{**s3_event("a.jpg")["Records"][0]}]}
    record["Records"][0]["s3"] = {"bucket": {"name": "unwatched"}, "object": {"key": "a.jpg"}}
    bridged = eventbridge_event("a.jpg")
    bridged["detail"]["bucket"]["name"] = "unwatched"
    both = {"Records": [*record["Records"], *s3_event("b.jpg")["Records"]]}
    hear(record, in_sns(record), in_lambda(record), bridged, in_sns(bridged), both)
    assert (["b.jpg"], 1) == (pending_keys(engine, ["a.jpg", "b.jpg"]), pending(engine))
    assert ["not watched"] == reasons(engine)


def test_a_time_in_the_future_is_shown_to_people_and_nothing_else(engine, hear):
    """Latency is measured from it where it is past; a sender's clock puts nothing off."""
    hear(s3_with({"eventTime": "2999-01-01T00:00:00Z"}))
    found = row(engine, "a.jpg")
    assert (2999, True) == (found.event_at.year, found.visible_at <= found.hinted_at)


def test_a_message_with_a_bad_part_is_taken_but_for_that_part(engine, hear):
    """Delivered again or not: the good objects are pending, the part is kept once, and the queue is empty."""
    batch = in_lambda(s3_event("first.jpg"), {"Records": [{}]}, s3_event("last.jpg"))
    hear(batch, batch)
    assert ["first.jpg", "last.jpg"] == pending_keys(engine, ["first.jpg", "last.jpg"])
    assert ["$.Records[1].body → $.Records[0]: expected a member 's3', which is missing"] == reasons(engine)
