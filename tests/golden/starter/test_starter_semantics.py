"""The starter means something: photos that ship inside packages are found by what they show."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worker.encoder import starter
from worker.encoder.interface import Encoder
from worker.tagging import Tagger, load_taxonomies
from worker.types import Floats

_FILES = {
    "skimage": "data/{}",
    "sklearn": "datasets/images/{}",
}
_PHOTOS = {
    "astronaut.png": "skimage",
    "brick.png": "skimage",
    "camera.png": "skimage",
    "chelsea.png": "skimage",
    "coffee.png": "skimage",
    "coins.png": "skimage",
    "horse.png": "skimage",
    "hubble_deep_field.jpg": "skimage",
    "ihc.png": "skimage",
    "moon.png": "skimage",
    "motorcycle_left.png": "skimage",
    "page.png": "skimage",
    "retina.jpg": "skimage",
    "rocket.jpg": "skimage",
    "text.png": "skimage",
    "china.jpg": "sklearn",
    "flower.jpg": "sklearn",
}


def path(name: str) -> Path:
    spec = find_spec(_PHOTOS[name])
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{_PHOTOS[name]} is not installed; pip install 'image-enricher[demo]'")
    return Path(spec.submodule_search_locations[0], _FILES[_PHOTOS[name]].format(name))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return starter.load(device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def vectors(encoder: Encoder) -> dict[str, Floats]:
    """One vector a photo."""
    pixels = []
    for name in _PHOTOS:
        with Image.open(path(name)) as image:
            pixels.append(encoder.preprocess(image))
    return dict(zip(_PHOTOS, encoder.encode_images(pixels), strict=True))


def search(encoder: Encoder, vectors: dict[str, Floats], query: str) -> list[str]:
    """Names of the photos, the best first."""
    scores = np.stack(list(vectors.values())) @ encoder.encode_texts([query])[0]
    return [list(vectors)[index] for index in scores.argsort()[::-1]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a cat", "chelsea.png"),
        ("a kitten looking at the camera", "chelsea.png"),
        ("a cup of coffee", "coffee.png"),
        ("a motorcycle", "motorcycle_left.png"),
        ("a flower", "flower.jpg"),
        ("a building with a roof", "china.jpg"),
        ("a page of text", "text.png"),
        ("a man with a camera", "camera.png"),
    ],
)
def test_search_finds_the_photo(encoder: Encoder, vectors: dict[str, Floats], query: str, expected: str):
    """The right photo comes first among seventeen."""
    assert search(encoder, vectors, query)[0] == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a rocket", "rocket.jpg"),
        ("an astronaut", "astronaut.png"),
        ("a surface of bricks", "brick.png"),
        ("a horse", "horse.png"),
    ],
)
def test_harder_things_are_among_the_first_three(
    encoder: Encoder, vectors: dict[str, Floats], query: str, expected: str
):
    """A night launch, a portrait in front of a flag, a grey wall, a silhouette."""
    assert expected in search(encoder, vectors, query)[:3]


#: What a person would say, by taxonomy; None: it has none of the answers. Saying nothing is always allowed.
_SEEN: dict[str, dict[str, str | None]] = {
    "chelsea.png": {"subject": "cat", "document-page": None},
    "coffee.png": {"subject": "food", "setting": "indoor", "document-page": None},
    "flower.jpg": {"subject": "plant", "setting": "outdoor", "time-of-day": "day", "document-page": None},
    "china.jpg": {"subject": "building", "setting": "outdoor", "time-of-day": "day", "document-page": None},
    "motorcycle_left.png": {"subject": "vehicle", "document-page": None},
    "camera.png": {"subject": "person", "setting": "outdoor", "time-of-day": "day", "document-page": None},
    "astronaut.png": {"subject": "person", "time-of-day": None, "document-page": None},
    "rocket.jpg": {"subject": "vehicle", "setting": "outdoor", "time-of-day": "night", "document-page": None},
    "page.png": {"subject": "document", "setting": None, "time-of-day": None, "document-page": "text"},
    "text.png": {"subject": "document", "setting": None, "time-of-day": None, "document-page": "text"},
    "brick.png": {"subject": "texture", "time-of-day": None, "document-page": None},
    "moon.png": {"setting": None, "document-page": None},
    "coins.png": {"subject": "coin", "setting": None, "time-of-day": None, "document-page": None},
}


@pytest.fixture(scope="module")
def tags(encoder: Encoder, vectors: dict[str, Floats]) -> dict[str, dict[str, str | None]]:
    """What the shipped taxonomies say, by photo and taxonomy."""
    tagger = Tagger(load_taxonomies(), encoder.encode_texts, logit_scale=encoder.logit_scale, model="starter")
    decided = tagger.tag(np.stack(list(vectors.values())))
    return {name: {tag.taxonomy: tag.label for tag in row} for name, row in zip(vectors, decided, strict=True)}


def test_shipped_taxonomies_are_right_or_silent(tags: dict[str, dict[str, str | None]]):
    """On plain photos no more than one answer in twenty is wrong."""
    asked = [(photo, name, answer) for photo, answers in _SEEN.items() for name, answer in answers.items()]
    wrong = [
        (photo, name, tags[photo][name]) for photo, name, answer in asked if tags[photo][name] not in (None, answer)
    ]

    assert len(wrong) <= len(asked) // 20, wrong


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ("chelsea.png", "cat"),
        ("coffee.png", "food"),
        ("flower.jpg", "plant"),
        ("china.jpg", "building"),
        ("motorcycle_left.png", "vehicle"),
        ("astronaut.png", "person"),
    ],
)
def test_plain_subjects_are_named(tags: dict[str, dict[str, str | None]], photo: str, expected: str):
    """Silence would be allowed, but not for these."""
    assert tags[photo]["subject"] == expected
