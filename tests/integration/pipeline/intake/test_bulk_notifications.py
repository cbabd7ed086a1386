"""A notification of thousands of objects waits behind uploads, and keeps no other notification waiting."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.ledger import BUCKET, row
from worker import ledger
from worker.db import Engine, transaction
from worker.pipeline.intake.ingest import BULK, Ingest, Notification
from worker.types import Lane
from worker.watched_buckets import Watched


@pytest.fixture
def ingest(engine: Engine) -> Ingest:
    """On a database of its own."""
    return Ingest(engine=engine, notify=lambda: None)


def body(keys: Sequence[str]) -> bytes:
    records = [{"s3": {"bucket": {"name": BUCKET}, "object": {"key": key}}} for key in keys]
    return json.dumps({"Records": records}).encode()


def accept(ingest: Ingest, body: bytes) -> Notification:
    notification = ingest.parse("s3", body)
    ingest.commit("s3", [notification])
    return notification


@pytest.mark.parametrize(("count", "lane"), [(1, Lane.LIVE), (BULK, Lane.LIVE), (BULK + 1, Lane.BACKFILL)])
def test_a_notification_of_many_objects_is_bulk(engine: Engine, ingest: Ingest, count: int, lane: Lane) -> None:
    """Stores announce uploads one at a time."""
    assert accept(ingest, body([f"{number}.jpg" for number in range(count)])).hinted == count
    assert row(engine, "0.jpg").lane == lane


def test_an_upload_is_claimed_before_the_bulk_that_came_earlier(engine: Engine, ingest: Ingest) -> None:
    """However many objects were named before it."""
    accept(ingest, body([f"../{number}" for number in range(500)]))
    accept(ingest, body(["good.jpg"]))
    with transaction(engine) as connection:
        claim = ledger.claims.claim(connection, worker="w", size=1, lease=60)
    assert claim is not None
    assert ["good.jpg"] == [each.ref.key for each in claim.objects]


def test_an_upload_that_bulk_names_too_stays_live(engine: Engine, ingest: Ingest) -> None:
    """Whichever of them comes first."""
    accept(ingest, body(["early.jpg"]))
    accept(ingest, body(["early.jpg", "late.jpg", *(f"{number}.jpg" for number in range(BULK))]))
    accept(ingest, body(["late.jpg"]))
    assert (row(engine, "early.jpg").lane, row(engine, "late.jpg").lane) == (Lane.LIVE, Lane.LIVE)


@pytest.mark.parametrize(("count", "plain"), [(0, False), (1, True), (BULK, True), (BULK + 1, False)])
def test_bulk_does_not_share_a_commit_with_uploads(ingest: Ingest, count: int, plain: bool) -> None:
    """The API commits it on a thread of its own."""
    assert plain is ingest.parse("s3", body([str(number) for number in range(count)])).is_plain


def test_of_many_buckets_that_are_not_watched_only_some_are_told(engine: Engine) -> None:
    """Who names them at random neither buries other refusals nor has each compared with those that are watched."""
    asked: list[str] = []

    def refusal(bucket: str, _key: str) -> str:
        asked.append(bucket)
        return f"{bucket} is not watched"

    ingest = Ingest(engine=engine, refusal=refusal, watches=lambda _bucket, _key: False, notify=lambda: None)
    records = [{"s3": {"bucket": {"name": f"bucket-{n % 500}"}, "object": {"key": f"{n}.jpg"}}} for n in range(1_000)]
    for _ in range(2):
        taken = accept(ingest, json.dumps({"Records": records}).encode())
        assert {"not-watched": 1_000} == taken.ignored
    with transaction(engine) as connection:
        assert 100 == ledger.rejected_events.count(connection)
    assert [f"bucket-{n}" for n in range(100)] == asked


@pytest.mark.parametrize("watched", ["photos", "uploads/new/"])
def test_a_bucket_that_is_not_watched_is_kept_once_by_all_processes(engine: Engine, watched: str) -> None:
    """Whichever of its objects each of them meets first, and also after a restart."""
    ours = Watched(names=(watched,))
    for key in ("a.jpg", "b.jpg"):
        ingest = Ingest(engine=engine, refusal=ours.refusal, watches=ours.covers, notify=lambda: None)
        record = {"s3": {"bucket": {"name": "uploads"}, "object": {"key": key}}}
        assert {"not-watched": 1} == accept(ingest, json.dumps({"Records": [record]}).encode()).ignored
    with transaction(engine) as connection:
        [kept] = ledger.rejected_events.recent(connection)
    assert b"uploads" == kept.body
    assert "add uploads" in kept.reason
