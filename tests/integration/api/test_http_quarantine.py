"""The quarantine over real HTTP, on a real PostgreSQL: look, try again, give up."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from sqlalchemy import text

from tests.factories import enriched_image
from tests.ledger import hints, pending, row
from worker import ledger
from worker.db import Engine, transaction
from worker.ledger.completion import Completion, QuarantineRecord
from worker.pipeline.operations import quarantine as use_case
from worker.types import Outcome, Reason

ODD = "a b/é?#%+\n..jpg"


@pytest.fixture
def refuse(engine: Engine):
    """Puts objects into quarantine as a worker's batch would."""

    def put(
        *keys: str, reason: Reason = Reason.TRUNCATED, first_bytes: bytes | None = b"\xff\xd8 not all of it"
    ) -> None:
        with transaction(engine) as connection:
            ledger.hints.hint(connection, hints(*keys))
            claim = ledger.claims.claim(connection, worker="test", size=len(keys), lease=60)
            assert claim is not None
            why = QuarantineRecord(
                reason=reason, message=f"it is {reason}", attempts=1, size=1234, first_bytes=first_bytes
            )
            ledger.completion.complete(
                connection,
                claim.token,
                [
                    Completion(id=each.id, outcome=Outcome.QUARANTINED, etag="e-1", quarantine=why)
                    for each in claim.objects
                ],
            )

    return put


def listed(api, query: str = "") -> list[str]:
    answer = api.get(f"/v1/quarantine{query}")
    assert 200 == answer.status, answer.body
    return [entry["key"] for entry in answer.json["entries"]]


# -- looking ----------------------------------------------------------------------------------------------------------


def test_an_entry_in_the_list(api, refuse):
    """Everything but the bytes."""
    refuse("broken.jpg")
    [entry] = api.get("/v1/quarantine").json["entries"]
    assert entry.pop("since").endswith("Z")
    assert {
        "bucket": "photos",
        "key": "broken.jpg",
        "reason": "truncated",
        "message": "it is truncated",
        "etag": "e-1",
        "size": 1234,
        "attempts": 1,
        "pending": False,
        "thumbnail": None,
    } == entry


def test_an_image_that_was_enriched_before_has_a_thumbnail(api, engine, enriched, refuse):
    """As long as the catalog describes its bytes; the address names these."""
    enriched(enriched_image("secret.jpg"))
    refuse("secret.jpg", reason=Reason.ACCESS_DENIED, first_bytes=None)
    [entry] = api.get("/v1/quarantine").json["entries"]
    assert f"/v1/previews/256/photos/secret.jpg?sha256={'ab' * 32}" == entry["thumbnail"]
    assert entry["thumbnail"] == api.get("/v1/quarantine/photos/secret.jpg").json["thumbnail"]


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("", {"2026/cut.jpg", "2026/empty.jpg", "cut.jpg"}),
        ("?reason=truncated", {"2026/cut.jpg", "cut.jpg"}),
        ("?bucket=photos&prefix=2026/", {"2026/cut.jpg", "2026/empty.jpg"}),
        ("?bucket=photos&prefix=2026/&reason=empty", {"2026/empty.jpg"}),
        ("?given_up=true", set()),
        ("?since=1h", {"2026/cut.jpg", "2026/empty.jpg", "cut.jpg"}),
        ("?older_than=1h", set()),
        ("?since=2020-01-01T00:00:00%2B02:00&older_than=0s", {"2026/cut.jpg", "2026/empty.jpg", "cut.jpg"}),
        ("?since=2999-01-01T00:00:00Z", set()),
    ],
)
def test_filters_are_joined_by_and(api, refuse, query, keys):
    """And the counts are of the same selection."""
    refuse("2026/cut.jpg", "cut.jpg")
    refuse("2026/empty.jpg", reason=Reason.EMPTY, first_bytes=b"")
    assert set(listed(api, query)) == keys
    counts = api.get(f"/v1/quarantine/counts{query}").json
    assert counts["total"] == sum(counts["reasons"].values()) == len(keys)


