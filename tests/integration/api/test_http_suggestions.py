"""Labels whose precision is not proven, over real HTTP, on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.integration.pipeline.review.gallery import CAUTIOUS, Gallery
from tests.ledger import BUCKET
from worker.tagging import Label

ASKED = replace(CAUTIOUS, target_precision=0.95)
RED = "/v1/images?limit=200&suggested=colour=red"


@pytest.fixture
def gallery(engine) -> Gallery:
    """A hundred different pictures; every label of theirs is a suggestion."""
    made = Gallery.of(engine, ASKED)
    made.add(100)
    assert isinstance(made, Gallery)
    return made


def test_images_list_their_suggestions(api, gallery):
    """Beside tags, and can be listed by them; repeated filters must all be met."""
    found = api.get(RED).json["images"]
    assert found
    assert {("colour", "red", ASKED.version, "tiny")} == {
        (own["taxonomy"], own["label"], own["taxonomy_version"], own["model"])
        for image in found
        for own in image["suggestions"]
    }
    assert [(None, True, None)] * len(found) == [
        (tag["label"], tag["in_force"], tag["proven"]) for image in found for tag in image["tags"]
    ]
    assert found[0] == api.get(f"/v1/images/{BUCKET}/{found[0]['key']}").json
    assert [] == api.get("/v1/images?tag=colour=red").json["images"]
    assert [] == api.get(f"{RED}&suggested=colour=green").json["images"]
    assert 422 == api.get("/v1/images?suggested=colour=rde").status


def test_an_explanation_says_what_is_suggested(api, gallery):
    """And why it is no tag."""
    key = api.get(RED).json["images"][0]["key"]
    told = api.get(f"/v1/explanations/{BUCKET}/{key}").json["taxonomies"][0]
    assert (["red"], "unproven", "current") == (told["suggested"], told["decided_by"], told["standing"])


def test_a_random_plan_asks_about_suggestions(api, gallery):
    """So that the label can be proven: to the reviewer, the model gives it."""
    asked = {"taxonomy": "colour", "label": "red", "target": 0.9, "reviewer": "ada", "size": 5}
    plan = api.post("/v1/review-plans", asked).json
    items = api.post(f"/v1/review-plans/{plan['id']}/next", {"reviewer": "ada", "limit": 5}).json["items"]
    assert 5 == len(items)
    red = {image["key"] for image in api.get(RED).json["images"]}
    assert {item["key"] for item in items if item["given"]} == {item["key"] for item in items} & red
    page = api.get("/v1/review-queues/random/colour?label=red&limit=100").json["items"]
    assert red == {item["key"] for item in page if item["given"]}


def test_all_suggestions_are_accepted_at_once(api, gallery):
    """After their number was confirmed."""
    count = len(api.get(RED).json["images"])
    body: dict[str, Any] = {
        "images": {"suggested": [{"taxonomy": "colour", "label": "red"}]},
        "taxonomy": "colour", "verdict": "accept", "label": "red", "reviewer": "ada",
    }  # fmt: skip
    preview = api.post("/v1/decisions/matching", body)
    assert (200, count) == (preview.status, preview.json["count"])
    done = api.post("/v1/decisions/matching", body | {"confirm": count})
    assert {"saved": count} == done.json["outcomes"], done.body
    assert (0, count) == (
        len(api.get(RED).json["images"]),
        len(api.get("/v1/images?limit=200&tag=colour=red").json["images"]),
    )


def test_a_label_that_nothing_describes_has_no_images_yet(api, engine):
    """Neither for a review nor for a search by the label, which say so."""
    made = Gallery.of(engine, replace(CAUTIOUS, labels=(*CAUTIOUS.labels, Label(name="sooty"))))
    made.add(20)
    for queue in ("random", "uncertain"):
        answer = api.get(f"/v1/review-queues/{queue}/colour?label=sooty")
        assert (200, []) == (answer.status, answer.json["items"]), answer.body
    assert api.post("/v1/search", {"label": {"taxonomy": "colour", "label": "sooty"}}).status in (404, 422)
    assert [] == api.get("/v1/images?tag=colour=sooty").json["images"]
