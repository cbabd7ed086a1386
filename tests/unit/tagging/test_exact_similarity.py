"""The same image gets the same numbers, to the last bit, whatever it is batched with and wherever its vector was."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tagging.fake_texts import FakeTexts, images, vector
from worker.tagging import Tagger, load_taxonomies
from worker.tagging.exact_similarity import as_stored, exact_rows, similarities
from worker.tagging.tagger import _SIMILARITIES, _chunk
from worker.types import Floats

DIMENSION = 384  # large enough for BLAS to choose among its kernels


def _encode(texts: Sequence[str]) -> Floats:
    return np.stack([vector(text, DIMENSION) for text in texts])


TAGGER = Tagger(load_taxonomies(), _encode, logit_scale=40.0, model="starter")
ROWS = np.concatenate([by.matrix.rows for by in TAGGER.rules])
NEAR = 0.4 * ROWS[np.arange(150) % len(ROWS)] + 0.6 * images(150, dimension=DIMENSION)
BATCH = (NEAR / np.linalg.norm(NEAR, axis=1, keepdims=True)).astype(np.float32)
WHOLE = TAGGER.tag(BATCH)
UNCALIBRATED = Tagger(load_taxonomies(), _encode, logit_scale=40.0, model="any")
UNCALIBRATED_WHOLE = UNCALIBRATED.tag(BATCH)


@pytest.mark.slow
@given(st.lists(st.integers(0, len(BATCH)), max_size=8))
@settings(max_examples=40, deadline=None)
def test_how_images_are_batched_changes_nothing(cuts: list[int]) -> None:
    """Labels, scores and probabilities are equal, not nearly equal."""
    edges = sorted({0, len(BATCH), *cuts})
    parts = [TAGGER.tag(BATCH[start:end]) for start, end in itertools.pairwise(edges)]

    assert WHOLE == [tags for part in parts for tags in part]


@pytest.mark.parametrize("number", range(0, 150, 7))
def test_an_image_alone_is_judged_as_in_company(number: int) -> None:
    """Batches of one are what a trickle of uploads makes."""
    assert TAGGER.tag(BATCH[number : number + 1]) == [WHOLE[number]]


@pytest.mark.parametrize("number", range(0, 150, 7))
def test_an_image_alone_is_as_far_above_neutral_prompts_as_in_company(number: int) -> None:
    """Where a model has no numbers: the scale is summed up for each image by itself."""
    assert UNCALIBRATED.tag(BATCH[number : number + 1]) == [UNCALIBRATED_WHOLE[number]]


@given(st.permutations(range(len(BATCH))))
@settings(max_examples=20, deadline=None)
def test_the_order_of_images_changes_nothing(order: list[int]) -> None:
    """Each takes its numbers along."""
    assert TAGGER.tag(BATCH[order]) == [WHOLE[number] for number in order]


def test_a_vector_that_was_stored_gives_the_same_tags() -> None:
    """The catalog keeps halves: workers decide by what a retagging will read."""
    assert TAGGER.tag(as_stored(BATCH)) == WHOLE
    assert TAGGER.tag(BATCH.astype(np.float16)) == WHOLE


def test_every_sum_is_exact() -> None:
    """Compared with sums of integers, which Python does not round."""
    rows, vectors = exact_rows(ROWS[:5]), as_stored(BATCH[:5])
    found = similarities(rows, BATCH[:5])
    for i, row in enumerate(rows):
        for j, image in enumerate(vectors):
            whole = [(int(a * 2**28), int(b * 2**24)) for a, b in zip(row.tolist(), image.tolist(), strict=True)]
            expected = sum(a * b for a, b in whole) / 2**52

            assert np.float32(expected) == found[i, j]


def test_rounding_rows_costs_less_than_float32_does() -> None:
    """2⁻²⁹ at most, where a float32 near 1 is off by 2⁻²⁵."""
    rows = exact_rows(ROWS)

    assert np.abs(rows - ROWS).max() <= 2**-29


def test_cutting_into_chunks_is_invisible() -> None:
    """Also where the last one is short: as many images as make three chunks."""
    many = images(5_000, dimension=DIMENSION)
    tags = TAGGER.tag(many)

    assert tags[4_090:4_110] == TAGGER.tag(many[4_090:4_110])
    assert tags[-3:] == TAGGER.tag(many[-3:])


@pytest.mark.parametrize(("rows", "expected"), [(1, 2048), (61, 2048), (10_000, 416), (100_000, 32), (10_000_000, 16)])
def test_memory_does_not_grow_with_labels(rows: int, expected: int) -> None:
    """The more rows, the fewer images at once."""
    assert expected == _chunk(rows)
    assert rows * expected <= max(_SIMILARITIES, rows * 16)


def test_the_fake_encoder_is_not_what_makes_it_so() -> None:
    """Vectors of another dimension, with an odd number of rows and images."""
    tagger = Tagger(load_taxonomies(["setting"]), FakeTexts(), logit_scale=100.0, model="any")
    vectors = images(37)

    assert [tagger.tag(vectors[i : i + 1])[0] for i in range(37)] == tagger.tag(vectors)
