"""Buckets over real HTTP: which are missing, and dropping one."""

from __future__ import annotations

import pytest

from tests.ledger import hints
from worker import ledger
from worker.db import Engine, transaction
from worker.types import Hint, ObjectRef, Outcome


@pytest.fixture
def known(engine: Engine) -> Engine:
    """One bucket that the store has, one that it has not."""
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("a.jpg"))
        ledger.hints.hint(connection, [Hint(ref=ObjectRef(bucket="typo", key="b.jpg"), source="s3", event="created")])
        ledger.buckets.buckets_found(connection, ["photos"], endpoint="http://store.example")
        ledger.buckets.buckets_missing(connection, ["typo"], endpoint="http://store.example")
    return engine


def test_buckets_are_listed_with_what_the_store_says_of_them(api, known):
    """Found there, or missing since."""
    photos, typo = api.get("/v1/buckets").json["buckets"]
    assert ("photos", "http://store.example", None) == (photos["name"], photos["endpoint"], photos["missing_since"])
    assert photos["found_at"].endswith("Z")
    assert ("typo", None, None, None) == (typo["name"], typo["endpoint"], typo["found_at"], typo["gone_at"])
    assert typo["missing_since"].endswith("Z")


def test_every_known_object_of_a_bucket_is_in_one_state(api, engine, ended):
    """The counts of a bucket are those of its objects, whatever is in others."""
    ended("b.txt", Outcome.EXCLUDED)
    ended("c.jpg", Outcome.QUARANTINED)
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("a.jpg"))
        ledger.hints.hint(connection, [Hint(ref=ObjectRef(bucket="typo", key="b.jpg"), source="s3", event="created")])
    photos, typo = (each["objects"] for each in api.get("/v1/buckets").json["buckets"])
    assert {"enriched": 0, "excluded": 1, "quarantined": 1, "gone": 0, "pending": 1} == photos
    assert {"enriched": 0, "excluded": 0, "quarantined": 0, "gone": 0, "pending": 1} == typo


def test_a_bucket_that_is_missing_can_be_dropped(api, known):
    """Repeating it does no harm."""
    assert [204, 204] == [api.send("DELETE", "/v1/buckets/typo").status for _ in range(2)]
    with transaction(known) as connection:
        assert {"typo"} == ledger.buckets.are_gone(connection, ["typo", "photos"])


@pytest.mark.parametrize(
    ("bucket", "status", "why"),
    [("photos", 422, "the store has this bucket"), ("foto", 404, "known are: photos, typo")],
)
def test_no_other_bucket_can(api, known, bucket, status, why):
    """One that the store has is deleted there first; one that nobody named is a slip of the keyboard."""
    answer = api.send("DELETE", f"/v1/buckets/{bucket}")
    assert status == answer.status
    assert why in answer.json["detail"]
    with transaction(known) as connection:
        assert frozenset() == ledger.buckets.are_gone(connection, ["typo", "photos"])
