"""Embeddings over real HTTP, by hand and with OpenAI's own client."""

from __future__ import annotations

import base64
import importlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.factories import DIMENSION, enriched_image, spec
from tests.fakes import ColourEncoder
from tests.integration.api.live import TOKEN, serve
from tests.pictures import picture
from worker import catalog
from worker.db import transaction


def data(colour: str = "#f00", **fields: Any) -> dict[str, str]:
    return {"data": base64.b64encode(picture(colour, **fields)).decode()}


def embedded(api, *examples: Any, **members: Any) -> np.ndarray:
    answer = api.post("/v1/embeddings", {"input": list(examples), **members})
    assert 200 == answer.status, answer.body
    assert list(range(len(examples))) == [each["index"] for each in answer.json["data"]]
    return np.array([each["embedding"] for each in answer.json["data"]])


def axes(vectors: np.ndarray) -> list[int]:
    return [int(each) for each in vectors.argmax(axis=1)]


def test_texts_files_and_images_of_the_catalog_are_embedded_together(api, gallery):
    """Each gives a unit vector of the active space, in the order of the inputs."""
    found = embedded(api, "blue", data("#0f0"), {"image": "photos/red.jpg"}, {"vector": [0.0, 0.0, 9.0] + [0.0] * 29})
    assert [2, 1, 0, 2] == axes(found)
    assert np.allclose(1, np.linalg.norm(found, axis=1), atol=1e-6)


def test_the_answer_has_the_form_of_openais(api, gallery):
    """Members and values that its clients read, and the space besides."""
    answer = api.post("/v1/embeddings", {"input": "red", "model": "tiny"}).json
    assert ("list", "embedding", "tiny", 1) == (
        answer["object"], answer["data"][0]["object"], answer["model"], answer["space"]
    )  # fmt: skip
    assert {"prompt_tokens": 3, "total_tokens": 3} == answer["usage"]


def test_base64_is_the_same_vector_exactly(api, gallery):
    """Little-endian float32; the numbers of the other format round to the same."""
    [numbers] = embedded(api, "red")
    packed = api.post("/v1/embeddings", {"input": "red", "encoding_format": "base64"}).json["data"][0]["embedding"]
    assert np.array_equal(np.frombuffer(base64.b64decode(packed), dtype="<f4"), numbers.astype(np.float32))
    [again] = embedded(api, {"vector": packed})
    assert np.allclose(numbers, again, atol=1e-7)


def test_openais_client(api, gallery):
    """Its methods, its default encoding and its errors work against this API, whatever is embedded."""
    openai = importlib.import_module("openai")
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{api.port}/v1", api_key=TOKEN, max_retries=0)
    found = client.embeddings.create(model="tiny", input=["red", "green"])
    assert [0, 1] == [int(np.argmax(each.embedding)) for each in found.data]
    assert ("tiny", 6) == (found.model, found.usage.total_tokens)
    one = client.embeddings.create(model="tiny", input="blue", encoding_format="float", dimensions=DIMENSION)
    assert (DIMENSION, 2) == (len(one.data[0].embedding), int(np.argmax(one.data[0].embedding)))
    for members, message in (
        ({"model": "tinny", "input": "red"}, "unknown model 'tinny'; did you mean 'tiny'"),
        ({"model": "tiny", "input": [[1, 2, 3]]}, "token numbers"),
    ):
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            client.embeddings.create(**members)
        assert message in refused.value.body["detail"]
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"http://127.0.0.1:{api.port}/v1", api_key="wrong").embeddings.create(
            model="tiny", input="red"
        )


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"input": []}, "input: List should have at least 1 item"),
        ({"input": ["red"] * 257}, "input: List should have at most 256 items"),
        ({"input": [data()] * 33}, "at most 32 uploaded images"),
        ({"input": "red " * 3_000}, "input[0].text: String should have at most 2000 characters"),
        ({"input": "red " * 80}, "tiny reads 77"),
        ({"input": " "}, "input[0].text: String should have at least 1 character"),
        ({"input": [{"text": "red", "image": "photos/red.jpg"}]}, "input[0]: needs exactly one of text, image, data"),
        ({"input": [{}]}, "it has none of them"),
        ({"input": [{"txt": "red"}]}, "unknown member 'txt'; did you mean 'text'?"),
        ({"input": [{"text": "red", "modality": "image"}]}, "'modality' is for 'vector' only"),
        ({"input": [{"image": "red.jpg"}]}, "write BUCKET/KEY"),
        ({"input": [{"data": "not base64!"}]}, "input[0].data: not base64"),
        ({"input": [{"vector": "AAAA"}]}, "input[0].vector: 3 bytes are not a vector"),
        ({"input": [{"vector": [1, 2]}]}, "has 2 numbers, and those of space 1 (tiny) have 32"),
        ({"input": [{"vector": [0] * 32}]}, "zero, so it has no direction"),
        ({"input": [{"label": {"taxonomy": "unknown", "label": "x"}}]}, "there is no taxonomy 'unknown'"),
        ({"input": [7]}, "token numbers"),
        ({"input": "red", "dimensions": 16}, "have 32 numbers, and are not shortened"),
        ({"input": "red", "model": "1", "space": 2}, "space 2 does not belong to '1'"),
        ({"input": "red", "model": "text-embedding-3-small"}, "the models here are tiny, other"),
        ({"input": "red", "model": "othr"}, "did you mean 'other'?"),
        ({"input": "red", "space": 2}, "no model is loaded for space 2, which is filling"),
        ({"input": "red", "encoding_format": "hex"}, "encoding_format: Input should be 'float' or 'base64'"),
    ],
)  # fmt: skip
def test_what_cannot_be_embedded(api, gallery, engine, members, message):
    """422 says which input, and what to change."""
    with transaction(engine) as connection:
        catalog.spaces.ensure(connection, spec("other"))
    answer = api.post("/v1/embeddings", members)
    assert (422, True) == (answer.status, message in answer.detail), answer.body


