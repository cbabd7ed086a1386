"""Classifying images over real HTTP, on a real PostgreSQL."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.integration.api.live import serve
from tests.pictures import picture
from worker.db import transaction
from worker.pipeline.taxonomies.active_taxonomies import begin
from worker.tagging import Calibration, Label, Requirement, Taxonomy

COLOURS = ["red", "green", "blue"]
COLOUR = Taxonomy(
    name="colour",
    labels=tuple(Label(name=name, prompts=(name,)) for name in COLOURS),
    models={"tiny": Calibration(threshold=0.5)},
)
SHADE = Taxonomy(
    name="shade",
    labels=(Label(name="warm", prompts=("red wool",)), Label(name="cold", prompts=("blue",))),
    when=((Requirement(taxonomy="colour", labels=("red",)),),),
    models={"tiny": Calibration(threshold=0.5)},
)
WORDS = Taxonomy(name="words", mode="vocabulary", labels=(Label(name="rose", prompts=("rose",)),))
INLINE = "name: mine\nlabels:\n  red: [red]\n  blue: [blue]\nmodels:\n  tiny: {threshold: 0.5}\n"


def data(colour: str = "#f00", content: bytes | None = None) -> dict[str, str]:
    return {"data": base64.b64encode(picture(colour) if content is None else content).decode()}


def classified(api, **request: Any) -> dict[str, Any]:
    answer = api.post("/v1/classify", request)
    assert 200 == answer.status, answer.body
    return dict(answer.json)


def decided(answer: dict[str, Any]) -> list[dict[str, list[str]]]:
    return [{own["taxonomy"]: own["decided"] for own in each["taxonomies"]} for each in answer["images"]]


def refused(api, **request: Any) -> str:
    answer = api.post("/v1/classify", request)
    assert 422 == answer.status, answer.body
    return str(answer.detail)


def test_files_images_and_vectors_by_labels_of_the_request(api, gallery):
    """Each has the label that fits best, with the similarity and probability of every label; nothing is stored."""
    found = classified(
        api,
        images=[data("#0f0"), {"image": "photos/red.jpg"}, {"vector": [0.0, 0.0, 5.0] + [0.0] * 29}],
        labels=COLOURS,
    )
    assert [{"labels": ["green"]}, {"labels": ["red"]}, {"labels": ["blue"]}] == decided(found)
    assert (1, "tiny", None) == (found["space"], found["model"], found["next"])
    assert [None, "photos/red.jpg", None] == [each["image"] for each in found["images"]]
    labels = found["images"][1]["taxonomies"][0]["labels"]
    assert ["red", True, False] == [labels[0]["label"], labels[0]["holds"], labels[1]["holds"]]
    assert pytest.approx(1, abs=1e-3) == sum(each["probability"] for each in labels)
    assert (pytest.approx(1, abs=1e-3), True) == (labels[0]["similarity"], labels[1]["similarity"] < 0.1)


def test_nothing_is_stored(api, gallery, engine):
    """Neither tags nor texts nor images."""

    def counts() -> list[int]:
        with transaction(engine) as connection:
            return [
                connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # of this list
                for table in ("tags", "images", "text_vectors", "taxonomies", "label_vectors")
            ]

    before = counts()
    classified(api, images=[data()], labels=["red", "turquoise"])
    classified(api, images=[data()], definitions=[INLINE])
    assert before == counts()


def test_prompts_templates_and_a_background(api, gallery):
    """An image that the background fits best has no label, and the answer says so."""
    found = classified(
        api,
        images=[data("#00f"), data("#f00")],
        labels=[{"name": "warm", "prompts": ["red"]}, "green"],
        templates=["a photo of {}", "{}"],
        background=["blue"],
    )
    assert [{"labels": []}, {"labels": ["warm"]}] == decided(found)
    [missed, fits] = [each["taxonomies"][0]["abstention"] for each in found["images"]]
    assert ("background-nearer", None) == (missed["reason"], fits)


def test_many_labels_are_judged_one_by_one(api, gallery):
    """An image may have several, or none, and probabilities do not add up to 1."""
    [both] = classified(api, images=[{"image": "photos/red.jpg"}], labels=["red", "red rose", "blue"], many=True)[
        "images"
    ]
    [own] = both["taxonomies"]
    assert (["red", "red rose"], True) == (
        sorted(own["decided"]),
        sum(each["probability"] for each in own["labels"]) > 1.5,
    )


def test_taxonomies_in_force(api, gallery, engine):
    """By name, also where one depends on another: it applies to some images only."""
    begin(engine, lambda: (COLOUR, SHADE, WORDS), own="default")
    found = classified(api, images=[data("#f00"), data("#0f0")], taxonomies=["colour", "shade"])
    assert [{"colour": ["red"], "shade": ["warm"]}, {"colour": ["green"], "shade": []}] == decided(found)
    assert [True, False] == [each["taxonomies"][1]["applies"] for each in found["images"]]
    [alone] = decided(classified(api, images=[data("#f00")], taxonomies=["shade"]))
    assert {"shade": ["warm"]} == alone
    assert "did you mean 'colour'?" in refused(api, images=[data()], taxonomies=["color"])
    assert "is a vocabulary" in refused(api, images=[data()], taxonomies=["words"])


def test_definitions_as_files_have_them(api, gallery, engine):
    """They need not be in force, and may ask about those that are; a mistake is named with its line."""
    begin(engine, lambda: (COLOUR,), own="default")
    dependent = INLINE + "when: {colour: red}\n"
    found = classified(api, images=[data("#f00"), data("#00f")], definitions=[dependent])
    assert [{"mine": ["red"]}, {"mine": []}] == decided(found)
    assert "definitions[0]:" in refused(api, images=[data()], definitions=["name: mine\nlabels: 7\n"])
    assert "definitions[0]:7: when.colr" in refused(api, images=[data()], definitions=[INLINE + "when: {colr: red}\n"])


def test_every_image_of_a_filter(api, gallery):
    """Page by page, each image on exactly one."""
    names: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = classified(api, filter={"bucket": "photos"}, limit=2, labels=COLOURS, **after)
        names += [f"{each['image']}: {each['taxonomies'][0]['decided'][0]}" for each in page["images"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert ["photos/2026/green.jpg: green", "photos/blue.jpg: blue", "photos/red.jpg: red"] == names
    night = {"tags": [{"taxonomy": "time-of-day", "label": "night"}]}
    assert ["photos/2026/green.jpg"] == [
        each["image"] for each in classified(api, filter=night, labels=COLOURS)["images"]
    ]
    assert "unknown bucket 'photo'" in refused(api, filter={"bucket": "photo"}, labels=COLOURS)
    assert 400 == api.post("/v1/classify", {"filter": {}, "labels": COLOURS, "after": "x"}).status


def test_a_bad_image_costs_only_itself(api, gallery):
    """It has a problem, with the reason or what is known about the object; the others have their answers."""
    found = classified(
        api,
        images=[
            data("#0f0"),
            data(content=picture()[:300]),
            data(content=picture(size=(3_000, 3_000), kind="PNG")),
            {"data": "!"},
            {"image": "photos/gone.jpg"},
            {"vector": [1.0]},
            data("#f00"),
        ],
        labels=COLOURS,
    )
    problems = [each["problem"] for each in found["images"]]
    assert [True, False, False, False, False, False, True] == [each is None for each in problems]
    assert ["truncated", "too-many-pixels", None, None, None] == [each["reason"] for each in problems[1:6]]
    assert "unknown" == problems[4]["state"]
    assert "images[3].data: not base64" in problems[3]["detail"]
    assert "has 1 numbers" in problems[5]["detail"]
    assert [["green"], ["red"]] == [each["taxonomies"][0]["decided"] for each in found["images"] if not each["problem"]]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"images": [], "labels": COLOURS}, "images: List should have at least 1 item"),
        ({"images": [{}], "labels": COLOURS}, "images[0]: needs exactly one of image, data, vector"),
        ({"labels": COLOURS}, "needs either 'images' or 'filter'"),
        ({"images": [data()], "filter": {}, "labels": COLOURS}, "needs either 'images' or 'filter'"),
        ({"images": [data()]}, "needs exactly one of 'labels', 'taxonomies' and 'definitions'"),
        ({"images": [data()], "labels": COLOURS, "taxonomies": ["colour"]}, "needs exactly one of"),
        ({"images": [data()], "labels": []}, "labels: Value should have at least 1 item"),
        ({"images": [data()], "labels": ["red"]}, "nothing to compete with"),
        ({"images": [data()], "labels": ["red", "red"]}, "'red' is given 2 times; give it once"),
        ({"images": [data()], "labels": ["x" * 10_000, "red"]}, "labels[0].name: String should have at most 200"),
        ({"images": [data()], "labels": [{"name": "long", "prompts": ["red " * 80]}, "red"]}, "reads 77"),
        ({"images": [data()], "labels": COLOURS, "templates": ["a photo"]}, "write {} where the label goes"),
        ({"images": [data()], "labels": COLOURS, "limit": 5}, "'limit' is for 'filter' only"),
        ({"images": [data()], "taxonomies": ["colour"], "many": True}, "'many' is for 'labels' only"),
        ({"images": [data()], "labels": COLOURS, "threshold": 1.5}, "less than or equal to 1"),
        ({"images": [data()] * 33, "labels": COLOURS}, "of which 33 are files"),
        ({"images": [data()], "labels": COLOURS, "tamplates": ["{}"]}, "did you mean 'templates'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(api, gallery, request_, message):
    """422 says what to change."""
    assert message in refused(api, **request_)


def test_an_empty_catalog(api):
    """409: no space exists yet; the answer says how to make one."""
    answer = api.post("/v1/classify", {"images": [data()], "labels": COLOURS})
    assert (409, True) == (answer.status, "start a worker" in answer.detail)


def test_files_are_limited_together_with_those_to_embed(services, gallery):
    """One bucket of tokens for all requests that encode images."""
    with serve(replace(services, images_per_second=0.5)) as api:
        assert 200 == api.post("/v1/embeddings", {"input": [data()] * 30}).status
        assert 429 == api.post("/v1/classify", {"images": [data()] * 3, "labels": COLOURS}).status
        assert 200 == api.post("/v1/classify", {"images": [{"image": "photos/red.jpg"}], "labels": COLOURS}).status


def test_an_image_without_a_vector_has_a_problem(api, gallery, engine, enriched):
    """It is in the catalog, but not yet in the active space."""
    enriched(enriched_image("new.jpg", vector=ColourEncoder().encode_texts(["red"])[0]))
    with transaction(engine) as connection:
        connection.execute(
            text("DELETE FROM embeddings WHERE image_id = (SELECT id FROM images WHERE key = 'new.jpg')")
        )
    found = classified(api, filter={"prefix": "new", "bucket": "photos"}, labels=COLOURS)
    assert ["photos/new.jpg has no vector of tiny in space 1, or not yet"] == [
        each["problem"]["detail"] for each in found["images"]
    ]


def test_definitions_are_read_whole_and_leave_no_cut_text(api, gallery):
    """Too long a text is refused, whoever sent it first: no later request gets the vector of its beginning."""
    long = "red " * 80
    definition = (
        f"name: mine\nlabels:\n  red: ['{long.strip()}']\n  blue: [blue]\nmodels:\n  tiny: {{threshold: 0.5}}\n"
    )
    assert "reads 77" in refused(api, images=[data()], definitions=[definition])
    for address, request in (("search", {"text": long}), ("embeddings", {"input": [long]})):
        answer = api.post(f"/v1/{address}", request)
        assert (422, True) == (answer.status, "reads 77" in answer.detail)


def test_definitions_have_as_many_texts_as_labels_may(api, gallery):
    """2,000 of all together, counted in all templates."""
    labels = "".join(f"  l{number}: [word {number}]\n" for number in range(1_001))
    files = [f"name: {name}\nlabels:\n{labels}models:\n  tiny: {{threshold: 0.5}}\n" for name in ("one", "two")]
    message = refused(api, images=[{"image": "photos/red.jpg"}], definitions=files)
    assert "the definitions have more than 2,000 texts" in message
    classified(api, images=[{"image": "photos/red.jpg"}], definitions=files[:1], top=1)


def test_vectors_of_another_space_are_problems(api, gallery):
    """Whoever says the space of a vector gets no answer by another; only vectors have one."""
    vector = {"vector": [1.0] + [0.0] * 31}
    found = classified(api, images=[{**vector, "space": 1}, {**vector, "space": 7}], labels=COLOURS)
    assert found["images"][0]["problem"] is None
    assert "the vector is of space 7, and it is compared in space 1" in found["images"][1]["problem"]["detail"]
    assert "'space' is for 'vector' only" in refused(api, images=[{**data(), "space": 1}], labels=COLOURS)
    answer = api.post("/v1/similarity", {"examples": [{**vector, "space": 7}, {"text": "red"}]})
    assert (409, True) == (answer.status, "embed what it was made of again, in space 1" in answer.detail)
    assert 200 == api.post("/v1/search", {"like": [{**vector, "space": 1}]}).status
    assert 409 == api.post("/v1/search", {"like": [{**vector, "space": 2}]}).status
