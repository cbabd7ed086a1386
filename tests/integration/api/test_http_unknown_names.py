"""What the API does not know it refuses, and names the nearest that it knows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from tests.active_taxonomies import put_into_force
from tests.integration.api.live import record
from worker import ledger
from worker.api.app import openapi_document
from worker.db import transaction
from worker.tagging import Label, Taxonomy

ADDRESSES = [
    (method.upper(), path.replace("{bucket}", "photos").replace("{key}", "red.jpg"))
    for path, methods in openapi_document()["paths"].items()
    for method in methods
] + [("GET", path) for path in ("/docs", "/openapi.json", "/metrics")]


def mood(*labels: Label) -> Taxonomy:
    return Taxonomy(name="mood", labels=labels, background=("blue",))


GLAD = Label(name="glad", title="In a good mood", aliases=("happy",), prompts=("green",))
SAD = Label(name="sad", prompts=("red",))


# -- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [each for each in ADDRESSES if "/v1/events/" not in each[1]])
@pytest.mark.parametrize("query", ["colour=red", "=", "bucket[]=photos", "x" * 500])
def test_no_address_takes_a_parameter_that_it_does_not_know(shared_api, method, path, query):
    """Whatever it is for, and whatever else is wrong with the request."""
    answer = shared_api.send(method, f"{path}?{query}", b"{}" if method == "POST" else None)
    assert 422 == answer.status, answer.body
    assert "unknown parameter '" in answer.detail
    assert len(answer.detail) < 300


def test_the_token_comes_first(shared_api):
    """Strangers do not learn which parameters there are."""
    assert 401 == shared_api.get("/v1/images?colour=red", token=None).status


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("images?tags=time-of-day%3Dday", "unknown parameter 'tags'; did you mean 'tag'?"),
        ("images?TAG=time-of-day%3Dday", "unknown parameter 'TAG'; did you mean 'tag'?"),
        ("quarantine?olderthan=2d", "did you mean 'older_than'?"),
        ("changes?cursor=end", "this address takes after, limit"),
        ("buckets?name=photos", "this address takes no parameters"),
        ("explanations/photos/red.jpg?taxonomies=mood", "did you mean 'taxonomy'?"),
    ],
)
def test_a_parameter_is_told_the_nearest(shared_api, target, says):
    """Or all there are, where none is near."""
    assert says in shared_api.get(f"/v1/{target}").detail


def test_a_notification_is_taken_whatever_its_address_says_besides(api):
    """The store's own business: a notification that is refused for it is lost."""
    answer = api.post("/v1/events/s3?source=ceph&source=2", record("a.jpg"))
    assert (200, 1) == (answer.status, answer.json["hinted"])


# -- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("search", {"text": "x", "txet": "y"}, "body: unknown member 'txet'; did you mean 'text'?"),
        ("search", {"text": "x", "bucket": "b"}, "the members are saved, text, label, like, unlike"),
        ("search", {"text": "x", "tags": [{"taxonomy": "t", "lable": "a"}]}, "tags[0]: unknown member 'lable'"),
        ("search", {"label": {"taxonomy": "t", "name": "a"}}, "label: unknown member 'name'"),
        ("quarantine/retry", {"reasons": "empty"}, "did you mean 'reason'?"),
        ("quarantine/drop", {"reason": "trunkated"}, "; did you mean 'truncated'?"),
    ],
)
def test_a_member_is_told_the_nearest(shared_api, path, body, says):
    """Or all there are, where none is near; at any depth."""
    answer = shared_api.post(f"/v1/{path}", body)
    assert 422 == answer.status
    assert says in answer.detail


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("search", {"text": "red", "min_similarity": False}),
        ("search", {"text": "red", "min_similarity": "0.5"}),
        ("search", {"text": "red", "limit": True}),
        ("search", {"text": "red", "limit": "5"}),
        ("search", {"text": "red", "limit": 5.0}),
        ("search", {"text": 5}),
        ("search", {"text": "red", "tags": {"taxonomy": "t", "label": "a"}}),
        ("search", {"label": {"taxonomy": "t", "label": 1}}),
        ("quarantine/retry", {"all": "true"}),
        ("quarantine/retry", {"all": 1}),
        ("quarantine/drop", {"bucket": 5}),
        ("quarantine/drop", {"since": 5}),
    ],
)
def test_a_value_is_of_the_type_that_is_documented(shared_api, path, body):
    """Texts are no numbers, numbers no truths."""
    assert 422 == shared_api.post(f"/v1/{path}", body).status


