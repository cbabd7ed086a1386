"""Explanations over real HTTP, on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.in_force import put_into_force
from worker.pipeline import labels
from worker.tagging import Calibration, Label, Tagger, Taxonomy

COLOUR = Taxonomy(
    name="colour",
    labels=tuple(Label(name=name, prompts=(name,)) for name in ("red", "green")),
    background=("blue",),
    calibration=Calibration(threshold=0.5),
)


@pytest.fixture
def explained(engine, enriched):
    """A red picture with a slash in its key, tagged as a worker tags."""
    encoder = ColourEncoder()
    [vector] = encoder.encode_texts(["red"])
    [tags] = Tagger((COLOUR,), encoder.encode_texts, logit_scale=20.0, model="tiny").tag(vector[None])
    labels.keep(engine, [COLOUR])
    enriched(replace(enriched_image("2026/red.jpg", vector=vector), tags=tags))


def test_an_explanation_has_every_number(api, explained):
    """With what the catalog has, and the rule that decided."""
    answer = api.get("/v1/explanations/photos/2026/red.jpg")
    assert (answer.status, answer.json["model"], answer.json["uncalibrated"]) == (200, "tiny", ["colour"])
    [one] = answer.json["taxonomies"]
    assert (one["decided_by"], one["standing"], one["version"]) == ("decided", "current", COLOUR.version)
    assert [(each["label"], each["reason"]) for each in one["labels"]] == [
        ("green", "another-label-nearer"),
        ("red", "decided"),
    ]
    red = one["labels"][1]
    [tag] = one["written"]
    assert (tag["space"], tag["score"]) == (answer.json["space"], pytest.approx(red["similarity"]))
    assert [text["text"] for text in red["texts"]] == ["red"]
    assert [text["text"] for text in one["background"][0]["texts"]] == ["blue"]


def test_only_some_taxonomies_can_be_asked_for(api, engine, explained):
    """By name."""
    put_into_force(engine, COLOUR, replace(COLOUR, name="other"))
    every = api.get("/v1/explanations/photos/2026/red.jpg").json
    assert [each["taxonomy"] for each in every["taxonomies"]] == ["colour", "other"]
    one = api.get("/v1/explanations/photos/2026/red.jpg?taxonomy=colour").json
    assert ([each["taxonomy"] for each in one["taxonomies"]], one["uncalibrated"]) == (["colour"], ["colour"])


def test_an_unknown_image_is_explained_by_the_ledger(api, explained):
    """As elsewhere."""
    answer = api.get("/v1/explanations/photos/none.jpg")
    assert (answer.status, answer.json["state"]) == (404, "unknown")


def test_nobody_is_told_without_the_token(api, explained):
    """It says what a picture shows."""
    assert api.get("/v1/explanations/photos/2026/red.jpg", token=None).status == 401
