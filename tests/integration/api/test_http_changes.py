"""Following the change feed over real HTTP, on a real PostgreSQL."""

from __future__ import annotations

import json

import jsonschema
import pytest

from tests.factories import enriched_image
from worker import outbox
from worker.db import transaction
from worker.resources import schemas_dir


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
    assert ["red.jpg", "2026/green.jpg", "blue.jpg"] == pages(api, limit)


def test_a_change_has_the_shape_that_is_promised(api, gallery):
    """Each entry is valid by ``schemas/events/change.schema.json``."""
    schema = json.loads((schemas_dir() / "events" / "change.schema.json").read_text())
    changes = api.get("/v1/changes").json["changes"]
    assert 3 == len(changes)
    for change in changes:
        jsonschema.Draft202012Validator(schema).validate(change)


def test_the_end_of_the_feed_is_a_place(api, enriched):
    """A page without changes gives back the cursor it was asked with, and later changes come behind it."""
    assert {"changes": [], "next": None} == api.get("/v1/changes").json
    enriched(enriched_image("a.jpg"))
    end = api.get("/v1/changes").json["next"]
    assert api.get(f"/v1/changes?after={end}").json == {"changes": [], "next": end}
    enriched(enriched_image("b.jpg"))
    assert ["b.jpg"] == [change["key"] for change in api.get(f"/v1/changes?after={end}").json["changes"]]


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("after=nonsense", 400, "'nonsense' is not a cursor"),
        ("after=", 400, "'' is not a cursor"),
        ("after=812-1", 400, "'812-1' is not a cursor"),
        ("after=00000000000000ff-1-99999999999999999999-1", 400, "is not a cursor"),
        ("after=%00", 422, "after: must not contain NUL"),
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
        assert 2 == outbox.prune(connection, keep=0, limit=10)
    for query in (f"?after={behind_a}", ""):
        answer = api.get(f"/v1/changes{query}")
        assert (410, "Gone") == (answer.status, answer.json["title"])
        assert "start over: keep `start`, read GET /v1/images to its end" in answer.detail
        start = answer.json["start"]
    assert api.get(f"/v1/changes?after={start}").json == {"changes": [], "next": start}
    enriched(enriched_image("c.jpg"))
    assert ["c.jpg"] == [change["key"] for change in api.get(f"/v1/changes?after={start}").json["changes"]]


def test_the_place_behind_everything(api, enriched):
    """Also in an empty catalog: what comes later comes behind it."""
    for key in ("a.jpg", "b.jpg"):
        end = api.get("/v1/changes?after=end").json
        assert [] == end["changes"]
        enriched(enriched_image(key))
        assert [c["key"] for c in api.get(f"/v1/changes?after={end['next']}").json["changes"]] == [key]
