"""Labels near to images and images near to labels, over real HTTP, on a real PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from tests.fakes import ColourEncoder
from worker import catalog
from worker.db import transaction
from worker.pipeline.spaces.model_loading import space_spec
from worker.pipeline.taxonomies.active_taxonomies import keep
from worker.pipeline.taxonomies.label_vectors import LabelVectorWriter
from worker.tagging import Label, Taxonomy

COLOUR = Taxonomy(name="colour", labels=tuple(Label(name=name, prompts=(name,)) for name in ("red", "green", "blue")))


@pytest.fixture
def labels(engine, gallery):
    """Stored, as a worker does it."""
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, space_spec(ColourEncoder()))
    keep(engine, [COLOUR])
    LabelVectorWriter(engine=engine, space=space, encode_texts=ColourEncoder().encode_texts).run()


def test_the_labels_of_an_image(api, labels):
    """Nearest first."""
    answer = api.get("/v1/nearest-labels/photos/2026/green.jpg?limit=2&taxonomy=colour")
    assert (200, "tiny", 1) == (answer.status, answer.json["model"], answer.json["space"])
    assert answer.json["labels"][0] == {
        "taxonomy": "colour", "version": COLOUR.version, "label": "green", "title": "green", "description": "",
        "text": "green", "similarity": pytest.approx(1, abs=1e-3),
    }  # fmt: skip
    assert 2 == len(answer.json["labels"])


def test_the_images_of_a_label(api, labels):
    """With what else a search can ask."""
    label = {"taxonomy": "colour", "label": "green"}
    keys = [hit["key"] for hit in api.post("/v1/search", {"label": label}).json["hits"]]
    assert ("2026/green.jpg", ["2026/green.jpg", "blue.jpg", "red.jpg"]) == (keys[0], sorted(keys))
    assert [h["key"] for h in api.post("/v1/search", {"label": label, "min_similarity": 0.9}).json["hits"]] == keys[:1]
    tags = [{"taxonomy": "time-of-day", "label": "day"}]
    assert ["red.jpg"] == [h["key"] for h in api.post("/v1/search", {"label": label, "tags": tags}).json["hits"]]


def test_a_label_is_found_by_its_name_without_its_taxonomy(api, engine, labels):
    """Which may be a list of a hundred thousand words, and is read only to find out what else may be meant."""
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *sent: seen.append(sent[2]))
    assert 200 == api.post("/v1/search", {"label": {"taxonomy": "colour", "label": "green"}}).status
    assert [] == [statement for statement in seen if "FROM taxonomies" in statement]
    assert 422 == api.post("/v1/search", {"label": {"taxonomy": "colour", "label": "gren"}}).status
    assert any("FROM taxonomies" in statement for statement in seen)


@pytest.mark.parametrize("body", [{}, {"text": "red", "label": {"taxonomy": "colour", "label": "red"}}])
def test_either_words_or_a_label(api, labels, body):
    """Neither and both are refused with a sentence."""
    answer = api.post("/v1/search", body)
    assert (422, True) == (answer.status, "needs either 'text' or 'label'" in answer.detail)


def test_what_is_not_stored_is_not_found(api, engine, labels):
    """The sentence says what there is."""
    keep(engine, [Taxonomy(name="things", labels=(Label(name="cup", prompts=("a cup",)),))])
    answer = api.post("/v1/search", {"label": {"taxonomy": "things", "label": "cup"}})
    assert (404, True) == (answer.status, "there are those of colour" in answer.detail)
    assert "unknown" == api.get("/v1/nearest-labels/photos/none.jpg").json["state"]
