"""The card's promises, on labelled photos where the machine has them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worker.encoder import starter
from worker.encoder.interface import Encoder
from worker.types import Floats

_PHOTOS = Path(__file__).resolve().parents[4] / "shared" / "photos"
pytestmark = pytest.mark.skipif(not _PHOTOS.is_dir(), reason=f"no labelled photos beside the checkout ({_PHOTOS.name})")

_PROMPTS = {
    "day": ["a photo taken during the day", "a street in daylight", "a sunny day"],
    "night": ["a photo taken at night", "a street at night", "a dark night scene with city lights"],
    "drawing": ["a drawing", "a line drawing on paper", "a map or technical drawing"],
    "photograph": ["a photograph printed on a page", "an old photograph"],
    "indoor": ["a photo taken indoors", "an indoor scene", "inside a room", "the interior of a building"],
    "outdoor": ["a photo taken outdoors", "an outdoor scene", "outside in nature", "outside on a street"],
    "text": ["a page of text", "a scanned text document", "a table with text", "handwritten text"],
}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return starter.load()


def embedded(encoder: Encoder, folder: Path) -> Floats:
    pixels = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            pixels.append(encoder.preprocess(image))
    return encoder.encode_images(pixels)


def recalls(encoder: Encoder, folders: dict[str, list[Path]]) -> dict[str, float]:
    """For each label, how many of its pictures are nearest to its prompts."""
    prototypes = np.stack([encoder.encode_texts(_PROMPTS[label]).mean(0) for label in folders])
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    found = {}
    for number, (label, paths) in enumerate(folders.items()):
        vectors = np.concatenate([embedded(encoder, path) for path in paths])
        found[label] = float(((vectors @ prototypes.T).argmax(1) == number).mean())
    return found


def test_day_is_told_from_night(encoder: Encoder):
    """Nine of ten webcam pictures, and of the night ones more than 85 in a hundred."""
    found = recalls(encoder, {label: [_PHOTOS / "day-night" / label] for label in ("day", "night")})

    assert np.mean(list(found.values())) >= 0.90
    assert found["night"] >= 0.85


def test_kinds_of_pages_are_told_apart(encoder: Encoder):
    """Balanced accuracy of at least 0.65; tables count as text."""
    pages = _PHOTOS / "pages"
    folders = {
        "photograph": [pages / "photograph"],
        "drawing": [pages / "drawing"],
        "text": [pages / "text", pages / "table"],
    }

    assert np.mean(list(recalls(encoder, folders).values())) >= 0.65


@pytest.fixture(scope="module")
def scenes(encoder: Encoder) -> tuple[list[dict[str, str]], Floats]:
    """Everyday photos: what is known of each, and their vectors."""
    with (_PHOTOS / "scenes" / "labels.csv").open(encoding="utf-8", newline="") as file:
        known = list(csv.DictReader(file))
    pixels = []
    for each in known:
        with Image.open(_PHOTOS / "scenes" / each["file"]) as image:
            pixels.append(encoder.preprocess(image))
    return known, encoder.encode_images(pixels)


def nearest(encoder: Encoder, vectors: Floats, prompts: dict[str, list[str]]) -> list[str]:
    """The label whose prompts are nearest to each picture."""
    prototypes = np.stack([encoder.encode_texts(texts).mean(0) for texts in prompts.values()])
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    return [list(prompts)[index] for index in (vectors @ prototypes.T).argmax(1)]


def test_inside_is_told_from_outside(encoder: Encoder, scenes: tuple[list[dict[str, str]], Floats]):
    """Nineteen of twenty photos that are plainly one or the other."""
    known, vectors = scenes
    given = nearest(encoder, vectors, {label: _PROMPTS[label] for label in ("indoor", "outdoor")})

    right = [
        answer == each["setting"] for answer, each in zip(given, known, strict=True) if each["setting"] in _PROMPTS
    ]
    assert np.mean(right) >= 0.95


def test_things_are_named(encoder: Encoder, scenes: tuple[list[dict[str, str]], Floats]):
    """The likeliest of all names that occur is in seven photos of ten, as often as the trial's heads managed."""
    known, vectors = scenes
    present = [set(each["objects"].split(";")) - {""} for each in known]
    prompts = {
        name: [f"a photo of {article} {name}", f"{article} {name}"]
        for name in sorted(set().union(*present))
        for article in ["an" if name[0] in "aeiou" else "a"]
    }
    given = nearest(encoder, vectors, prompts)

    assert np.mean([name in names for name, names in zip(given, present, strict=True) if names]) >= 0.69
