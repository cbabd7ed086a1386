"""Explanations over real HTTP, on a real PostgreSQL."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests import recomputed
from tests.active_taxonomies import put_into_force
from tests.factories import DIMENSION, enriched_image
from tests.fakes import ColourEncoder
from tests.integration.api.live import serve
from tests.unit.tagging import fake_texts
from tests.unit.tagging.test_modes_and_levels import THINGS
from worker.pipeline.reading.explain import Explainer
from worker.pipeline.reading.text_search import TextSearch
from worker.pipeline.taxonomies import active_taxonomies
from worker.tagging import Calibration, Label, Tagger, Taxonomy, load_taxonomies
from worker.types import Floats

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
    active_taxonomies.keep(engine, [COLOUR])
    enriched(replace(enriched_image("2026/red.jpg", vector=vector), tags=tags))


def test_an_explanation_has_every_number(api, explained):
    """With what the catalog has, and the rule that decided."""
    answer = api.get("/v1/explanations/photos/2026/red.jpg")
    assert (200, "tiny", ["colour"]) == (answer.status, answer.json["model"], answer.json["uncalibrated"])
    [one] = answer.json["taxonomies"]
    assert (one["decided_by"], one["standing"], one["version"]) == ("decided", "current", COLOUR.version)
    assert [
        ("green", "another-label-nearer"),
        ("red", "decided"),
    ] == [(each["label"], each["reason"]) for each in one["labels"]]
    red = one["labels"][1]
    [tag] = one["written"]
    assert (tag["space"], tag["score"]) == (answer.json["space"], pytest.approx(red["similarity"]))
    assert ["red"] == [text["text"] for text in red["texts"]]
    assert ["blue"] == [text["text"] for text in one["background"][0]["texts"]]


def test_only_some_taxonomies_can_be_asked_for(api, engine, explained):
    """By name."""
    put_into_force(engine, COLOUR, replace(COLOUR, name="other"))
    every = api.get("/v1/explanations/photos/2026/red.jpg").json
    assert ["colour", "other"] == [each["taxonomy"] for each in every["taxonomies"]]
    one = api.get("/v1/explanations/photos/2026/red.jpg?taxonomy=colour").json
    assert (["colour"], ["colour"]) == ([each["taxonomy"] for each in one["taxonomies"]], one["uncalibrated"])


def test_an_unknown_image_is_explained_by_the_ledger(api, explained):
    """As elsewhere."""
    answer = api.get("/v1/explanations/photos/none.jpg")
    assert (404, "unknown") == (answer.status, answer.json["state"])


def test_nobody_is_told_without_the_token(api, explained):
    """It says what a picture shows."""
    assert 401 == api.get("/v1/explanations/photos/2026/red.jpg", token=None).status


class AnyWords(ColourEncoder):
    """Each text has a direction of its own, as with a real model."""

    def _text_features(self, texts):
        return np.stack([fake_texts.vector(each, DIMENSION) for each in texts])


def pictures_near(*taxonomies: Taxonomy) -> Floats:
    """One near to each label and each background, and one between each two neighbours of these."""
    texts = [
        prompt
        for taxonomy in taxonomies
        for prompts in (*(taxonomy.label_texts(label) for label, _ in taxonomy.walk()), *taxonomy.background_texts())
        for prompt in prompts[:1]
    ]
    near = np.stack([fake_texts.vector(each, DIMENSION) for each in texts])
    mixed = np.concatenate([near, near + np.roll(near, 1, axis=0)])
    unit: Floats = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return unit


def test_every_number_can_be_worked_out_from_the_answer(services, engine, enriched):
    """Probabilities, reasons and tags, of all shipped taxonomies and of one whose labels are decided by themselves."""
    taxonomies = (*load_taxonomies(), THINGS)
    encoder = AnyWords()
    vectors = pictures_near(*taxonomies)
    tagger = Tagger(taxonomies, encoder.encode_texts, logit_scale=20.0, model="tiny")
    put_into_force(engine, *taxonomies)
    pictures = enumerate(zip(vectors, tagger.tag(vectors), strict=True))
    enriched(*(replace(enriched_image(f"{n}.jpg", vector=vector), tags=tags) for n, (vector, tags) in pictures))
    explain = Explainer(engine, lambda: (TextSearch(engine, ColourEncoder).model()[0], encoder))
    reasons: Counter[str] = Counter()
    with serve(replace(services, explain=explain)) as api:
        for n in range(len(vectors)):
            answer = api.get(f"/v1/explanations/photos/{n}.jpg").json
            assert {each.name for each in taxonomies} == {each["taxonomy"] for each in answer["taxonomies"]}
            for told in answer["taxonomies"]:
                assert recomputed.agrees(told)
                assert recomputed.decided_by(told) == told["decided_by"]
                decided = {each["label"] for each in told["labels"] if each["reason"] == "decided"}
                assert {tag["label"] for tag in told["written"]} == (decided or {None} if told["applies"] else set())
                reasons.update(each["reason"] for each in told["labels"])
    assert {"decided", "background-nearer", "another-label-nearer", "parent-not-decided"} <= set(reasons)
