"""Searching over real HTTP, on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.examples import search_of
from tests.fakes import ColourEncoder
from tests.integration.api.live import serve
from worker.pipeline.reading.text_search import TextSearch


def found(api, **request: Any) -> list[str]:
    answer = api.post("/v1/search", request)
    assert 200 == answer.status, answer.body
    return [hit["key"] for hit in answer.json["hits"]]


def test_search_ranks_by_similarity(api, gallery):
    """The best first, each with its similarity and the tags that hold."""
    assert "red.jpg" == found(api, text="red")[0]
    assert ["2026/green.jpg", "blue.jpg", "red.jpg"] == sorted(found(api, text="red"))
    [best] = api.post("/v1/search", {"text": "  green\n", "limit": 1}).json["hits"]
    added = ("score", "copies", "like", "unlike", "sha256", "links", "relevance", "words")
    assert {name: value for name, value in best.items() if name not in added} == {
        "bucket": "photos",
        "key": "2026/green.jpg",
        "similarity": pytest.approx(1, abs=1e-3),
        "tags": {"time-of-day": "night"},
        "decided": [],
    }


def test_search_among_tags(api, gallery):
    """All filters must hold."""
    night = {"taxonomy": "time-of-day", "label": "night"}
    assert ["2026/green.jpg"] == found(api, text="red", tags=[night])
    assert [] == found(api, text="red", tags=[night, {"taxonomy": "time-of-day", "label": "day"}])
    odd = api.post("/v1/search", {"text": "red", "tags": [{"taxonomy": "time-of-day", "label": "🙂 %'\"; --"}]})
    assert (422, True) == (odd.status, "has no label" in odd.detail)


def test_search_above_a_similarity(api, gallery):
    """Hits below the floor are left out."""
    assert ["blue.jpg"] == found(api, text="blue", min_similarity=0.9)
    assert 3 == len(found(api, text="blue", min_similarity=-1))


def test_an_answer_says_how_far_it_can_be_relied_on(api, gallery):
    """Three images are fewer than were asked for, so all were compared; for one of them the index is followed."""
    night = [{"taxonomy": "time-of-day", "label": "night"}]
    for request, exact in (
        ({"text": "red"}, True),
        ({"text": "red", "limit": 1}, False),
        ({"text": "red", "limit": 1, "exact": True}, True),
        ({"text": "red", "tags": night}, True),
        ({"text": "red", "limit": 1, "min_similarity": 0.99}, False),
    ):
        answer = api.post("/v1/search", request).json
        assert (answer["exact"], answer["complete"]) == (exact, True)


def test_a_text_that_the_model_does_not_read_to_its_end(api, gallery):
    """422 with how long it is, instead of an answer to half of it."""
    answer = api.post("/v1/search", {"text": "red " * 80})
    assert 422 == answer.status
    assert "has 82 tokens, and tiny reads 77: what is behind them counts for nothing; shorten it" in answer.detail
    assert 200 == api.post("/v1/search", {"text": "red " * 75}).status


def test_search_in_an_empty_catalog(api):
    """Nothing was ever uploaded: nothing is found, which is no error."""
    assert [] == found(api, text="red")


def test_search_with_another_model_than_the_workers(services, engine, gallery):
    """409 names both models: finding nothing would hide the mistake."""
    other = TextSearch(engine, lambda: ColourEncoder("other"))
    find = search_of(engine, other)
    with serve(replace(services, search=other, find=find)) as api:
        answer = api.post("/v1/search", {"text": "red"})
    assert 409 == answer.status
    assert "embedded with other at r1; the catalog has vectors of tiny at r1: set ENRICH_MODEL" in answer.detail


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({}, "body: needs either 'text' or 'label', or examples in 'like' or 'unlike'"),
        ({"text": ""}, "text: String should have at least 1 character"),
        ({"text": " \n"}, "text: String should have at least 1 character"),
        ({"text": "x" * 2_001}, "text: String should have at most 2000 characters"),
        ({"text": 5}, "text: Input should be a valid string"),
        ({"text": "\ud800"}, "text: Input should be a valid string"),
        ({"text": "x", "limit": 0}, "limit: Input should be greater than or equal to 1"),
        ({"text": "x", "limit": 1_001}, "limit: Input should be less than or equal to 1000"),
        ({"text": "x", "limit": "many"}, "limit: Input should be a valid integer"),
        ({"text": "x", "exact": "yes"}, "exact: Input should be a valid boolean"),
        ({"text": "x", "colour": "red"}, "body: unknown member 'colour'; the members are saved, text, "),
        ({"text": "x", "tags": [{"taxonomy": "t"}]}, "tags[0].label: Field required"),
        ({"text": "x", "tags": [{"taxonomy": "t", "label": "a\0"}]}, "tags[0].label: must not contain NUL"),
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
    assert 422 == answer.status
    assert says in answer.detail


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 422, "body: Field required"),
        (b"{", 422, "the body is not JSON: "),
        (b"\xff", 400, "There was an error parsing the body"),
        (b"[" * 50_000, 400, "There was an error parsing the body"),
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
    assert (415, "send JSON, with the header `Content-Type: application/json`") == (answer.status, answer.detail)


def test_json_in_any_charset_parameter(shared_api):
    """Parameters of the content type do not matter."""
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert 200 == shared_api.send("POST", "/v1/search", b'{"text": "red"}', headers=headers).status


def test_a_body_of_too_many_values(api, gallery):
    """413 at once, before they are read; and a large body that is read gives the same answers as a small one."""
    answer = api.send(
        "POST", "/v1/search", b'{"like":[' + b"[]," * 500_000 + b"[]]}", headers={"Content-Type": "application/json"}
    )
    assert (413, "the body has more than 50,000 lists") == (answer.status, answer.detail[:35])
    padded = b'{"text":"red"' + b" " * 70_000 + b"}"
    answer = api.send("POST", "/v1/search", padded, headers={"Content-Type": "application/json"})
    assert api.post("/v1/search", {"text": "red"}).json == answer.json
    twice = b'{"text":"red","text":"blue"' + b" " * 70_000 + b"}"
    answer = api.send("POST", "/v1/search", twice, headers={"Content-Type": "application/json"})
    assert (422, "member 'text': given 2 times; give it once") == (answer.status, answer.detail)
    broken = api.send("POST", "/v1/search", b"{" + b" " * 70_000, headers={"Content-Type": "application/json"})
    assert (422, "the body is not JSON: ") == (broken.status, broken.detail[:22])
