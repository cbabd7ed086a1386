"""How naming is measured, and what a few photos can tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from training import naming
from training.corpus import Flickr
from worker.types import Floats

pytestmark = pytest.mark.slow

NAMES = ("cat", "dog", "sink")


class Plain:
    """Names are axes."""

    def prototypes(self, prompts: Sequence[Sequence[str]]) -> Floats:
        return np.eye(len(prompts), dtype=np.float32)


def named(*photos: tuple[tuple[float, float, float], str]) -> naming.Naming:
    """Photos as likenesses to each name, and what is in them."""
    vectors = np.array([likeness for likeness, _ in photos], dtype=np.float32)
    objects = {row: frozenset(present.split()) for row, (_, present) in enumerate(photos)}
    return naming.name_objects(Plain(), vectors, objects, NAMES)


def test_the_likeliest_name_and_the_whole_order_count():
    """A cat called a cat; a dog called a sink first; two things, one of them named last."""
    found = named(((0.9, 0.1, 0.0), "cat"), ((0.0, 0.4, 0.5), "dog"), ((0.9, 0.5, 0.1), "cat sink"))

    assert [1, 0, 1] == found.first.tolist()
    assert [1, 1, 1] == found.five.tolist()
    assert found.precision.tolist() == pytest.approx([1, 1 / 2, (1 + 2 / 3) / 2])


def test_only_what_two_captions_mention_is_there():
    """A photo where that is at most a person teaches nothing about names, and is left out."""
    captions = {
        "1.jpg": ["a man with two dogs", "a man and his dog", "a cat?"],
        "2.jpg": ["a man", "a man", "a cat"],
        "3.jpg": ["a dog", "the dog"],
    }
    splits = {"train": frozenset({"3.jpg"}), "dev": frozenset({"1.jpg", "2.jpg"}), "test": frozenset[str]()}
    flickr = Flickr(captions=captions, splits=splits)

    found = naming.mentioned(flickr, ("f/3.jpg", "f/1.jpg", "f/2.jpg"), ("person", "dog", "cat"))

    assert found == {1: frozenset({"person", "dog"})}


def test_few_photos_say_little_and_many_say_more():
    """Half of them right: the interval holds the truth and shrinks with the root of their number."""
    few, many = (naming.over_photos(np.arange(n, dtype=np.float32) % 2) for n in (48, 4800))

    assert few[0] < 0.5 < few[1]
    assert few[1] - few[0] == pytest.approx(2 * 1.96 * (0.25 / 48) ** 0.5, rel=0.1)
    assert (few[1] - few[0]) / (many[1] - many[0]) == pytest.approx(10, rel=0.1)


def test_recipes_are_compared_photo_by_photo():
    """What all seeds of both get right and wrong alike does not blur the difference."""
    one = named(((0.9, 0.1, 0.0), "cat"), ((0.9, 0.1, 0.0), "sink"))

    assert [
        "first: +0.500 [+0.000, +1.000]",
        "first, other recipe: +0.500 [+0.000, +1.000]; difference: +0.000 [+0.000, +0.000]",
        "precision: +0.667 [+0.333, +1.000]",
        "precision, other recipe: +0.667 [+0.333, +1.000]; difference: +0.000 [+0.000, +0.000]",
    ] == naming.report([one], [one])