def test_pages_follow_each_other(api, refuse):
    """``next`` of a page is the way to the one behind; null at the end."""
    for number in range(5):
        refuse(f"{number}.jpg")
    page = api.get("/v1/quarantine?limit=2").json
    seen = [entry["key"] for entry in page["entries"]]
    while page["next"] is not None:
        page = api.get(f"/v1/quarantine?limit=2&after={page['next']}").json
        seen += [entry["key"] for entry in page["entries"]]
    assert ["4.jpg", "3.jpg", "2.jpg", "1.jpg", "0.jpg"] == seen


@pytest.mark.parametrize("key", ["broken.jpg", ODD, "//", "counts", "retry"])
def test_one_entry(api, refuse, key):
    """Whatever its key: the hexdump shows what the file begins with."""
    refuse(key)
    entry = api.get(f"/v1/quarantine/photos/{quote(key)}").json
    assert (entry["key"], entry["first_bytes"]) == (key, b"\xff\xd8 not all of it".hex())
    assert ["00000000  ff d8 20 6e 6f 74 20 61 6c 6c 20 6f 66 20 69 74  |.. not all of it|"] == entry["hexdump"]


def test_an_entry_of_which_nothing_was_read(api, refuse):
    """A store that denies access gives no bytes."""
    refuse("secret.jpg", reason=Reason.ACCESS_DENIED, first_bytes=None)
    entry = api.get("/v1/quarantine/photos/secret.jpg").json
    assert (None, []) == (entry["first_bytes"], entry["hexdump"])


def test_an_object_that_is_not_there(shared_api):
    """404 says who knows more."""
    answer = shared_api.get("/v1/quarantine/photos/good.jpg")
    assert (404, "Not Found") == (answer.status, answer.json["title"])
    assert "photos/good.jpg is not in quarantine" in answer.detail


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("reason=bad-luck", 422, "reason: Input should be 'empty', 'not-an-image', "),
        ("prefix=a", 422, "name the bucket, too"),
        ("since=yesterday", 422, "since: 'yesterday' is neither a duration, such as 2d or 12h, nor a time"),
        ("older_than=2", 422, "older_than: '2' is neither"),
        ("since=2026-01-01T00:00:00+02:00", 422, "a + in an address is %2B"),
        ("since=9999999w", 422, "longer than a hundred years"),
        ("bucket=%00", 422, "bucket: must not contain NUL"),
        ("bucket=", 422, "bucket: "),
        ("limit=0", 422, "limit: Input should be greater than or equal to 1"),
        ("limit=1001", 422, "limit: Input should be less than or equal to 1000"),
        ("after=nonsense", 400, "'nonsense' is not a cursor of this list"),
        ("after=" + "A" * 257, 422, "after: "),
    ],
)
def test_a_question_that_is_wrong(shared_api, query, status, says):
    """A sentence that says what to ask instead."""
    answer = shared_api.get(f"/v1/quarantine?{query}")
    assert answer.status == status
    assert says in answer.detail


# -- trying again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "count"),
    [
        ({"reason": "truncated"}, 2),
        ({"bucket": "photos", "prefix": "2026/"}, 2),
        ({"bucket": "photos", "key": "cut.jpg"}, 1),
        ({"since": "1h"}, 3),
        ({"older_than": "1h"}, 0),
        ({"all": True}, 3),
    ],
)
def test_a_retry(api, engine, refuse, wake_up, *, choice, count):
    """Chosen entries are pending and a worker is woken; asked again, nothing is left to do."""
    refuse("2026/cut.jpg", "cut.jpg")
    refuse("2026/empty.jpg", reason=Reason.EMPTY)
    assert api.post("/v1/quarantine/retry", choice).json == {"changed": count, "next": None}
    assert (pending(engine), wake_up.rung.is_set()) == (count, count > 0)
    assert {"changed": 0, "next": None} == api.post("/v1/quarantine/retry", choice).json


def test_what_is_tried_again_says_so(api, refuse):
    """In the list, and where somebody asks for the image."""
    refuse("cut.jpg")
    api.post("/v1/quarantine/retry", {"reason": "truncated"})
    assert [True] == [entry["pending"] for entry in api.get("/v1/quarantine").json["entries"]]
    assert "pending" == api.image("photos", "cut.jpg").json["state"]