@pytest.mark.parametrize("model", list(openapi_document()["components"]["schemas"]))
def test_what_is_asked_for_is_closed(model):
    """The document says of each body that it has no other members."""
    schema = openapi_document()["components"]["schemas"][model]
    assert (model in asked()) is (schema.get("additionalProperties") is False)


def asked() -> set[str]:
    """The objects that bodies of requests are made of; those of notifications are their stores'."""
    document = openapi_document()
    operations = [each for path in document["paths"].values() for each in path.values()]
    found: set[str] = set()
    open_ = [each["requestBody"] for each in operations if "requestBody" in each and "events" not in each["tags"]]
    while open_:
        names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(open_.pop()))) - found
        found |= names
        open_ += [document["components"]["schemas"][name] for name in names]
    return {name for name in found if document["components"]["schemas"][name]["type"] == "object"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("search", b'{"text": "red", "limit": 1, "limit": 2}'),
        ("search", b'{"text": "red", "tags": [{"taxonomy": "t", "label": "a", "label": "a"}]}'),
        ("quarantine/drop", b'{"bucket": "a", "bucket": "b"}'),
    ],
)
def test_a_member_is_given_once(shared_api, path, body):
    """As a parameter is: rather than that the last one is taken without a word."""
    answer = shared_api.send("POST", f"/v1/{path}", body, headers={"Content-Type": "application/json"})
    assert (422, True) == (answer.status, answer.detail.endswith(": given 2 times; give it once"))


# -- taxonomies and labels --------------------------------------------------------------------------------------------


def listed(api, taxonomy: str, label: str) -> Any:
    return api.get(f"/v1/images?tag={taxonomy}%3D{label}".replace(" ", "%20"))


def searched(api, taxonomy: str, label: str) -> Any:
    return api.post("/v1/search", {"text": "red", "tags": [{"taxonomy": taxonomy, "label": label}]})


def named(api, taxonomy: str, label: str) -> Any:
    return api.post("/v1/search", {"label": {"taxonomy": taxonomy, "label": label}})


@pytest.mark.parametrize("ask", [listed, searched, named])
@pytest.mark.parametrize(
    ("taxonomy", "label", "says"),
    [
        ("time-of-dya", "day", "there is no taxonomy 'time-of-dya'; did you mean 'time-of-day'?"),
        ("weather", "rain", "there is no taxonomy 'weather'; there are mood, time-of-day"),
        ("mood", "gald", "taxonomy mood has no label 'gald'; did you mean 'glad'?"),
        ("mood", "furious", "taxonomy mood has no label 'furious'; `enrich taxonomy show mood` has them"),
        ("time-of-day", "nite", "taxonomy time-of-day has no label 'nite'; did you mean 'night'?"),
    ],
)
def test_a_filter_names_what_there_is(api, engine, gallery, *, ask, taxonomy, label, says):
    """Nothing found by a misspelt name would look like nothing there."""
    put_into_force(engine, mood(GLAD))
    answer = ask(api, taxonomy, label)
    assert (422, says) == (answer.status, answer.detail)


