"""The starter means something: photos that ship inside packages are found by what they show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worker.encoder import starter
from worker.encoder.interface import Encoder
from worker.tagging import Calibration, Label, Tagger, Taxonomy, load_taxonomies
from worker.types import Floats, Tag

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
        ("a cat", {"chelsea.png"}),
        ("a kitten looking at the camera", {"chelsea.png"}),
        ("a cup of coffee", {"coffee.png"}),
        ("a motorcycle", {"motorcycle_left.png"}),
        ("a flower", {"flower.jpg"}),
        ("a building with a roof", {"china.jpg"}),
        ("a page of text", {"page.png", "text.png"}),
        ("a man with a camera", {"camera.png"}),
    ],
)
def test_search_finds_the_photo(encoder: Encoder, vectors: dict[str, Floats], query: str, expected: set[str]):
    """What is asked for comes first among seventeen."""
    assert expected == set(search(encoder, vectors, query)[: len(expected)])


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


#: What a person would say, by taxonomy; nothing: it has none of the answers. Saying nothing is always allowed.
_SEEN: dict[str, dict[str, set[str]]] = {
    "chelsea.png": {"subject": {"animal", "cat"}, "document-page": set()},
    "coffee.png": {"subject": {"food"}, "setting": {"indoor"}, "document-page": set()},
    "flower.jpg": {
        "subject": {"plant", "flower"},
        "setting": {"outdoor"},
        "time-of-day": {"day"},
        "document-page": set(),
    },
    "china.jpg": {"subject": {"building"}, "setting": {"outdoor"}, "time-of-day": {"day"}, "document-page": set()},
    "motorcycle_left.png": {"subject": {"vehicle", "motorcycle"}, "document-page": set()},
    "camera.png": {"subject": {"person"}, "setting": {"outdoor"}, "time-of-day": {"day"}, "document-page": set()},
    "astronaut.png": {"subject": {"person"}, "time-of-day": set(), "document-page": set()},
    "rocket.jpg": {
        "subject": {"vehicle"},
        "setting": {"outdoor"},
        "time-of-day": {"night"},
        "document-page": set(),
    },
    "page.png": {"subject": {"document"}, "setting": set(), "time-of-day": set(), "document-page": {"text"}},
    "text.png": {"subject": {"document"}, "setting": set(), "time-of-day": set(), "document-page": {"text"}},
    "brick.png": {"subject": {"texture"}, "time-of-day": set(), "document-page": set()},
    "moon.png": {"setting": set(), "document-page": set()},
    "coins.png": {"subject": {"coin"}, "setting": set(), "time-of-day": set(), "document-page": set()},
}


def tagged(
    encoder: Encoder, vectors: dict[str, Floats], taxonomies: Sequence[Taxonomy]
) -> dict[str, dict[str, set[str]]]:
    """What the taxonomies say, by photo and taxonomy."""
    tagger = Tagger(taxonomies, encoder.encode_texts, logit_scale=encoder.logit_scale, model="starter")
    decided = dict(zip(vectors, tagger.tag(np.stack(list(vectors.values()))), strict=True))
    return {
        name: {
            taxonomy.name: {tag.label for tag in row if tag.taxonomy == taxonomy.name and tag.label}
            for taxonomy in taxonomies
        }
        for name, row in decided.items()
    }


@pytest.fixture(scope="module")
def tags(encoder: Encoder, vectors: dict[str, Floats]) -> dict[str, dict[str, set[str]]]:
    """What the shipped taxonomies say."""
    return tagged(encoder, vectors, load_taxonomies())


def test_shipped_taxonomies_are_right_or_silent(tags: dict[str, dict[str, set[str]]]):
    """On plain photos no more than one answer in twenty is wrong."""
    asked = [(photo, name, right) for photo, answers in _SEEN.items() for name, right in answers.items()]
    wrong = [(photo, name, tags[photo][name]) for photo, name, right in asked if not tags[photo][name] <= right]

    assert len(wrong) <= len(asked) // 20, wrong


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ("chelsea.png", {"animal", "cat"}),
        ("coffee.png", {"food"}),
        ("flower.jpg", {"plant", "flower"}),
        ("china.jpg", {"building"}),
        ("motorcycle_left.png", {"vehicle", "motorcycle"}),
        ("astronaut.png", {"person"}),
    ],
)
def test_plain_subjects_are_named(tags: dict[str, dict[str, set[str]]], photo: str, expected: set[str]):
    """Silence would be allowed, but not for these; and their kinds are told, too."""
    assert expected == tags[photo]["subject"]


def with_numbers(taxonomy: Taxonomy, *, threshold: float) -> Taxonomy:
    """The taxonomy with another threshold for the starter."""
    numbers = replace(taxonomy.calibration_for("starter"), threshold=threshold)
    return replace(taxonomy, models={"starter": numbers})


def test_a_tightened_threshold_withdraws_the_doubtful_and_keeps_the_plain(encoder: Encoder, vectors: dict[str, Floats]):
    """Each step up takes tags away and never gives or changes one; a cat stays a cat longest."""
    (subject,) = load_taxonomies(["subject"])
    steps = [
        {
            name: found["subject"]
            for name, found in tagged(encoder, vectors, [with_numbers(subject, threshold=t)]).items()
        }
        for t in (0.2, 0.5, 0.8, 0.97)
    ]

    for looser, tighter in pairwise(steps):
        assert all(tighter[name] <= looser[name] for name in vectors)
        assert sum(map(len, tighter.values())) < sum(map(len, looser.values()))
    assert {"animal", "cat"} == steps[-1]["chelsea.png"]


def test_a_new_question_is_answered_from_stored_vectors(encoder: Encoder, vectors: dict[str, Floats]):
    """A taxonomy somebody writes today tags yesterday's pictures as the catalog keeps them, in half precision."""
    question = Taxonomy(
        name="archive",
        labels=(
            Label(name="pet", prompts=("a cat", "a dog", "a kitten")),
            Label(name="traffic", prompts=("a motorcycle", "a car", "a train")),
            Label(name="drink", prompts=("a cup of coffee", "a glass of wine")),
        ),
        background=("a page of text", "a building", "a person", "a flower", "a texture", "the moon"),
        calibration=Calibration(threshold=0.5),
    )
    stored = {name: vector.astype(np.float16).astype(np.float32) for name, vector in vectors.items()}

    found = {name: answers["archive"] for name, answers in tagged(encoder, stored, [question]).items()}

    assert {
        "chelsea.png": {"pet"},
        "motorcycle_left.png": {"traffic"},
        "coffee.png": {"drink"},
    } == {name: labels for name, labels in found.items() if labels}