def test_an_unknown_image_or_space(api, gallery):
    """404 says what is known about the object."""
    gone = api.post("/v1/embeddings", {"input": [{"image": "photos/gone.jpg"}]})
    assert (404, "unknown") == (gone.status, gone.json["state"])
    assert 404 == api.post("/v1/embeddings", {"input": "red", "space": 9}).status


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"hello", "not-an-image"),
        (picture()[:300], "truncated"),
        (picture(size=(5_000, 10), kind="PNG"), "side-too-long"),
        (picture(size=(3_000, 3_000), kind="PNG"), "too-many-pixels"),
    ],
)
def test_a_file_that_cannot_be_decoded(api, gallery, file, reason):
    """422 with the reason that the worker would quarantine it with, and which input it is."""
    answer = api.post("/v1/embeddings", {"input": ["red", {"data": base64.b64encode(file).decode()}]})
    assert (422, reason, "input[1]: ") == (answer.status, answer.json["reason"], answer.detail[:10])


def test_a_body_that_is_too_large(api, gallery):
    """413 before it was read, at 32 MiB."""
    answer = api.send(
        "POST", "/v1/embeddings", b"x", headers={"Content-Type": "application/json", "Content-Length": str(33 << 20)}
    )
    assert 413 == answer.status


def test_vectors_of_another_space(api, gallery, engine):
    """A stored vector is there in any space, by its number or its model."""
    with transaction(engine) as connection:
        other = catalog.spaces.ensure(connection, spec("other"))
        catalog.write.save_images(connection, space_id=other.id, images=[enriched_image("red.jpg")])
    for which in ({"space": other.id}, {"model": "other"}, {"model": str(other.id)}):
        answer = api.post("/v1/embeddings", {"input": [{"image": "photos/red.jpg"}], **which}).json
        assert ("other", other.id) == (answer["model"], answer["space"])


def test_uploads_are_limited_and_nothing_else(services, gallery):
    """Beyond so many images a second, 429 says when to come back; texts and stored vectors are answered."""
    with serve(replace(services, images_per_second=0.5)) as api:
        assert [0] * 32 == axes(embedded(api, *[data()] * 32))
        refused = api.post("/v1/embeddings", {"input": [data()]})
        assert (429, "2") == (refused.status, refused.headers["retry-after"])
        assert "ENRICH_API_IMAGES_PER_SECOND" in refused.detail
        assert [0, 0] == axes(embedded(api, "red", {"image": "photos/red.jpg"}))


def test_a_picture_that_a_worker_saw_has_the_same_vector(api, gallery):
    """What is uploaded is prepared and encoded as the worker does it."""
    encoder = ColourEncoder()
    [found] = embedded(api, data("#f00"))
    [colours] = embedded(api, "red")
    assert encoder.space.dimension == len(found)
    assert 0.98 < float(found @ colours)
