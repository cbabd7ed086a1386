"""Review queues and plans over real HTTP, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.integration.api.live import TOKEN, LiveApi, serve
from tests.integration.pipeline.review.gallery import CAUTIOUS, Gallery
from worker.api import Services, Tokens


@pytest.fixture
def gallery(engine) -> Gallery:
    """A hundred different pictures."""
    made = Gallery.of(engine, CAUTIOUS)
    made.add(100)
    assert isinstance(made, Gallery)
    return made


def planned(api: LiveApi, **changes: object) -> Any:
    answer = api.post(
        "/v1/review-plans", {"taxonomy": "colour", "label": "red", "target": 0.9, "reviewer": "ada"} | changes
    )
    assert 201 == answer.status, answer.body
    return answer.json


def decision(item: Mapping[str, Any], verdict: str, label: str | None) -> dict[str, Any]:
    back = {name: item[name] for name in ("seen", "chosen", "inclusion_probability", "plan", "bucket", "key")}
    return {**back, "taxonomy": "colour", "verdict": verdict, "label": label}


def test_a_review_from_plan_to_proof(api, gallery):
    """A client plans, asks for images, decides, and sees how far it is; all that it sends back it was given."""
    plan = planned(api, size=6)
    assert (6, 6, 0, 0) == (plan["frame_size"], plan["remaining"], plan["look"], plan["right"])
    while items := api.post(f"/v1/review-plans/{plan['id']}/next", {"reviewer": "ada", "limit": 4}).json["items"]:
        answers = [decision(each, "accept", "red") for each in items]
        answers[0] = decision(items[0], "replace", "blue")
        done = api.post("/v1/decisions", {"reviewer": "ada", "decisions": answers})
        assert ["saved"] * len(items) == [each["outcome"] for each in done.json["results"]], done.body
    state = api.get(f"/v1/review-plans/{plan['id']}").json
    assert (0, 4, 2, 1) == (state["remaining"], state["right"], state["wrong"], state["look"])
    shown = api.get(f"/v1/review-plans/{plan['id']}/items").json["items"]
    assert ({"right", "wrong"}, {"ada"}) == ({e["state"] for e in shown}, {e["reviewer"] for e in shown})
    [recorded, *_] = api.get("/v1/decisions").json["decisions"]
    assert ("random", plan["id"], "red") == (recorded["chosen"], recorded["plan"], recorded["shown_label"])
    assert recorded["inclusion_probability"] is not None


def test_a_page_of_a_queue(api, gallery):
    """Each item has what a page shows, and what goes back; how much was examined is said."""
    page = api.get("/v1/review-queues/uncertain/colour?label=red&limit=5").json
    assert (100, 100, True, 5, CAUTIOUS.version) == (
        page["examined"], page["total"], page["exact"], len(page["items"]), page["taxonomy_version"],
    )  # fmt: skip
    [item, *_] = page["items"]
    assert item["seen"] == {
        "sha256": item["sha256"], "labels": item["tags"].get("colour", []), "decision": 0, "label": "red",
        "version": CAUTIOUS.version, "space": 1,
    }  # fmt: skip
    found = api.get("/v1/review-queues/search/colour?label=red&query=green&limit=2").json["items"]
    assert ["search"] * 2 == [each["chosen"] for each in found]


def test_a_second_plan_is_a_conflict(api, gallery):
    """Until the first is closed."""
    plan = planned(api)
    again = api.post("/v1/review-plans", {"taxonomy": "colour", "label": "red", "reviewer": "eve"})
    assert (409, True) == (again.status, f"plan {plan['id']} for colour=red is open" in again.detail)
    closed = api.post(f"/v1/review-plans/{plan['id']}/close", {"reviewer": "eve", "reason": "a new model"})
    assert ("eve", "a new model") == (closed.json["closed_by"], closed.json["closed_because"])
    assert 422 == api.post(f"/v1/review-plans/{plan['id']}/next", {"reviewer": "ada"}).status
    other = planned(api)
    assert ([other["id"]], [other["id"], plan["id"]]) == (
        [each["id"] for each in api.get("/v1/review-plans?only_open=true").json["plans"]],
        [each["id"] for each in api.get("/v1/review-plans?taxonomy=colour").json["plans"]],
    )
    first = api.get("/v1/review-plans?limit=1").json
    older = api.get(f"/v1/review-plans?limit=1&after={first['next']}").json
    assert [plan["id"]] == [each["id"] for each in older["plans"]]


def test_the_status_counts_decisions_and_open_reviews(api, gallery):
    """Of all buckets; closed plans are not named."""
    first, second = planned(api, size=3), planned(api, label="blue", size=2)
    [item] = api.post(f"/v1/review-plans/{first['id']}/next", {"reviewer": "ada", "limit": 1}).json["items"]
    api.post("/v1/decisions", {"reviewer": "eve", "decisions": [decision(item, "accept", "red")]})
    found = api.get("/v1/status").json["reviews"]
    assert (1, 1, 2) == (found["decisions"], found["reviewers"], found["open_plans"])
    assert found["newest"] is not None
    assert [(second["id"], "blue", 2, 2), (first["id"], "red", 3, 2)] == [
        (each["plan"], each["label"], each["items"], each["remaining"]) for each in found["open"]
    ]
    api.post(f"/v1/review-plans/{first['id']}/close", {"reviewer": "ada"})
    assert 1 == api.get("/v1/status").json["reviews"]["open_plans"]


def test_reserved_images_can_be_given_back(api, gallery):
    """Then the next reviewer is asked."""
    plan = planned(api, size=2)
    items = api.post(f"/v1/review-plans/{plan['id']}/next", {"reviewer": "ada"}).json["items"]
    assert [] == api.post(f"/v1/review-plans/{plan['id']}/next", {"reviewer": "eve"}).json["items"]
    back = {"reviewer": "ada", "places": [each["place"] for each in items]}
    assert 204 == api.post(f"/v1/review-plans/{plan['id']}/release", back).status
    assert 2 == len(api.post(f"/v1/review-plans/{plan['id']}/next", {"reviewer": "eve"}).json["items"])


@pytest.mark.parametrize(
    ("target", "status", "says"),
    [
        ("/v1/review-queues/randm/colour", 422, "random"),
        ("/v1/review-queues/random/colours", 422, "did you mean 'colour'"),
        ("/v1/review-queues/random/colour?label=redd", 422, "did you mean 'red'"),
        ("/v1/review-queues/random/colour?limit=0", 422, "limit"),
        ("/v1/review-queues/random/colour?lable=red", 422, "did you mean 'label'"),
        ("/v1/review-queues/search/colour", 422, "name the label"),
        ("/v1/review-queues/disagreement/colour", 422, "only one space"),
        ("/v1/review-plans/7", 404, "no review plan 7"),
        ("/v1/review-plans/x", 422, "plan"),
    ],
)
def test_what_is_wrong_is_refused(api, gallery, target, status, says):
    """With the next step."""
    answer = api.get(target)
    assert (status, True) == (answer.status, says in answer.detail), answer.detail


@pytest.mark.parametrize(
    "body",
    [
        {"reviewer": "ada"},
        {"taxonomy": "colour", "target": 95, "reviewer": "ada"},
        {"taxonomy": "colour", "reviewer": " "},
        {"taxonomy": "colour", "reviewer": "ada", "siez": 3},
    ],
)
def test_a_plan_that_says_too_little_is_refused(api, gallery, body):
    """And makes nothing."""
    assert 422 == api.post("/v1/review-plans", body).status
    assert [] == api.get("/v1/review-plans").json["plans"]


def test_reading_and_reviewing_are_two_scopes(services: Services, gallery):
    """Who may read sees queues; only who may review plans and reserves."""
    from dataclasses import replace

    tokens = Tokens(admin=TOKEN, read="reading-token-000", review="review-token-0000")
    with serve(replace(services, tokens=tokens)) as api:
        assert 200 == api.get("/v1/review-queues/random/colour", token="reading-token-000").status
        plan = {"taxonomy": "colour", "label": "red", "reviewer": "ada"}
        assert 403 == api.post("/v1/review-plans", plan, token="reading-token-000").status
        assert 201 == api.post("/v1/review-plans", plan, token="review-token-0000").status


def test_an_empty_catalog_has_nothing_to_review(api):
    """Which is said."""
    answer = api.get("/v1/review-queues/random/colour")
    assert (404, True) == (answer.status, "no image was embedded yet" in answer.detail)
