"""Saved queries, searches by a link, and similarities over HTTP."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from sqlalchemy import text

from worker.db import transaction


def put(api, name: str, query: Mapping[str, Any]):
    headers = {"Content-Type": "application/json"}
    return api.send("PUT", f"/v1/queries/{name}", json.dumps(query).encode(), headers=headers)


def link(request: Mapping[str, Any]) -> str:
    return "/v1/search?query=" + quote(json.dumps(request))


def keys(answer) -> list[str]:
    assert 200 == answer.status, answer.body
    return [hit["key"] for hit in answer.json["hits"]]


def png(colour: str) -> str:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


# -- examples ---------------------------------------------------------------------------------------------------------


def test_examples_of_every_kind_in_one_request(api, gallery):
    """Words, a file, an image of the catalog and a vector; each hit names the nearest of either side."""
    vector = [1.0] + [0.0] * 31
    request = {"like": [{"text": "red"}, {"data": png("#f00")}, {"vector": vector}], "unlike": [{"text": "blue"}]}
    answer = api.post("/v1/search", {**request, "collapse": False})
    assert "red.jpg" == keys(answer)[0]
    best = answer.json["hits"][0]
    assert ({"example", "similarity"}, 0) == (set(best["like"]), best["unlike"]["example"])
    other = {"like": [{"image": "photos/blue.jpg"}], "collapse": False}
    assert "blue.jpg" not in keys(api.post("/v1/search", other))  # the example itself; the fakes' files are all alike
    assert "blue.jpg" == keys(api.post("/v1/search", {**other, "include_examples": True}))[0]


def test_words_are_looked_for_in_keys_and_labels(api, gallery):
    """Each hit says which it has, and where."""
    found = api.post("/v1/search", {"text": "red at night", "words": True, "collapse": False, "limit": 3}).json
    by_key = {hit["key"]: hit["words"] for hit in found["hits"]}
    assert [{"word": "red", "key": True, "tag": None}] == by_key["red.jpg"]
    assert [] == by_key["blue.jpg"]
    assert 422 == api.post("/v1/search", {"text": "red", "words": True, "after": "x"}).status


def test_pages_over_http(api, gallery):
    """`next` leads from page to page, and the last one has none."""
    request = {"like": [{"text": "red"}], "limit": 2, "collapse": False}
    first = api.post("/v1/search", request)
    second = api.post("/v1/search", {**request, "after": first.json["next"]})
    assert (2, 1, None) == (len(keys(first)), len(keys(second)), second.json["next"])
    assert {"red.jpg", "blue.jpg", "2026/green.jpg"} == {*keys(first), *keys(second)}


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        ({"like": [{"vector": [1.0, 2.0]}]}, 422, "the vector has 2 numbers, and those of space 1"),
        ({"like": [{"vector": [float("nan")] * 32}]}, 422, "like[0].vector"),
        ({"like": [{"vector": [0.0] * 32}]}, 422, "the vector is zero"),
        ({"like": [{"vector": [1.0] * 32}, {"vector": [-1.0] * 32}]}, 422, "the examples cancel out"),
        ({"like": [{"text": "a"}], "unlike": [{"text": "a"}]}, 422, "like[0] and unlike[0] are the same example"),
        ({"like": [{"text": "x" * 10_000}]}, 422, "like[0].text: String should have at most 2000 characters"),
        ({"text": "x" * 10_000}, 422, "text: String should have at most 2000 characters"),
        ({"like": [{"image": "photos/nowhere.jpg"}]}, 404, "nowhere.jpg"),
        ({"like": [{"image": "nowhere"}]}, 422, "like[0].image: write BUCKET/KEY"),
        ({"like": [{"data": base64.b64encode(b"no picture").decode()}]}, 422, "like[0]"),
        ({"like": [{"text": "a"}], "after": "abc"}, 400, "is not a cursor of this list"),
        ({"like": [{"text": "a"}], "strategy": "bets"}, 422, "did you mean 'best'?"),
        ({"like": [{"text": "a"}], "filter": {"bucket": "photoz"}}, 422, "photoz"),
        ({"text": "a", "label": {"taxonomy": "t", "label": "l"}}, 422, "needs either 'text' or 'label'"),
        ({"unlike": [{"text": "a"}], "min_relevance": 0.5}, 422, "`min_relevance` needs an example"),
        ({"saved": "nothing"}, 404, "there is no saved query 'nothing'; none is saved yet"),
        ({"saved": "../x"}, 422, "saved: write letters, digits"),
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_answered(api, gallery, request_, status, says):
    """A problem document says what to change."""
    answer = api.post("/v1/search", request_)
    assert (status, True) == (answer.status, says in answer.detail), answer.detail


def test_a_cursor_of_another_query_over_http(api, gallery):
    """400 says so."""
    after = api.post("/v1/search", {"like": [{"text": "red"}], "limit": 1, "collapse": False}).json["next"]
    answer = api.post("/v1/search", {"like": [{"text": "blue"}], "limit": 1, "collapse": False, "after": after})
    assert (400, True) == (answer.status, "the cursor is of another query" in answer.detail)


# -- links ------------------------------------------------------------------------------------------------------------


def test_a_link_answers_as_the_request_in_it(api, gallery):
    """Examples and filters included."""
    request = {"like": [{"text": "red"}], "filter": {"tags": [{"taxonomy": "time-of-day", "label": "day"}]}}
    assert ["red.jpg"] == keys(api.get(link(request)))
    assert api.get(link(request)).json == api.post("/v1/search", request).json


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("/v1/search", "query: Field required"),
        ("/v1/search?query=red", "query is not JSON"),
        (link({}), "needs either 'text' or 'label'"),
        (link({"txet": "red"}), "unknown member 'txet'; did you mean 'text'?"),
        (link({"text": "x" * 8_000}), "query: String should have at most 8000 characters"),
        (link({"like": [{"data": png("#f00")}]}), "an address holds no files: send them with POST /v1/search"),
    ],
)
def test_a_link_that_is_wrong(shared_api, target, says):
    """422 in one sentence."""
    answer = shared_api.get(target)
    assert (422, True) == (answer.status, says in answer.detail), answer.detail


# -- saved queries ----------------------------------------------------------------------------------------------------


def test_a_query_is_saved_found_changed_and_deleted(api, gallery):
    """Members of a request take the place of the saved ones."""
    query = {"like": [{"text": "red"}], "filter": {"tags": [{"taxonomy": "time-of-day", "label": "night"}]}}
    saved = put(api, "at%20night", query)
    assert (200, "at night", None) == (saved.status, saved.json["name"], saved.json["space"])
    assert {**query, "collapse": True} == saved.json["query"]
    assert ["2026/green.jpg"] == keys(api.post("/v1/search", {"saved": "at night"}))
    changed = {"saved": "at night", "filter": {}, "limit": 1}
    assert ["red.jpg"] == keys(api.post("/v1/search", changed)) == keys(api.get(link(changed)))
    assert ["at night"] == [each["name"] for each in api.get("/v1/queries").json["queries"]]
    assert saved.json == api.get("/v1/queries/at%20night").json
    misspelt = api.post("/v1/search", {"saved": "at nigth"})
    assert (404, True) == (misspelt.status, "did you mean 'at night'?" in misspelt.detail)
    again = put(api, "at%20night", {"text": "blue"})
    assert {"text": "blue", "collapse": True} == again.json["query"]
    assert (204, 404) == tuple(api.send("DELETE", "/v1/queries/at%20night").status for _ in range(2))


def test_a_file_is_saved_as_its_vector_and_good_in_one_space(api, engine, gallery):
    """The file itself is not stored; after a switch of spaces the query is refused."""
    saved = put(api, "reds", {"like": [{"data": png("#f00")}], "limit": 1})
    [example] = saved.json["query"]["like"]
    assert ({"vector", "modality"}, "image", 1) == (set(example), example["modality"], saved.json["space"])
    assert ["red.jpg"] == keys(api.post("/v1/search", {"saved": "reds"}))
    with transaction(engine) as connection:
        connection.execute(text("UPDATE saved_queries SET space_id = NULL"))
    assert 200 == api.post("/v1/search", {"saved": "reds"}).status
    with transaction(engine) as connection:
        connection.execute(
            text("""
            INSERT INTO spaces (fingerprint, model, revision, preprocessing, dimension, state)
            SELECT 'other', model, 'r0', preprocessing, dimension, 'retired' FROM spaces
        """)
        )
        connection.execute(text("UPDATE saved_queries SET space_id = (SELECT max(id) FROM spaces)"))
    refused = api.post("/v1/search", {"saved": "reds"})
    assert (409, True) == (refused.status, "has vectors of space 2, and space 1 is active" in refused.detail)


@pytest.mark.parametrize(
    ("name", "query", "says"),
    [
        ("x", {"text": "red", "after": "abc"}, "leave out `after`"),
        ("x", {"saved": "y"}, "leave out `saved`"),
        ("x", {"text": "a\0b"}, "text: "),
        ("x", {"like": [{"text": "a\0b"}]}, "like[0].text: "),
        ("x", {"like": [{"text": "a"}], "unlike": [{"text": "a"}]}, "are the same example"),
        (".x", {"text": "red"}, "write letters, digits"),
        ("x" * 101, {"text": "red"}, "write letters, digits"),
    ],
)
def test_a_query_that_cannot_be_saved(shared_api, name, query, says):
    """422 says what to change."""
    answer = put(shared_api, name, query)
    assert (422, True) == (answer.status, says in answer.detail), answer.detail


# -- similarities -----------------------------------------------------------------------------------------------------


def test_examples_are_compared_with_each_other(api, gallery):
    """A table of cosines, with ones where an example meets itself."""
    examples = [{"text": "red"}, {"image": "photos/red.jpg"}, {"text": "blue"}]
    found = api.post("/v1/similarity", {"examples": examples}).json
    assert ["text", "image", "text"] == found["modalities"]
    table = found["similarities"]
    assert [1, 1, 1] == [table[n][n] for n in range(3)]
    assert table[0][1] == table[1][0] == pytest.approx(1, abs=1e-3)
    assert table[0][2] < 0.1


def test_one_example_has_nothing_to_be_compared_with(shared_api):
    """422 says how many are needed."""
    answer = shared_api.post("/v1/similarity", {"examples": [{"text": "red"}]})
    assert (422, True) == (answer.status, "examples: List should have at least 2 items" in answer.detail)
