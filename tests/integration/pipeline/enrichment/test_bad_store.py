"""A store that refuses some objects holds up no others: real HTTP, the real ledger, one worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bad_store import REFUSALS, BadStore, bad_store
from tests.integration.pipeline.conftest import World
from tests.ledger import BUCKET, pending, row
from tests.pictures import picture
from worker import ledger
from worker.db import transaction
from worker.objects import S3Store
from worker.types import Hint, ObjectRef

#: Many more than open a breaker, and than a batch holds.
MANY = 40
GOOD = [f"good-{number}.jpg" for number in range(4)]


@pytest.fixture
def bad() -> Iterator[BadStore]:
    """The store on its own."""
    with bad_store() as store:
        yield store


@pytest.fixture
def at_bad_store(world: World, bad):
    """The world's worker, with that store."""
    objects = S3Store(endpoint_url=bad.url, access_key_id="id", secret_access_key="secret", timeout=5)
    world.read_from(objects)
    yield world
    objects.close()


def upload(world: World, bad: BadStore, keys: list[str], refusal: str | None = None, bucket: str = BUCKET) -> None:
    for key in keys:
        bad.put(bucket, key, picture(), refusal)
    with transaction(world.engine) as connection:
        refs = [ObjectRef(bucket=bucket, key=key) for key in keys]
        ledger.hints.hint(connection, [Hint(ref=each, source="test", event="created") for each in refs])


def work(world: World, tries: int) -> None:
    """Let a worker run so often; where it would wait for a second, a second passes."""
    for _ in range(tries):
        if world.run() is None:
            world.clock.now += 1.0


@pytest.mark.parametrize("refusal", REFUSALS)
def test_good_uploads_behind_refused_ones_are_enriched_at_once(at_bad_store, bad, refusal):
    """Whatever the store answers about forty objects, the four behind them wait for a few batches, and no retries."""
    upload(at_bad_store, bad, [f"bad-{number:02}.jpg" for number in range(MANY)], refusal)
    upload(at_bad_store, bad, GOOD)
    work(at_bad_store, 24)
    assert all(at_bad_store.image(key) for key in GOOD)


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ("customer-key", "not-readable"),
        ("customer-key-seaweedfs", "not-readable"),
        ("key-disabled", "not-readable"),
        ("denied", "access-denied"),
        ("archived", "archived"),
    ],
)
def test_an_object_that_is_refused_ends_in_quarantine_and_opens_no_breaker(at_bad_store, bad, refusal, reason):
    """Alone in its batch and with others: the store has answered, and the message has its words."""
    keys = [f"bad-{number}.jpg" for number in range(9)]
    upload(at_bad_store, bad, keys, refusal)
    for _ in range(3 * 2):
        at_bad_store.run()
        at_bad_store.time_passes()
    assert dict.fromkeys(keys, reason) == at_bad_store.quarantine()
    assert not at_bad_store.enricher.breakers.store.is_open
    messages = {each.key: each.message for each in at_bad_store.quarantined()}
    if reason == "not-readable":
        status, code, _ = REFUSALS[refusal]
        assert f"{BUCKET}/bad-0.jpg: the store answers {status} {code} (after 3 attempts)" == messages["bad-0.jpg"]


@pytest.mark.parametrize(
    ("refusal", "reason", "words"),
    [
        ("expired", "misconfigured", "our temporary credentials have expired (400 ExpiredToken)"),
        ("wrong-key", "misconfigured", "the store refuses our credentials (403 InvalidAccessKeyId)"),
        ("other-region", "wrong-region", "set ENRICH_S3_REGION=eu-west-3"),
        ("moving", "wrong-region", "the store redirects to http://127.0.0.1:1/"),
        ("busy", "store-away", "503 SlowDown"),
        ("throttled", "store-away", "429 TooManyRequests"),
        ("proxy-400", "store-away", "the store answers 400"),
    ],
)
def test_what_is_not_the_objects_fault_is_called_by_its_name_and_costs_no_attempt(
    at_bad_store, bad, refusal, reason, words
):
    """It stays pending; `enrich status` shows the reason, and a sentence that says what to set."""
    upload(at_bad_store, bad, ["bad.jpg"], refusal)
    at_bad_store.run()
    found = row(at_bad_store.engine, "bad.jpg")
    assert (reason, 0) == (found.retry_reason, found.attempts)
    assert words in found.last_error
    assert 1 == pending(at_bad_store.engine)


def test_a_bucket_in_another_region_stops_no_other_bucket(at_bad_store, bad):
    """It is that bucket's setting: no breaker opens, however many of its objects are named."""
    upload(at_bad_store, bad, [f"far-{number}.jpg" for number in range(9)], "other-region", bucket="elsewhere")
    at_bad_store.run()
    at_bad_store.run()
    assert not at_bad_store.enricher.breakers.store.is_open


def test_one_bucket_that_fails_costs_the_others_nothing_and_its_objects_no_attempts(at_bad_store, bad):
    """In one batch: its outage is judged by its own objects, and good ones of another bucket go on."""
    upload(at_bad_store, bad, [f"lost-{number}.jpg" for number in range(4)], "broken", bucket="lost")
    upload(at_bad_store, bad, GOOD)
    at_bad_store.run()
    assert all(at_bad_store.image(key) for key in GOOD)
    assert not at_bad_store.enricher.breakers.store.is_open
    with transaction(at_bad_store.engine) as connection:
        standing = ledger.totals.object_state(connection, ObjectRef(bucket="lost", key="lost-0.jpg"))
    assert standing is not None
    assert (True, 0) == (standing.pending, standing.attempts)


def test_what_was_not_tried_burns_no_attempt(at_bad_store, bad):
    """Behind five failures the rest of a batch is skipped: an answer that comes later is no reason to count it."""
    keys = [f"bad-{number}.jpg" for number in range(8)]
    upload(at_bad_store, bad, keys, "busy")
    at_bad_store.run()
    assert {0} == {row(at_bad_store.engine, key).attempts for key in keys}


def test_a_key_that_climbs_out_of_its_bucket_is_given_up_at_the_first_refusal(at_bad_store, bad):
    """Stores refuse `../x` by its name alone, so it is asked for once. One that does give it is believed."""
    upload(at_bad_store, bad, ["../refused.jpg", "a/../../refused.jpg"], "bad-name")
    upload(at_bad_store, bad, ["../given.jpg"])
    at_bad_store.run()
    assert {"../refused.jpg": "not-readable", "a/../../refused.jpg": "not-readable"} == at_bad_store.quarantine()
    assert at_bad_store.image("../given.jpg") is not None