@pytest.mark.parametrize("ask", [listed, searched])
@pytest.mark.parametrize("label", ["glad", "In a good mood", "HAPPY", "sad"])
def test_what_was_in_force_is_known(api, engine, gallery, ask, label):
    """Of a version before, or of a taxonomy that is not in force any more: no image has it, which is an answer."""
    put_into_force(engine, mood(GLAD, SAD))
    put_into_force(engine, mood(GLAD))
    assert 200 == ask(api, "mood", label).status
    put_into_force(engine)
    assert 200 == ask(api, "mood", label).status


@pytest.mark.parametrize("ask", [listed, searched])
def test_what_only_tags_have_is_known(api, engine, gallery, ask):
    """Of a taxonomy whose versions nobody kept, or of a person with a word of their own, wherever the image is."""
    assert 200 == ask(api, "time-of-day", "night").status
    with transaction(engine) as connection:
        connection.execute(
            text("""INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source)
                    SELECT id, 'keep', 'by hand', 'forever', 'human' FROM images WHERE key = 'red.jpg'""")
        )
        connection.execute(
            text("""INSERT INTO decisions (bucket, key, sha256, taxonomy, verdict, label)
                    VALUES ('photos', 'broken.jpg', '\\x00', 'aside', 'accept', 'later')""")
        )
    assert [200, 200] == [ask(api, "keep", "forever").status, ask(api, "aside", "later").status]
    assert "did you mean 'forever'?" in ask(api, "keep", "forevre").detail


def test_a_catalog_that_nothing_is_in_knows_nothing(api):
    """And says why."""
    for answer in (listed(api, "mood", "glad"), searched(api, "mood", "glad")):
        assert (422, True) == (answer.status, "no worker has put any into force yet" in answer.detail)


def test_explanations_and_nearest_labels_are_of_known_taxonomies(api, engine, gallery):
    """An empty answer would say that nothing was compared."""
    put_into_force(engine, mood(GLAD))
    for kind in ("explanations", "nearest-labels"):
        answer = api.get(f"/v1/{kind}/photos/red.jpg?taxonomy=mood&taxonomy=moode")
        assert (422, "there is no taxonomy 'moode'; did you mean 'mood'?") == (answer.status, answer.detail)
    put_into_force(engine, replace(mood(SAD), name="weather"))
    answer = api.get("/v1/explanations/photos/red.jpg?taxonomy=mood").json
    assert ([], ["mood: not in force, and this image has no tags of it"]) == (answer["taxonomies"], answer["notes"])


@pytest.mark.parametrize("path", ["images", "status", "quarantine", "quarantine/counts"])
def test_a_bucket_that_nothing_is_known_of_is_refused_with_the_nearest(api, path):
    """An empty answer would say that nothing is in it; an object that is only on its way is enough to know a bucket."""
    nothing = api.get(f"/v1/{path}?bucket=fotos")
    assert (422, "unknown bucket 'fotos'; no object has been announced yet") == (nothing.status, nothing.detail)
    api.post("/v1/events/s3", record("a.jpg"))
    assert 200 == api.get(f"/v1/{path}?bucket=photos").status
    for name, says in (("fotos", "did you mean 'photos'?"), ("zzz", "known are photos")):
        answer = api.get(f"/v1/{path}?bucket={name}")
        assert (422, f"unknown bucket {name!r}; {says}") == (answer.status, answer.detail)


@pytest.mark.parametrize("action", ["retry", "drop"])
def test_a_change_in_a_bucket_that_nothing_is_known_of_is_refused(api, action):
    """It would be taken for done."""
    api.post("/v1/events/s3", record("a.jpg"))
    answer = api.post(f"/v1/quarantine/{action}", {"bucket": "fotos", "prefix": "2026/"})
    assert (422, True) == (answer.status, "did you mean 'photos'?" in answer.detail)


def test_a_bucket_that_a_scheduler_watches_is_known(api, engine):
    """Nothing has come yet, and that is the answer."""
    with transaction(engine) as connection:
        ledger.reconciliations.watch(connection, [ledger.reconciliations.Target(bucket="scans")], interval=60)
    assert [] == api.get("/v1/images?bucket=scans").json["images"]
