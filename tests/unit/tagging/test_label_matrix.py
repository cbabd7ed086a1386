"""From taxonomies and a text encoder to label vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.tagging.fake_texts import DIMENSION, FakeTexts, vector
from worker.tagging import Label, LabelMatrix, Taxonomy, build_label_matrices, build_label_matrix

MOOD = Taxonomy(
    name="mood",
    labels=(Label(name="sad", prompts=("tear", "frown")), Label(name="happy", prompts=("smile",))),
    templates=("{}", "a photo of {}"),
    background=("wall", "floor"),
)


def _unit(*rows: Any) -> Any:
    mean = np.mean(rows, axis=0)
    return mean / np.linalg.norm(mean)


def test_every_prompt_goes_into_every_template() -> None:
    """Labels and background alike; the encoder sees exactly these texts."""
    texts = FakeTexts()
    build_label_matrix(MOOD, texts)
    expected = {
        template.replace("{}", prompt)
        for prompt in ("tear", "frown", "smile", "wall", "floor")
        for template in ("{}", "a photo of {}")
    }

    assert expected == set(texts.calls[0])


def test_the_mean_of_a_label_is_the_unit_mean_of_its_texts() -> None:
    """Labels are sorted by name; each background prompt keeps a row of its own."""
    matrix = build_label_matrix(MOOD, FakeTexts())
    expected = [
        _unit(vector("smile"), vector("a photo of smile")),
        _unit(vector("tear"), vector("a photo of tear"), vector("frown"), vector("a photo of frown")),
        _unit(vector("floor"), vector("a photo of floor")),
        _unit(vector("wall"), vector("a photo of wall")),
    ]

    assert ("happy", "sad") == matrix.labels
    assert [0, 1, 2] == matrix.top.starts.tolist()
    np.testing.assert_allclose(matrix.rows, expected, atol=1e-6)


def test_max_keeps_every_text_as_a_row() -> None:
    """Nothing is averaged: the nearest text will decide."""
    matrix = build_label_matrix(replace(MOOD, aggregate="max"), FakeTexts())

    assert matrix.rows.shape == (10, DIMENSION)
    assert [0, 2, 6] == matrix.top.starts.tolist()
    np.testing.assert_allclose(matrix.rows[0], vector("a photo of smile"), atol=1e-6)


def test_without_background_there_is_no_candidate_for_it() -> None:
    """Two labels are two candidates."""
    assert 2 == len(build_label_matrix(replace(MOOD, background=()), FakeTexts()).top.starts)


def test_texts_of_all_taxonomies_are_encoded_once_in_one_call() -> None:
    """Shared texts cost nothing twice, and the model is woken once."""
    texts = FakeTexts()
    other = replace(MOOD, name="other", background=("wall", "ceiling"))
    matrices = build_label_matrices((MOOD, other), texts)

    assert 1 == len(texts.calls)
    assert len(texts.calls[0]) == len(set(texts.calls[0])) == 12
    np.testing.assert_array_equal(matrices[0].rows[:2], matrices[1].rows[:2])


def test_repeated_prompts_and_templates_carry_no_weight() -> None:
    """Writing a prompt twice does not pull the mean towards it."""
    repeated = replace(
        MOOD,
        labels=(MOOD.labels[1], replace(MOOD.labels[0], prompts=("tear", "frown", "tear", "tear"))),
        templates=("{}", "a photo of {}", "{}"),
        background=("wall", "floor", "wall"),
    )

    np.testing.assert_array_equal(build_label_matrix(MOOD, FakeTexts()).rows, _rows(repeated))


def test_the_arrangement_of_a_file_does_not_reach_the_matrix() -> None:
    """Equal versions have equal matrices to the last bit, so they give equal tags."""
    arranged = replace(
        MOOD,
        labels=tuple(replace(label, prompts=label.prompts[::-1]) for label in MOOD.labels[::-1]),
        templates=MOOD.templates[::-1],
        background=MOOD.background[::-1],
    )

    assert arranged.version == MOOD.version
    np.testing.assert_array_equal(build_label_matrix(MOOD, FakeTexts()).rows, _rows(arranged))


def _rows(taxonomy: Taxonomy) -> Any:
    return build_label_matrix(taxonomy, FakeTexts()).rows


def test_vectors_of_any_length_are_made_unit() -> None:
    """Each text weighs the same, whatever the length of its vector."""
    plain, scaled = FakeTexts(), FakeTexts()
    scaled.known = {"tear": [value * 1000 for value in vector("tear").tolist()]}
    matrices: list[LabelMatrix] = [build_label_matrix(MOOD, texts) for texts in (plain, scaled)]

    np.testing.assert_allclose(matrices[0].rows, matrices[1].rows, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_text_without_direction_is_named(value: float) -> None:
    """A broken text encoder is found when the matrix is built, not by wrong tags."""
    texts = FakeTexts({"a photo of frown": [value] * DIMENSION})

    with pytest.raises(ValueError, match="the vector of 'a photo of frown' has length"):
        build_label_matrix(MOOD, texts)


def test_a_missing_row_is_noticed() -> None:
    """One vector per text, or nothing."""

    def forgetful(texts: Sequence[str]) -> Any:
        return FakeTexts()(texts)[1:]

    with pytest.raises(ValueError, match=r"returned shape \(9, 16\) for 10 texts"):
        build_label_matrix(MOOD, forgetful)


def test_no_taxonomies_do_not_wake_the_encoder() -> None:
    """Nothing to encode is not encoded."""
    texts = FakeTexts()

    assert () == build_label_matrices((), texts)
    assert [] == texts.calls
