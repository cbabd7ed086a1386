"""What operators look at, over real HTTP: backlog, throughput, processes, reconciliations, feed, rejected events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.factories import enriched_image
from tests.integration.api.live import serve
from tests.ledger import hints
from worker import ledger
from worker.db import Engine, transaction
from worker.ledger.heartbeats import ProcessReport
from worker.ledger.reconciliations import Target
from worker.pipeline.resilience.worker_breakers import WorkerBreakers
from worker.types import Hint, Lane, ObjectRef


def execute(engine: Engine, statement: str, **values: object) -> None:
    with transaction(engine) as connection:
        connection.execute(text(statement), values)


# -- backlog ----------------------------------------------------------------------------------------------------------


def test_an_empty_backlog(api):
    """Three lanes, in which nothing waits."""
    found = api.get("/v1/backlog").json
    lanes = [(each["lane"], each["objects"], each["oldest_seconds"], each["exact"]) for each in found["lanes"]]
    assert [("live", 0, None, True), ("retry", 0, None, True), ("backfill", 0, None, True)] == lanes
    assert (0, []) == (found["pending"], found["retrying"])


def test_the_backlog_by_lane(api, engine):
    """Each lane has its count and the age of its oldest, whatever the other lanes have."""
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("live.jpg"))
        ledger.hints.hint(connection, hints("old.jpg", "new.jpg"), lane=Lane.BACKFILL)
        other = Hint(ref=ObjectRef(bucket="other", key="x.jpg"), source="s3", event="created")
        ledger.hints.hint(connection, [other], lane=Lane.BACKFILL)
    execute(engine, "UPDATE inbox SET hinted_at = now() - interval '1 hour' WHERE key = 'old.jpg'")
    execute(engine, "UPDATE inbox SET hinted_at = now() - interval '2 hours' WHERE key = 'x.jpg'")
    lanes = {each["lane"]: each for each in api.get("/v1/backlog?bucket=photos").json["lanes"]}
    assert {"live": 1, "retry": 0, "backfill": 2} == {name: each["objects"] for name, each in lanes.items()}
    assert 3_600 == pytest.approx(lanes["backfill"]["oldest_seconds"], abs=60)
    assert lanes["live"]["oldest_seconds"] < 60
    assert 7_200 == pytest.approx(api.get("/v1/backlog").json["lanes"][2]["oldest_seconds"], abs=60)


def test_what_is_claimed_is_part_of_the_backlog(api, engine):
    """Objects that workers have claimed are counted in their lane, and as in flight."""
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("a.jpg", "b.jpg"))
        ledger.claims.claim(connection, worker="test", size=1, lease=60)
    live = api.get("/v1/backlog").json["lanes"][0]
    assert (2, 1, True) == (live["objects"], live["in_flight"], live["exact"])


def test_an_age_that_is_a_lower_bound_says_so(api, engine):
    """Where over a thousand wait in a lane, its oldest may be behind those; the oldest of all is always found."""
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("older.jpg"))
        ledger.hints.hint(connection, hints(*(f"{n}.jpg" for n in range(1_100))), lane=Lane.RETRY)
    execute(engine, "UPDATE inbox SET hinted_at = now() - interval '1 hour' WHERE key = 'older.jpg'")
    live, retry, _ = api.get("/v1/backlog").json["lanes"]
    assert (1, True, 1_100, False) == (live["objects"], live["exact"], retry["objects"], retry["exact"])
    execute(engine, "UPDATE inbox SET hinted_at = now() - interval '2 hours' WHERE key = '7.jpg'")
    retry = api.get("/v1/backlog").json["lanes"][1]
    assert (True, pytest.approx(7_200, abs=60)) == (retry["exact"], retry["oldest_seconds"])


def test_the_oldest_of_a_bucket(api, engine):
    """Of one bucket, what waits in the other lanes of others is in nobody's way; what is not found is not made up."""
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints(*(f"{n}.jpg" for n in range(1_100))), lane=Lane.RETRY)
        other = [Hint(ref=ObjectRef(bucket="other", key=key), source="s3", event="created") for key in ("a", "b")]
        ledger.hints.hint(connection, other, lane=Lane.RETRY)
        ledger.hints.hint(connection, hints("live.jpg"))
    execute(engine, "UPDATE inbox SET hinted_at = now() - interval '1 hour' WHERE key LIKE '%.jpg' AND lane = 1")
    lanes = api.get("/v1/backlog?bucket=other").json["lanes"]
    assert [(0, True), (2, True), (0, True)] == [(each["objects"], each["exact"]) for each in lanes]
    assert lanes[1]["oldest_seconds"] < 60
    live, retry, _ = api.get("/v1/backlog?bucket=photos").json["lanes"]
    assert (1, None, False) == (live["objects"], live["oldest_seconds"], live["exact"])
    assert (1_100, True, pytest.approx(3_600, abs=60)) == (retry["objects"], retry["exact"], retry["oldest_seconds"])


