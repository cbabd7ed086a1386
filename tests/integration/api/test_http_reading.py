"""Reading back over real HTTP, on a real PostgreSQL: one image, lists, the counts."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.factories import enriched_image
from tests.integration.api.live import record
from tests.ledger import hints
from worker import ledger
from worker.db import transaction
from worker.types import Outcome

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
        "lens_make": "Acme",
        "lens_model": "35 f/2",
        "iso": 200,
        "exposure_time": 0.008,
        "f_number": 2.8,
        "focal_length": 35.0,
        "focal_length_35mm": 52,
        "location": {"latitude": -33.5, "longitude": 151.25, "altitude": 12.5},
        "sha256": "ab" * 32,
        "phash": f"{-1234567890123456789 & (1 << 64) - 1:016x}",
        "user_metadata": {},
        "links": {
            "image": "/v1/images/photos/red.jpg",
            "preview": f"/v1/previews/512/photos/red.jpg?sha256={'ab' * 32}",
            "thumbnail": f"/v1/previews/256/photos/red.jpg?sha256={'ab' * 32}",
        },
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
                "in_force": True,
                "proven": None,
                "decision": None,
                "reviewer": None,
            }
        ],
        "suggestions": [],
        "rejected_tags": [],
        "earlier_tags": [],
    }


def test_a_camera_without_a_time_zone_gets_none(api, enriched):
    """EXIF's wall clock is told as it is, with an offset only where the camera wrote one."""
    enriched(
        enriched_image("local.jpg", taken_at=datetime.fromisoformat("2026-05-04T03:02:01")),
        enriched_image("zoned.jpg", taken_at=datetime.fromisoformat("2026-05-04T03:02:01+05:30")),
    )
    assert "2026-05-04T03:02:01" == api.image("photos", "local.jpg").json["taken_at"]
    assert "2026-05-04T03:02:01+05:30" == api.image("photos", "zoned.jpg").json["taken_at"]


def test_an_abstention_is_shown(api, gallery):
    """``null`` is a decision: none of these labels."""
    assert [None] == [tag["label"] for tag in api.image("photos", "blue.jpg").json["tags"]]


@pytest.mark.parametrize("key", ["nowhere.jpg", "%00", "a%00b", "x" * 5_000])
def test_an_object_nobody_named(shared_api, key):
    """404 and what to do about it; a NUL, which no key has, is named as such."""
    answer = shared_api.get(f"/v1/images/photos/{key}")
    if "%00" in key:
        assert (422, "key: must not contain NUL") == (answer.status, answer.detail)
    else:
        assert (404, "unknown") == (answer.status, answer.json["state"])
        assert "enrich backfill" in answer.detail


def test_an_object_that_is_still_to_come(api):
    """404 for now: who polls can tell that waiting is right."""
    api.post("/v1/events/s3", record("soon.jpg"))
    answer = api.image("photos", "soon.jpg")
    assert (
        "photos/soon.jpg is not in the catalog: it is pending",
        "pending",
    ) == (answer.detail, answer.json["state"])
    assert (404, "Not Found") == (answer.status, answer.json["title"])


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
    if outcome is Outcome.GONE:
        ended("bad.jpg", Outcome.QUARANTINED)  # what was never found was not deleted
    ended("bad.jpg", outcome)
    answer = api.image("photos", "bad.jpg")
    assert (answer.status, answer.json["state"], answer.json.get("reason")) == (404, state, reason)


# -- lists ------------------------------------------------------------------------------------------------------------


def listed(api, query: str = "") -> list[str]:
    answer = api.get(f"/v1/images{query}")
    assert 200 == answer.status, answer.body
    return [image["key"] for image in answer.json["images"]]


def test_an_image_in_a_list_is_as_it_is_alone(api, gallery):
    """In the order of keys, with everything."""
    images = api.get("/v1/images").json["images"]
    assert ["2026/green.jpg", "blue.jpg", "red.jpg"] == [image["key"] for image in images]
    assert images[2] == api.image("photos", "red.jpg").json


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("?bucket=photos", ["2026/green.jpg", "blue.jpg", "red.jpg"]),
        ("?bucket=photos&prefix=2026/", ["2026/green.jpg"]),
        ("?tag=time-of-day%3Dday", ["red.jpg"]),
        ("?tag=time-of-day=day&tag=time-of-day=night", []),
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
        ("tag=day", 422, "tag[0]: write TAXONOMY=LABEL"),
        ("tag=mood=%F0%9F%99%82%3D%25%27%3A", 422, "there is no taxonomy 'mood'"),
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


# -- counts -----------------------------------------------------------------------------------------------------------


def test_the_counts(api, engine, ended):
    """Every object is in exactly one of the first five, in one bucket or in all."""
    ended("bad.jpg", Outcome.QUARANTINED)
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("a.jpg", "b.jpg"))
    counts = api.get("/v1/status?bucket=photos").json
    assert counts.pop("oldest_pending_seconds") >= 0
    assert counts.pop("feed_blocker") is None
    nothing: dict[str, object] = {"decisions": 0, "reviewers": 0, "newest": None, "open_plans": 0, "open": [],
                                  "proven": 0, "expired": 0}  # fmt: skip
    assert nothing == counts.pop("reviews")
    assert {
        "enriched": 0,
        "excluded": 0,
        "quarantined": 1,
        "gone": 0,
        "pending": 2,
        "pending_live": 2,
        "pending_retry": 0,
        "pending_backfill": 0,
        "in_flight": 0,
    } == counts
    assert 422 == api.get("/v1/status?bucket=other").status
    assert 2 == api.get("/v1/status").json["pending"]
    assert 422 == api.get("/v1/status?bucket=%00").status


def test_intake_is_counted(shared_api):
    """The metrics page has what was hinted and refused, by source."""
    shared_api.post("/v1/events/s3", record("a.jpg"))
    shared_api.send("POST", "/v1/events/s3", b"nonsense")
    page = shared_api.get("/metrics", token=None)
    assert page.headers["content-type"].startswith("text/plain; version=")
    assert b'enrich_hints_total{source="s3"}' in page.body
    assert b'enrich_rejected_events_total{source="s3"}' in page.body