def test_the_tutorial_shows_what_is_given(encoder: Encoder, vectors: dict[str, Floats], tmp_path: Path):
    """Each line of its table, without a threshold and with one: the label, and the probability but for rounding."""
    page = (Path(__file__).parents[3] / "docs" / "tutorials" / "first-taxonomy.md").read_text("utf-8")
    [text] = re.findall(r"```yaml\n(name: things\n.*?)```", page, flags=re.DOTALL)
    shown = re.findall(r"my-pictures/(\S+) +│ (–|\w+)(?: (\d+)%)?", page)
    surer = dict(re.findall(r"my-pictures/(\S+)\t(–|\w+)$", page, flags=re.MULTILINE))
    given, strict = (
        _tags(encoder, {name: vectors[name] for name, _, _ in shown}, tmp_path, text + more)
        for more in ("", "threshold: 0.7\n")
    )

    assert {name: label for name, label, _ in shown} == {name: tag.label or "–" for name, tag in given.items()}
    assert surer == {name: tag.label or "–" for name, tag in strict.items()}
    assert [int(number) for _, _, number in shown if number] == pytest.approx(
        [100 * tag.probability for tag in given.values() if tag.label], abs=2
    )


def _tags(encoder: Encoder, vectors: dict[str, Floats], folder: Path, text: str) -> dict[str, Tag]:
    (folder / "things.yaml").write_text(text, "utf-8")
    taxonomies = load_taxonomies([str(folder / "things.yaml")])
    tagger = Tagger(taxonomies, encoder.encode_texts, logit_scale=encoder.logit_scale, model="starter")
    tags = tagger.tag(np.stack(list(vectors.values())))
    return {name: tag for name, (tag,) in zip(vectors, tags, strict=True)}