def test_an_unknown_bucket_is_refused(api, engine):
    """With the nearest that is known."""
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("a.jpg"))
    answer = api.get("/v1/backlog?bucket=photo")
    assert (422, True) == (answer.status, "photos" in answer.detail)


# -- throughput -------------------------------------------------------------------------------------------------------


def test_nothing_was_enriched(api):
    """Sixty minutes without an image, and no latency that could be measured."""
    found = api.get("/v1/throughput").json
    assert (0, 0, True, None) == (found["last_minute"], found["last_hour"], found["exact"], found["latency"])
    assert [0] * 60 == [each["images"] for each in found["minutes"]]


def test_images_are_counted_by_minute(api, engine, enriched):
    """What was enriched now is in the last minute, what was before the hour in none."""
    enriched(*(enriched_image(f"{name}.jpg") for name in ("now", "half", "before")))
    execute(engine, "UPDATE images SET enriched_at = now() - interval '30.5 minutes' WHERE key = 'half.jpg'")
    execute(engine, "UPDATE images SET enriched_at = now() - interval '61 minutes' WHERE key = 'before.jpg'")
    found = api.get("/v1/throughput").json
    assert (1, 2, True) == (found["last_minute"], found["last_hour"], found["exact"])
    assert [29, 59] == [n for n, each in enumerate(found["minutes"]) if each["images"]]


def test_latency_is_from_the_event_to_the_commit(api, enriched):
    """What no event announced, as in a backfill, is not measured."""
    received = datetime.now(UTC) - timedelta(seconds=20)
    uploaded = [replace(enriched_image(f"{n}.jpg"), hinted_at=received) for n in range(3)]
    backfilled = replace(enriched_image("old.jpg"), event_at=None, hinted_at=received - timedelta(days=3))
    enriched(*uploaded, backfilled)
    found = api.get("/v1/throughput").json
    assert (3, True) == (found["latency"]["images"], found["latency_exact"])
    for name in ("median", "p95", "p99", "longest"):
        assert 20 == pytest.approx(found["latency"][name], abs=10)


def test_many_images_in_a_minute_are_an_estimate(api, engine, enriched):
    """The answer says so; images spread evenly over the minute are estimated well."""
    enriched(*(enriched_image(f"{n}.jpg") for n in range(3_000)))
    execute(engine, "UPDATE images SET enriched_at = now() - interval '59.5 s' + id * interval '19 ms'")
    found = api.get("/v1/throughput").json
    assert (False, False) == (found["exact"], found["latency_exact"])
    assert 3_000 == pytest.approx(found["last_hour"], rel=0.05)
    assert 60 <= found["latency"]["images"] <= 120


# -- processes --------------------------------------------------------------------------------------------------------


def report(engine: Engine, name: str, **values: object) -> None:
    with transaction(engine) as connection:
        ledger.heartbeats.record(
            connection,
            ProcessReport(name=name, host="here", **{"kind": "worker", **values}),  # type: ignore[arg-type]
        )


def test_processes_say_what_they_do(api, engine):
    """Working, idle, silent, stuck: with a sentence where something is wrong."""
    report(engine, "working", model="tiny", in_flight=2)
    report(engine, "idle")
    report(engine, "scheduler", kind="scheduler")
    report(engine, "silent")
    report(engine, "stuck", in_flight=1)
    execute(engine, "UPDATE processes SET seen_at = now() - interval '1 minute' WHERE name = 'silent'")
    execute(engine, "UPDATE processes SET progress_at = now() - interval '10 minutes' WHERE name = 'stuck'")
    found = {each["name"]: each for each in api.get("/v1/processes").json["processes"]}
    assert {"working": "working", "idle": "idle", "scheduler": "idle", "silent": "silent", "stuck": "stuck"} == {
        name: each["activity"] for name, each in found.items()
    }
    assert ("tiny", 2, None, []) == tuple(
        found["working"][name] for name in ("model", "batches", "problem", "breakers")
    )
    assert "was last heard of 60 s ago" in found["silent"]["problem"]
    assert "made no progress for 600 s" in found["stuck"]["problem"]


