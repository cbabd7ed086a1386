"""Taxonomies made of labels that a caller gives with the images."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.fakes import ColourEncoder
from worker.errors import ChoiceError
from worker.tagging import Tagger
from worker.tagging.given_labels import GivenLabel, GivenLabels
from worker.tagging.label_probabilities import score_labels

SCALE = 20.0
IMAGES = ColourEncoder().encode_texts(["red", "red green"])


def given(*names: str, **members) -> GivenLabels:
    return GivenLabels(labels=tuple(GivenLabel(name=name) for name in names), **members)


def tagger(labels: GivenLabels) -> Tagger:
    return Tagger([labels.taxonomy()], ColourEncoder().encode_texts, logit_scale=SCALE, model="tiny")


def answers(labels: GivenLabels) -> list[list[str | None]]:
    return [[tag.label for tag in tags] for tags in tagger(labels).tag(IMAGES)]


def test_labels_that_exclude_each_other_share_a_softmax():
    """At the model's logit scale, over the labels and the background; similarities are cosines."""
    [scored] = score_labels(tagger(given("red", "green", "blue")), IMAGES[:1])
    cosines = IMAGES[:1] @ ColourEncoder().encode_texts(["blue", "green", "red"]).T
    expected = np.exp(SCALE * cosines[0]) / np.exp(SCALE * cosines[0]).sum()
    assert ("blue", "green", "red") == scored.probabilities.labels
    assert np.allclose(expected, scored.probabilities.probability[:, 0], atol=1e-4)
    assert np.allclose(cosines[0], scored.similarity[:, 0], atol=1e-4)
    [with_background] = score_labels(tagger(given("red", "green", background=("blue",))), IMAGES[:1])
    assert math.isclose(float(expected[2]), float(with_background.probabilities.probability[1, 0]), abs_tol=1e-4)


def test_the_best_label_is_decided_unless_the_background_is_better():
    """However improbable it is, if no threshold is given; a tie decides nothing."""
    assert [["red"], [None]] == answers(given("red", "green", "blue"))
    assert [[None], ["green"]] == answers(given("green", "blue", background=("wool",)))


def test_a_threshold_and_a_margin():
    """Less probable, and less clear, is not decided."""
    assert [[None], [None]] == answers(given("red", "red green wool", threshold=0.999))
    assert [["red"], ["red green"]] == answers(given("red", "red green"))
    assert [[None], [None]] == answers(given("red", "red green", margin=0.999))


def test_prompts_and_templates():
    """A label is the mean of its prompts in all templates; without prompts, its name is the prompt."""
    labels = GivenLabels(
        labels=(GivenLabel(name="warm", prompts=("red", "red wool")), GivenLabel(name="blue")),
        templates=("a photo of {}", "{}"),
    )
    made = labels.taxonomy()
    assert ("a photo of red", "a photo of red wool", "red", "red wool") == made.label_texts(made.labels[0])
    assert [["warm"], ["warm"]] == answers(labels)


def test_spacing_and_composition_do_not_matter():
    """A decomposed letter and a line break are what an editor made of the same text."""
    assert given("Cafe\u0301\n bar", "red").taxonomy().version == given("Café bar", "red").taxonomy().version


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (given(), "no labels to choose from"),
        (given("red", "red"), "'red' is given 2 times"),
        (given("red ", "red"), "'red' is given 2 times"),
        (given("red", " "), "a label is empty"),
        (given("red"), "nothing to compete with"),
        (given("red", "None of these"), "background prompts instead"),
        (given("red", "blue", templates=("a photo",)), "write {} where the label goes"),
        (given("red", "blue", background=(" ",)), "a prompt is empty"),
        (given(*map(str, range(1_001))), "1,001 labels with 1,001 texts in all templates are too many"),
        (given(*map(str, range(100)), templates=tuple(f"{n} {{}}" for n in range(21))), "with 2,100 texts"),
    ],
)
def test_what_cannot_be_chosen_from(labels, message):
    """Says what to change."""
    with pytest.raises(ChoiceError) as refused:
        labels.taxonomy()
    assert message in str(refused.value)


def test_one_label_may_stand_alone_if_many_are_allowed():
    """It is judged by neutral prompts then, or by a background."""
    assert "multi-label" == given("red", many=True).taxonomy().mode
    assert [[None], [None]] == answers(given("wool", background=("red",)))
