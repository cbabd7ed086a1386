"""Reading back over real HTTP, on a real PostgreSQL: one image, searches, the feed, the counts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import jsonschema
import pytest

from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.integration.api.live import record, serve
from tests.ledger import hints
from worker import inbox, outbox
from worker.db import transaction
from worker.pipeline.query import Search
from worker.resources import schemas_dir
from worker.types import Outcome


def found(api, **request: Any) -> list[str]:
    answer = api.post("/v1/search", request)
    assert answer.status == 200, answer.body
    return [hit["key"] for hit in answer.json["hits"]]


# -- one image --------------------------------------------------------------------------------------------------------


def test_an_image_with_everything(api, gallery):
    """Metadata, and every tag with its provenance."""
    image = api.image("photos", "red.jpg").json
    times = [image.pop("enriched_at"), image["tags"][0].pop("decided_at")]
    assert all(datetime.fromisoformat(time).tzinfo is not None for time in times)
    assert image.pop("searchable_after_seconds") > 0
    assert image == {
        "bucket": "photos",
        "key": "red.jpg",
        "etag": "etag-red.jpg",
        "version_id": "v1",
        "size": 1234,
        "last_modified": "2026-01-01T12:00:00Z",
        "content_type": "image/jpeg",
        "width": 640,
        "height": 480,
        "format": "JPEG",
        "mode": "RGB",
        "frames": 1,
        "orientation": 6,
        "taken_at": None,
        "camera_make": "ACME",
        "camera_model": "One",
        "location": {"latitude": -33.5, "longitude": 151.25, "altitude": 12.5},
        "sha256": "ab" * 32,
        "phash": f"{-1234567890123456789 & (1 << 64) - 1:016x}",
        "tags": [
            {
                "taxonomy": "time-of-day",
                "label": "day",
                "probability": 0.75,
                "score": 0.25,
                "source": "zero-shot",
                "taxonomy_version": "v",
                "space": 1,
                "model": "tiny",
                "active": True,
            }
        ],
    }


def test_a_camera_without_a_time_zone_gets_none(api, enriched):
    """EXIF's wall clock is told as it is, with an offset only where the camera wrote one."""
    enriched(
        enriched_image("local.jpg", taken_at=datetime.fromisoformat("2026-05-04T03:02:01")),
        enriched_image("zoned.jpg", taken_at=datetime.fromisoformat("2026-05-04T03:02:01+05:30")),
    )
    assert api.image("photos", "local.jpg").json["taken_at"] == "2026-05-04T03:02:01"
    assert api.image("photos", "zoned.jpg").json["taken_at"] == "2026-05-04T03:02:01+05:30"


def test_an_abstention_is_shown(api, gallery):
    """``null`` is a decision: none of these labels."""
    assert [tag["label"] for tag in api.image("photos", "blue.jpg").json["tags"]] == [None]


@pytest.mark.parametrize("key", ["nowhere.jpg", "%00", "a%00b", "x" * 5_000])
def test_an_object_nobody_named(shared_api, key):
    """404 and what to do about it; a NUL, which no key has, is named as such."""
    answer = shared_api.get(f"/v1/images/photos/{key}")
    if "%00" in key:
        assert (answer.status, answer.detail) == (422, "key: must not have a NUL; no name has one")
    else:
        assert (answer.status, answer.json["state"]) == (404, "unknown")
        assert "enrich backfill" in answer.detail


def test_an_object_that_is_still_to_come(api):
    """404 for now: who polls can tell that waiting is right."""
    api.post("/v1/events/s3", record("soon.jpg"))
    answer = api.image("photos", "soon.jpg")
    assert (answer.detail, answer.json["state"]) == (
        "photos/soon.jpg is not in the catalog: it is pending",
        "pending",
    )
    assert (answer.status, answer.json["title"]) == (404, "Not Found")


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        (Outcome.QUARANTINED, "quarantined", "truncated"),
        (Outcome.EXCLUDED, "excluded", None),
        (Outcome.GONE, "gone", None),
    ],
)
def test_an_object_that_will_never_come(api, ended, outcome, state, reason):
    """404 for good: who polls can tell that waiting is in vain, and why."""
    ended("bad.jpg", outcome)
    answer = api.image("photos", "bad.jpg")
    assert (answer.status, answer.json["state"], answer.json.get("reason")) == (404, state, reason)


