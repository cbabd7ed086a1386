"""Trials of taxonomies over real HTTP."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.active_taxonomies import put_into_force
from tests.integration.api.live import TOKEN, serve
from tests.integration.api.test_http_taxonomies import COLOUR
from worker.api import Tokens
from worker.db import Engine

TRIALS = "/v1/taxonomy-trials"
CALIBRATED = "models: {tiny: {threshold: 0.6}}\n"
TWO = "name: colour\nlabels: {red: [red], green: [green]}\n" + CALIBRATED


@pytest.fixture
def coloured(engine: Engine, gallery) -> None:
    """Three pictures, and colours to tag them by; the colour of none of them is stored yet."""
    put_into_force(engine, COLOUR)


def test_a_trial_says_what_the_taxonomy_would_say(api, coloured):
    """By label: a histogram, how many would get it, and images with links to thumbnails."""
    found = api.post(TRIALS, {"taxonomy": TWO}).json
    assert ("colour", 1, "tiny", True) == (found["name"], found["space"], found["model"], found["calibrated"])
    assert {"images": 3, "total": 3, "exact": True} == found["sampling"]
    assert (2, 1) == (found["tagged"]["about"], found["abstentions"]["abstained"]["about"])
    assert 2 == found["differs"]["about"]
    red, green = found["labels"]
    assert (["red", "green"], [0.6, 0.6]) == ([red["label"], green["label"]], [red["threshold"], green["threshold"]])
    assert (40, 3, 1, 1) == (len(red["histogram"]), sum(red["histogram"]), red["histogram"][-1], red["tagged"]["about"])
    best = red["strips"]["best"][0]
    assert ("red.jpg", True, best["sha256"]) == (best["key"], best["holds"], best["links"]["thumbnail"].split("=")[-1])
    assert ["red.jpg"] == [each["key"] for each in red["strips"]["above"]]
    assert "red.jpg" not in [each["key"] for each in red["strips"]["below"]]


def test_a_new_name_is_compared_with_nothing(api, coloured):
    """There are no stored tags of it."""
    found = api.post(TRIALS, {"taxonomy": TWO.replace("colour", "paint"), "labels": [], "sample": 2}).json
    assert (None, None, 2, 3) == (
        found["differs"], found["hidden"], found["sampling"]["images"], found["sampling"]["total"],
    )  # fmt: skip
    assert [None, None] == [each["strips"] for each in found["labels"]]
    assert found["tagged"]["low"] <= found["tagged"]["about"] <= found["tagged"]["high"]


def test_json_is_yaml(api, coloured):
    """So a program can send the document that it was given for a taxonomy in force."""
    given = api.get("/v1/taxonomies/colour").json["document"]
    found = api.post(TRIALS, {"taxonomy": json.dumps(given)}).json
    assert ("colour", ["red", "green"]) == (found["name"], [each["label"] for each in found["labels"]])


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({}, 422, "taxonomy"),
        ({"taxonomy": ""}, 422, "taxonomy"),
        ({"taxonomy": 7}, 422, "taxonomy"),
        ({"taxonomy": [TWO]}, 422, "taxonomy"),
        ({"taxonomy": "\x00"}, 422, "NUL"),
        ({"taxonomy": "name: x"}, 422, "taxonomy:1: the field 'labels' is missing"),
        ({"taxonomy": "name: x\nlabels: {a: []}"}, 422, "taxonomy:2: labels.a: must not be empty"),
        ({"taxonomy": "name: x\nlabels:\n  a: [a]\n  a: [b]"}, 422, "taxonomy:4: labels.a"),
        ({"taxonomy": "name: [" * 9}, 422, "taxonomy:"),
        ({"taxonomy": "name: w\nvocabulary: words.txt\n"}, 422, "taxonomy:2: vocabulary: names a file"),
        ({"taxonomy": TWO + "when: {color: red}\n"}, 422, "taxonomy:4: when.color: no taxonomy of that name"),
        ({"taxonomy": TWO + "threshold: 2\n"}, 422, "taxonomy:4: threshold: must be 1 or less"),
        ({"taxonomy": TWO, "sample": 0}, 422, "sample"),
        ({"taxonomy": TWO, "sample": 10_001}, 422, "sample"),
        ({"taxonomy": TWO, "strip": 25}, 422, "strip"),
        ({"taxonomy": TWO, "labels": ["rde"]}, 422, "did you mean 'red'?"),
        ({"taxonomy": TWO, "labels": ["a"] * 65}, 422, "labels"),
        ({"taxonomy": TWO, "size": 5}, 422, "unknown member 'size'"),
        ({"taxonomy": "name: x\nlabels: {a: ['" + "red " * 90 + "']}"}, 422, "92 tokens"),
    ],
)  # fmt: skip
def test_a_bad_trial_is_refused(api, coloured, body, status, why):
    """With the line and what is allowed there."""
    answer = api.post(TRIALS, body)
    assert status == answer.status
    assert why in answer.detail


def test_an_empty_catalog_has_nothing_to_try_on(api):
    """409 says that no image was embedded yet."""
    answer = api.post(TRIALS, {"taxonomy": TWO})
    assert (409, True) == (answer.status, "no image was embedded yet" in answer.detail)


def test_a_token_for_reading_may_try_and_not_plan(api, coloured, services):
    """Nothing is stored by a trial."""
    with serve(replace(services, tokens=Tokens(admin=TOKEN, read="reader"))) as live:
        assert 200 == live.post(TRIALS, {"taxonomy": TWO}, token="reader").status
        assert 403 == live.post("/v1/taxonomy-changes/plan", {"add": [TWO]}, token="reader").status