def test_open_breakers_are_named(api, engine):
    """A worker that waits for the store says so, and which breaker that is."""
    breakers = WorkerBreakers()
    breakers.store.report(failed=5, why="connection refused")
    report(engine, "worker", waiting=breakers.waiting())
    [found] = api.get("/v1/processes").json["processes"]
    assert ("waiting", ["store"]) == (found["activity"], found["breakers"])
    assert "connection refused" in found["waiting"]


# -- reconciliations --------------------------------------------------------------------------------------------------


def test_reconciliations(api, engine):
    """A bucket that was never compared says so; one that was says what the store listed."""
    with transaction(engine) as connection:
        ledger.reconciliations.watch(connection, [Target(bucket="new"), Target(bucket="photos")], interval=60)
    execute(
        engine,
        "UPDATE reconciliations SET finished_at = now(), last_listed = 12, last_missing = 1 WHERE bucket = 'photos'",
    )
    new, photos = api.get("/v1/reconciliations").json["reconciliations"]
    assert (None, 0, False) == (new["finished_at"], new["listed"], new["running"])
    assert (12, 1, 0, None) == tuple(photos[name] for name in ("listed", "missing", "ghost", "error"))


# -- the change feed --------------------------------------------------------------------------------------------------


def test_an_empty_feed(api):
    """It has an end from which it can be followed, and no changes."""
    found = api.get("/v1/feed").json
    assert (None, None, 30.0, None) == tuple(
        found[name] for name in ("newest_at", "oldest_at", "retention_days", "blocker")
    )
    assert [] == api.get(f"/v1/changes?after={found['end']}").json["changes"]


def test_the_feed_says_where_it_begins_and_ends(api, engine, gallery):
    """Its end is where a reader of everything arrives."""
    execute(engine, "UPDATE changes SET at = at - interval '3 days' WHERE id = 1")
    found = api.get("/v1/feed").json
    assert api.get("/v1/changes").json["next"] == found["end"]
    oldest, newest = (datetime.fromisoformat(found[name]) for name in ("oldest_at", "newest_at"))
    assert timedelta(days=3) == newest - oldest


def test_a_feed_that_is_kept_for_ever(services):
    """ENRICH_FEED_RETENTION_DAYS=0 is null, not zero days."""
    with serve(replace(services, feed_retention_days=0.0)) as api:
        assert None is api.get("/v1/feed").json["retention_days"]


# -- rejected events --------------------------------------------------------------------------------------------------


def test_rejected_events_page_by_page(api):
    """Newest first, each once, with their total; bodies are asked for one by one."""
    for body in (b"{1", b"{2", b"{3"):
        assert 400 == api.send("POST", "/v1/events/s3", body).status
    first = api.get("/v1/rejected-events?limit=2").json
    second = api.get(f"/v1/rejected-events?limit=2&after={first['next']}").json
    assert (3, 2, 1, None) == (first["total"], len(first["events"]), len(second["events"]), second["next"])
    found = [api.get(f"/v1/rejected-events/{each['id']}").json for each in first["events"] + second["events"]]
    assert ["{3", "{2", "{1"] == [each["body"] for each in found]
    assert {("s3", True)} == {(each["source"], each["whole"]) for each in found}


@pytest.mark.parametrize(("body", "whole"), [(b"\xff", False), ("é".encode(), True), (b"x" * 70_000, False)])
def test_a_body_that_cannot_be_sent_again_says_so(api, body, whole):
    """Bytes that are not text are shown as escapes, and long bodies are kept in part."""
    assert 400 == api.send("POST", "/v1/events/s3", body).status
    [kept] = api.get("/v1/rejected-events").json["events"]
    assert min(len(body), 65_536) == kept["bytes"]
    assert whole is api.get(f"/v1/rejected-events/{kept['id']}").json["whole"]


def test_an_unknown_rejected_event(api):
    """404 says where the others are."""
    answer = api.get("/v1/rejected-events/77")
    assert (404, True) == (answer.status, "GET /v1/rejected-events" in answer.detail)


def test_a_cursor_of_another_list_is_refused(api):
    """As everywhere."""
    assert 400 == api.get("/v1/rejected-events?after=nonsense").status