# -- lists ------------------------------------------------------------------------------------------------------------


def listed(api, query: str = "") -> list[str]:
    answer = api.get(f"/v1/images{query}")
    assert answer.status == 200, answer.body
    return [image["key"] for image in answer.json["images"]]


def test_an_image_in_a_list_is_as_it_is_alone(api, gallery):
    """In the order of keys, with everything."""
    images = api.get("/v1/images").json["images"]
    assert [image["key"] for image in images] == ["2026/green.jpg", "blue.jpg", "red.jpg"]
    assert images[2] == api.image("photos", "red.jpg").json


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("?bucket=photos", ["2026/green.jpg", "blue.jpg", "red.jpg"]),
        ("?bucket=other", []),
        ("?bucket=photos&prefix=2026/", ["2026/green.jpg"]),
        ("?tag=time-of-day%3Dday", ["red.jpg"]),
        ("?tag=time-of-day=day&tag=time-of-day=night", []),
        ("?tag=mood=%F0%9F%99%82%3D%25%27%3A", []),
        ("?source=zero-shot", ["2026/green.jpg", "red.jpg"]),
        ("?source=human", []),
        ("?updated_since=1h", ["2026/green.jpg", "blue.jpg", "red.jpg"]),
        ("?updated_since=2999-01-01T00:00:00Z", []),
    ],
)
def test_filters_of_a_list(api, gallery, query, keys):
    """All that are given must hold."""
    assert listed(api, query) == keys


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_turning_the_pages_of_a_list(api, enriched, limit):
    """``next`` leads on, whatever is in the key it stands for, until it is null."""
    names = ["a\n", "a b", "\x01" * 1024, "é", "🌈" * 256]
    enriched(*(enriched_image(name) for name in names))
    page = api.get(f"/v1/images?limit={limit}").json
    seen = [image["key"] for image in page["images"]]
    while page["next"] is not None:
        page = api.get(f"/v1/images?limit={limit}&after={page['next']}").json
        seen += [image["key"] for image in page["images"]]
    assert seen == sorted(names, key=str.encode)


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("prefix=a", 422, "name the bucket, too"),
        ("tag=day", 422, "tag[0]: String should match pattern"),
        ("tag=" + "&tag=".join(["a=b"] * 17), 422, "tag: List should have at most 16 items"),
        ("source=guess", 422, "source: Input should be 'zero-shot', "),
        ("updated_since=lately", 422, "updated_since: 'lately' is neither a duration"),
        ("limit=1001", 422, "limit: Input should be less than or equal to 1000"),
        ("after=812-1", 400, "'812-1' is not a cursor of this list"),
    ],
)
def test_a_list_that_is_asked_for_wrongly(shared_api, query, status, says):
    """A sentence that names the parameter."""
    answer = shared_api.get(f"/v1/images?{query}")
    assert answer.status == status
    assert says in answer.detail


# -- search -----------------------------------------------------------------------------------------------------------


def test_search_ranks_by_similarity(api, gallery):
    """The best first, each with its similarity and the tags that hold."""
    assert found(api, text="red")[0] == "red.jpg"
    assert sorted(found(api, text="red")) == ["2026/green.jpg", "blue.jpg", "red.jpg"]
    [best] = api.post("/v1/search", {"text": "  green\n", "limit": 1}).json["hits"]
    assert best == {
        "bucket": "photos",
        "key": "2026/green.jpg",
        "similarity": pytest.approx(1, abs=1e-3),
        "tags": {"time-of-day": "night"},
    }


def test_search_among_tags(api, gallery):
    """All filters must hold; a label that nothing has finds nothing."""
    night = {"taxonomy": "time-of-day", "label": "night"}
    assert found(api, text="red", tags=[night]) == ["2026/green.jpg"]
    assert found(api, text="red", tags=[night, {"taxonomy": "time-of-day", "label": "day"}]) == []
    assert found(api, text="red", tags=[{"taxonomy": "mood", "label": "🙂 %'\"; --"}]) == []


def test_search_above_a_similarity(api, gallery):
    """Hits below the floor are left out."""
    assert found(api, text="blue", min_similarity=0.9) == ["blue.jpg"]
    assert len(found(api, text="blue", min_similarity=-1)) == 3