def test_a_large_retry_takes_several_calls(api, engine, refuse, monkeypatch):
    """Each answers in time; together they change every entry once, also if an answer was lost."""
    monkeypatch.setattr(use_case, "_PART", 2)
    monkeypatch.setattr("worker.api.routes.quarantine._PATIENCE", 0.0)
    refuse(*(f"{number}.jpg" for number in range(5)))
    changed, choice = [], {"reason": "truncated", "after": None}
    for _ in range(10):
        answer = api.post("/v1/quarantine/retry", choice).json
        assert 0 == api.post("/v1/quarantine/retry", choice).json["changed"]
        changed.append(answer["changed"])
        choice["after"] = answer["next"]
        if answer["next"] is None:
            break
    assert (5, 5) == (sum(changed), pending(engine))
    assert 2 == max(changed)


# -- giving up --------------------------------------------------------------------------------------------------------


def test_a_drop(api, engine, refuse):
    """The object counts as excluded; it is listed apart, and tried again by its key or with all that was given up."""
    refuse("cut.jpg", "other.jpg")
    one = {"bucket": "photos", "key": "cut.jpg"}
    assert {"changed": 1, "next": None} == api.post("/v1/quarantine/drop", one).json
    assert {"changed": 0, "next": None} == api.post("/v1/quarantine/drop", one).json
    assert (["other.jpg"], "excluded") == (listed(api), row(engine, "cut.jpg").outcome)
    shown = api.image("photos", "cut.jpg").json
    assert ("given-up", "truncated") == (shown["state"], shown["reason"])
    listing = api.get("/v1/quarantine?given_up=true&reason=truncated").json
    assert ["cut.jpg"] == [entry["key"] for entry in listing["entries"]]
    assert 422 == api.post("/v1/quarantine/drop", {"given_up": True, "all": True}).status
    for again in (one, {"given_up": True, "bucket": "photos"}):
        assert {"changed": 1, "next": None} == api.post("/v1/quarantine/retry", again).json
        assert "pending" == api.image("photos", "cut.jpg").json["state"]
        refuse("cut.jpg")
        api.post("/v1/quarantine/drop", one)


def test_what_is_tried_again_is_not_dropped(api, refuse):
    """Its work is under way: what comes of it is not known yet."""
    refuse("cut.jpg")
    api.post("/v1/quarantine/retry", {"all": True})
    assert 0 == api.post("/v1/quarantine/drop", {"all": True}).json["changed"]
    assert ["cut.jpg"] == listed(api)


# -- asking wrongly ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["retry", "drop"])
@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 422, "say which: by reason"),
        ({"all": False}, 422, "say which: by reason"),
        ({"all": True, "reason": "empty"}, 422, "or all of them, and nothing else"),
        ({"key": "a.jpg"}, 422, "name the bucket, too"),
        ({"prefix": "a"}, 422, "name the bucket, too"),
        ({"bucket": "b", "prefix": "a", "key": "a.jpg"}, 422, "not both"),
        ({"reason": "bad-luck"}, 422, "reason: Input should be 'empty', "),
        ({"reasons": ["empty"]}, 422, "body: unknown member 'reasons'; did you mean 'reason'?"),
        ({"since": "soon"}, 422, "since: 'soon' is neither"),
        ({"bucket": "\0"}, 422, "bucket: must not contain NUL"),
        ({"bucket": "b", "key": "k" * 1025}, 422, "key: "),
        ({"all": True, "after": "nonsense"}, 400, "is not a cursor of this list"),
    ],
)
def test_nothing_is_changed_by_a_mistake(api, engine, refuse, *, action, body, status, says):
    """Least of all everything: leaving all filters out is refused."""
    refuse("cut.jpg")
    answer = api.post(f"/v1/quarantine/{action}", body)
    assert answer.status == status
    assert says in answer.detail
    assert (["cut.jpg"], 0) == (listed(api), pending(engine))


def test_no_reason_of_the_database_breaks_the_list(api, engine, refuse):
    """A code of a newer release is shown as it is."""
    refuse("cut.jpg")
    with transaction(engine) as connection:
        connection.execute(text("UPDATE quarantine SET reason = 'from-the-future'"))
    assert ["from-the-future"] == [entry["reason"] for entry in api.get("/v1/quarantine").json["entries"]]
