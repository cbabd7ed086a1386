"""Heads of the shipped taxonomies with the starter, learned from labelled development photos."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worker.encoder import starter
from worker.encoder.interface import Encoder
from worker.pipeline.review.sampling import COSINE
from worker.tagging import Tagger, load_taxonomies
from worker.tagging.head_inputs import zero_shot
from worker.tagging.head_trials import Trial, cross_validated
from worker.tagging.heads import Reviews
from worker.tagging.matrix import Indices
from worker.types import Floats

_PHOTOS = Path(__file__).resolve().parents[4] / "shared" / "photos"
_PAGES = {"drawing": "illustration", "text": "text", "table": "text", "photograph": "photograph"}
pytestmark = [
    pytest.mark.skipif(not _PHOTOS.is_dir(), reason=f"no labelled photos beside the checkout ({_PHOTOS.name})"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return starter.load(device="cpu", dtype="float32")


def photos(taxonomy: str) -> Iterator[tuple[Path, str]]:
    """With what people say they show."""
    if taxonomy == "setting":
        with (_PHOTOS / "scenes" / "labels.csv").open(encoding="utf-8", newline="") as file:
            known = [row for row in csv.DictReader(file) if row["setting"] in ("indoor", "outdoor")]
        yield from ((_PHOTOS / "scenes" / row["file"], row["setting"]) for row in known)
        return
    folder, labels = (
        ("pages", _PAGES) if taxonomy == "document-page" else ("day-night", {"day": "day", "night": "night"})
    )
    for name, label in labels.items():
        yield from ((path, label) for path in sorted((_PHOTOS / folder / name).iterdir()))


def reviewed(encoder: Encoder, taxonomy: str) -> Reviews:
    """All photos as reviews; near-duplicates share a cluster."""
    known = list(photos(taxonomy))
    vectors = np.concatenate(
        [embedded(encoder, [path for path, _ in known[at : at + 16]]) for at in range(0, len(known), 16)]
    )
    [shipped] = [each for each in load_taxonomies() if each.name == taxonomy]
    tagger = Tagger([shipped], encoder.encode_texts, logit_scale=encoder.logit_scale, model="starter")
    start = zero_shot(tagger, vectors)
    count = len(known)
    return Reviews(
        vectors=vectors,
        factor=start.factor,
        base=start.base,
        other=start.other,
        answers=np.array([start.labels.index(label) for _, label in known]),
        weights=np.ones(count, dtype=np.float32),
        clusters=clusters(vectors),
        judges=np.ones(count, dtype=bool),
        anchor=start.anchor,
    )


def embedded(encoder: Encoder, paths: list[Path]) -> Floats:
    pixels = []
    for path in paths:
        with Image.open(path) as image:
            pixels.append(encoder.preprocess(image))
    return encoder.encode_images(pixels)


def clusters(vectors: Floats) -> Indices:
    """The first photo that each is a near-duplicate of."""
    found: Indices = (vectors @ vectors.T > COSINE).argmax(axis=1)
    return found


def trial(encoder: Encoder, taxonomy: str) -> Trial:
    return cross_validated(reviewed(encoder, taxonomy), seed=0)


def test_pages_are_promoted(encoder: Encoder):
    """Prompts alone take many drawings for text; the head is right about a quarter more."""
    found = trial(encoder, "document-page")

    assert found.test.passed
    assert found.test.won >= 17
    assert found.test.lost <= 2
    assert found.accuracy[1] - found.accuracy[0] >= 0.1


@pytest.mark.parametrize("taxonomy", ["setting", "time-of-day"])
def test_what_prompts_answer_well_stays_zero_shot(encoder: Encoder, taxonomy: str):
    """There is little to win on so few photos, and nothing is lost."""
    found = trial(encoder, taxonomy)

    assert not found.test.passed
    assert 0 == found.test.lost
    assert found.accuracy[1] >= found.accuracy[0] >= 0.9