def test_search_in_an_empty_catalog(api):
    """Nothing was ever uploaded: nothing is found, which is no error."""
    assert found(api, text="red") == []


def test_search_with_another_model_than_the_workers(services, engine, gallery):
    """409 names both models: finding nothing would hide the mistake."""
    other = Search(engine, lambda: ColourEncoder("other"))
    with serve(replace(services, search=other)) as api:
        answer = api.post("/v1/search", {"text": "red"})
    assert answer.status == 409
    assert "embedded with other at r1; the catalog has vectors of tiny at r1: set ENRICH_MODEL" in answer.detail


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({}, "body: needs either 'text' or 'label'"),
        ({"text": ""}, "text: String should have at least 1 character"),
        ({"text": " \n"}, "text: String should have at least 1 character"),
        ({"text": "x" * 2_001}, "text: String should have at most 2000 characters"),
        ({"text": 5}, "text: Input should be a valid string"),
        ({"text": "\ud800"}, "text: Input should be a valid string"),
        ({"text": "x", "limit": 0}, "limit: Input should be greater than or equal to 1"),
        ({"text": "x", "limit": 1_001}, "limit: Input should be less than or equal to 1000"),
        ({"text": "x", "limit": "many"}, "limit: Input should be a valid integer"),
        ({"text": "x", "colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"text": "x", "tags": [{"taxonomy": "t"}]}, "tags[0].label: Field required"),
        ({"text": "x", "tags": [{"taxonomy": "t", "label": "a\0"}]}, "tags[0].label: must not have a NUL"),
        ({"text": "x", "tags": "night"}, "tags: Input should be a valid list"),
        ({"text": "x", "min_similarity": 2}, "min_similarity: Input should be less than or equal to 1"),
        ({"text": "x", "min_similarity": float("nan")}, "min_similarity: Input should be"),
        ([], "body: Input should be a valid dictionary"),
        ("red", "body: Input should be a valid dictionary"),
        (None, "body: "),
    ],
)
def test_a_search_that_is_wrong(shared_api, request_, says):
    """422 in one sentence that names the member."""
    answer = shared_api.post("/v1/search", request_)
    assert answer.status == 422
    assert says in answer.detail


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 422, "body: Field required"),
        (b"{", 422, "the body is not JSON: "),
        (b"\xff", 400, "There was an error parsing the body"),
        (b"[" * 50_000, 400, "There was an error parsing the body"),
        (b"{" + b" " * (64 << 10), 413, "larger than 65,536 bytes"),
    ],
)
def test_a_search_that_is_not_json(shared_api, body, status, says):
    """Whatever the body, the answer is a sentence."""
    answer = shared_api.send("POST", "/v1/search", body, headers={"Content-Type": "application/json"})
    assert answer.status == status
    assert says in answer.detail


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "text/json"])
def test_a_search_under_another_content_type(shared_api, content_type):
    """415 says which header to send: `curl -d` alone sends a form."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = shared_api.send("POST", "/v1/search", b'{"text": "red"}', headers=headers)
    assert (answer.status, answer.detail) == (415, "send JSON, with the header `Content-Type: application/json`")


def test_json_in_any_charset_parameter(shared_api):
    """Parameters of the content type do not matter."""
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert shared_api.send("POST", "/v1/search", b'{"text": "red"}', headers=headers).status == 200


# -- the feed ---------------------------------------------------------------------------------------------------------


def pages(api, limit: int) -> list[str]:
    keys: list[str] = []
    after = ""
    while page := api.get(f"/v1/changes?limit={limit}{after}").json:
        keys += [change["key"] for change in page["changes"]]
        if not page["changes"]:
            return keys
        after = f"&after={page['next']}"
    raise AssertionError("a page is never empty")


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_following_changes(api, gallery, limit):
    """Page by page, every change once, in order, whatever the size of the pages."""
    assert pages(api, limit) == ["red.jpg", "2026/green.jpg", "blue.jpg"]


def test_a_change_has_the_shape_that_is_promised(api, gallery):
    """Each entry is valid by ``schemas/events/change.schema.json``."""
    schema = json.loads((schemas_dir() / "events" / "change.schema.json").read_text())
    changes = api.get("/v1/changes").json["changes"]
    assert len(changes) == 3
    for change in changes:
        jsonschema.Draft202012Validator(schema).validate(change)


def test_the_end_of_the_feed_is_a_place(api, enriched):
    """A page without changes gives back the cursor it was asked with, and later changes come behind it."""
    assert api.get("/v1/changes").json == {"changes": [], "next": None}
    enriched(enriched_image("a.jpg"))
    end = api.get("/v1/changes").json["next"]
    assert api.get(f"/v1/changes?after={end}").json == {"changes": [], "next": end}
    enriched(enriched_image("b.jpg"))
    assert [change["key"] for change in api.get(f"/v1/changes?after={end}").json["changes"]] == ["b.jpg"]


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("after=nonsense", 400, "'nonsense' is not a cursor"),
        ("after=", 400, "'' is not a cursor"),
        ("after=812-1", 400, "'812-1' is not a cursor"),
        ("after=00000000000000ff-1-99999999999999999999-1", 400, "is not a cursor"),
        ("after=%00", 422, "after: must not have a NUL"),
        ("after=" + "1" * 97, 422, "after: Value should have at most 96 items"),
        ("limit=0", 422, "limit: Input should be greater than or equal to 1"),
        ("limit=10001", 422, "limit: Input should be less than or equal to 10000"),
        ("limit=", 422, "limit: Input should be a valid integer"),
    ],
)
def test_a_place_that_is_not_in_the_feed(shared_api, query, status, says):
    """A cursor is given back as it was got; anything else is refused."""
    answer = shared_api.get(f"/v1/changes?{query}")
    assert answer.status == status
    assert says in answer.detail


def test_a_reader_that_was_away_for_too_long(api, engine, enriched):
    """410 says how to start over, and from where; nothing is missing behind that place."""
    enriched(enriched_image("a.jpg"), enriched_image("b.jpg"))
    behind_a = api.get("/v1/changes?limit=1").json["next"]
    with transaction(engine) as connection:
        assert outbox.prune(connection, keep=0, limit=10) == 2
    for query in (f"?after={behind_a}", ""):
        answer = api.get(f"/v1/changes{query}")
        assert (answer.status, answer.json["title"]) == (410, "Gone")
        assert "start over: keep `start`, read GET /v1/images to its end" in answer.detail
        start = answer.json["start"]
    assert api.get(f"/v1/changes?after={start}").json == {"changes": [], "next": start}
    enriched(enriched_image("c.jpg"))
    assert [change["key"] for change in api.get(f"/v1/changes?after={start}").json["changes"]] == ["c.jpg"]


def test_the_place_behind_everything(api, enriched):
    """Also in an empty catalog: what comes later comes behind it."""
    for key in ("a.jpg", "b.jpg"):
        end = api.get("/v1/changes?after=end").json
        assert end["changes"] == []
        enriched(enriched_image(key))
        assert [c["key"] for c in api.get(f"/v1/changes?after={end['next']}").json["changes"]] == [key]


# -- counts -----------------------------------------------------------------------------------------------------------


def test_the_counts(api, engine, ended):
    """Every object is in exactly one of the first five, in one bucket or in all."""
    ended("bad.jpg", Outcome.QUARANTINED)
    with transaction(engine) as connection:
        inbox.hint(connection, hints("a.jpg", "b.jpg"))
    counts = api.get("/v1/status?bucket=photos").json
    assert counts.pop("oldest_pending_seconds") >= 0
    assert counts == {
        "enriched": 0,
        "excluded": 0,
        "quarantined": 1,
        "gone": 0,
        "pending": 2,
        "pending_live": 2,
        "pending_retry": 0,
        "pending_backfill": 0,
        "in_flight": 0,
    }
    assert api.get("/v1/status?bucket=other").json["pending"] == 0
    assert api.get("/v1/status").json["pending"] == 2
    assert api.get("/v1/status?bucket=%00").status == 422


def test_intake_is_counted(shared_api):
    """The metrics page has what was hinted and refused, by source."""
    shared_api.post("/v1/events/s3", record("a.jpg"))
    shared_api.send("POST", "/v1/events/s3", b"nonsense")
    page = shared_api.get("/metrics", token=None)
    assert page.headers["content-type"].startswith("text/plain; version=")
    assert b'enrich_hints_total{source="s3"}' in page.body
    assert b'enrich_rejected_events_total{source="s3"}' in page.body
