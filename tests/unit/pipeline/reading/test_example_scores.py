"""Scores of images against positive and negative examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import DIMENSION, unit
from worker.encoder import unit_rows
from worker.errors import ChoiceError
from worker.pipeline.reading.example_scores import ExampleScores, Usual, usual

NONE = np.empty((0, DIMENSION), dtype=np.float32)


def scores(positive, negative=NONE, **options) -> ExampleScores:
    usually = options.pop("usual", (Usual(),) * (len(positive) + len(negative)))
    return ExampleScores(
        positive=np.array(positive, np.float32), negative=np.array(negative, np.float32), usual=usually, **options
    )


def random_rows(seed: int, count: int):
    return unit_rows(np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32))


def test_one_example_scores_by_cosine():
    """Whatever is usual: there is nothing to weigh it against."""
    images = random_rows(0, 20)
    assert np.allclose(images @ unit(0), scores([unit(0)], usual=(Usual(mean=0.5, spread=0.1),)).scores(images))


@given(st.integers(0, 1_000), st.integers(1, 4), st.integers(0, 3))
def test_the_direction_orders_images_as_the_average_does(seed, wanted, unwanted):
    """The index can then find the best of them with one query."""
    rows, images = random_rows(seed, wanted + unwanted), random_rows(seed + 1, 50)
    usually = tuple(Usual(mean=0.1 * n, spread=0.5 + n) for n in range(len(rows)))
    average = scores(rows[:wanted], rows[wanted:], usual=usually)
    own, by_direction = average.scores(images), images @ average.direction()
    assert np.allclose(own[np.argsort(by_direction)], np.sort(own), atol=1e-5)


def test_an_example_counts_by_how_unusual_its_similarities_are():
    """A text's similarities are low and close together; standardised, it weighs as much as an image."""
    text, image = unit(0), unit(2)
    either = scores([text, image], usual=(Usual(mean=0.2, spread=0.02), Usual(mean=0.6, spread=0.1)), strategy="best")
    near_text = 0.27 * unit(0) + np.sqrt(1 - 0.27**2) * unit(5)
    near_image = 0.75 * unit(2) + np.sqrt(1 - 0.75**2) * unit(5)
    images = np.stack([near_text, near_image]).astype(np.float32)
    assert [3.5, 1.5] == pytest.approx(list(either.scores(images)), abs=1e-4)
    nearest = either.nearest_positive(images)
    assert nearest is not None
    assert [0, 1] == list(nearest.examples)


def test_only_negative_examples_find_what_is_unlike_them():
    """Images near to any of them come last."""
    outliers = scores(NONE, [unit(0), unit(2)], strategy="best")
    found = outliers.scores(np.stack([unit(0), unit(2), unit(5)]))
    assert 2 == int(found.argmax())
    assert outliers.nearest_positive(np.stack([unit(0)])) is None
    nearest = outliers.nearest_negative(np.stack([unit(2)]))
    assert nearest is not None
    assert [1] == list(nearest.examples)


def test_examples_that_cancel_out_are_refused():
    """Their sum has no direction, and any order of images would be noise."""
    with pytest.raises(ChoiceError, match="the examples cancel out"):
        scores([unit(0), -unit(0)])
    with pytest.raises(ChoiceError, match="give at least one example"):
        scores(NONE)


def test_a_score_does_not_depend_on_the_images_beside_it():
    """Pages compare scores of different batches: any difference would repeat or skip a hit."""
    images = random_rows(3, 400)
    both = scores(random_rows(4, 3), random_rows(5, 2), strategy="best")
    alone = [float(both.scores(images[n : n + 1])[0]) for n in range(len(images))]
    assert alone == list(map(float, both.scores(images)))


def test_what_is_usual_of_too_few_images_is_not_used():
    """Nine similarities have no deviation worth the name."""
    assert (Usual(), Usual()) == usual(random_rows(0, 2), random_rows(1, 9))
    [found] = usual(unit(0)[np.newaxis], np.stack([unit(0)] * 10 + [unit(5)] * 10))
    assert (0.5, 0.5) == (found.mean, found.spread)
