"""What is allowed and probably not meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.unit.tagging.fake_texts import FakeTexts
from tests.unit.tagging.test_modes_and_levels import AXES
from worker.tagging import Calibration, Label, Taxonomy, advice, confusions, cut_prompts, load_taxonomies, long_prompts

PETS = Taxonomy(
    name="pets",
    labels=(
        Label(name="cat", title="Pet", aliases=("kitty",), prompts=("cat", "a photo with the dog")),
        Label(name="dog", title="pet", prompts=("dog", "photo of a dog")),
    ),
    background=("wall",),
    models={"starter": Calibration()},
)


def _said(taxonomy: Taxonomy, model: str = "starter") -> list[tuple[str | None, str]]:
    return [(each.label, each.message) for each in advice(taxonomy, model)]


def test_prompts_that_say_the_same_of_two_labels_are_shown() -> None:
    """But for small words and order; equal texts are refused already."""
    expected = (
        "dog",
        "'photo of a dog' says nearly the same as 'a photo with the dog' of 'cat': it hardly tells the two apart",
    )

    assert expected in _said(PETS)


def test_words_that_mean_two_labels_are_shown() -> None:
    """A search by them could not tell which is meant."""
    assert ("dog", "'pet' also means 'cat': searches by it find neither") in _said(PETS)


def test_a_model_without_numbers_is_named_first() -> None:
    """Only where there are none."""
    expected = (
        None,
        "not calibrated for some/model: its tags are unproven; look at some, then give it numbers under 'models:'",
    )

    assert expected == _said(PETS, "some/model")[0]
    assert expected not in _said(PETS)


def test_what_ships_needs_no_advice() -> None:
    """With the model that ships."""
    assert [] == [each for taxonomy in load_taxonomies() for each in advice(taxonomy, "starter")]


def test_a_prompt_the_model_takes_for_another_label_is_shown() -> None:
    """Here the text of the cat points where the dog is."""
    confused = Taxonomy(
        name="pets",
        labels=(Label(name="cat", prompts=("cat", "kitten", "tom")), Label(name="dog", prompts=("dog",))),
        background=("wall",),
    )
    known = AXES | {"kitten": AXES["dog"], "tom": AXES["cat"]}
    found = confusions(confused, FakeTexts(known), model="any")

    assert [("cat", "'kitten' is nearer to 'dog' than to its own label")] == [
        (each.label, each.message) for each in found
    ]


def test_a_prompt_the_model_takes_for_the_background_is_shown() -> None:
    """It can only cost tags."""
    taxonomy = Taxonomy(name="pets", labels=(Label(name="cat", prompts=("cat", "fur", "tom")),), background=("wall",))
    found = confusions(taxonomy, FakeTexts(AXES | {"fur": AXES["wall"], "tom": AXES["cat"]}), model="any")

    assert ["'fur' is nearer to the background than to its own label"] == [each.message for each in found]


def test_labels_that_tie_are_shown() -> None:
    """As those do whose prompts differ behind what a model reads: neither can be ahead of the other."""
    taxonomy = Taxonomy(name="pets", labels=(Label(name="cat", prompts=("tom",)), Label(name="dog", prompts=("rex",))))
    found = confusions(taxonomy, FakeTexts({"tom": AXES["cat"], "rex": AXES["cat"]}), model="any")

    said = "is exactly as near to {} as to its own label: in a tie, neither is given"
    assert [
        ("cat", f"'tom' {said.format(repr('dog'))}"),
        ("dog", f"'rex' {said.format(repr('cat'))}"),
    ] == [(each.label, each.message) for each in found]


def test_prompts_that_are_cut_are_shown() -> None:
    """Wherever they stand, in the template of that model; with how many tokens they have."""
    taxonomy = Taxonomy(
        name="pets",
        labels=(Label(name="cat", prompts=("cat",), negatives=("a long cat",)), Label(name="dog", prompts=("dog",))),
        background=("a bare wall",),
        templates=("see {}",),
    )

    def cut(texts: Sequence[str]) -> dict[str, int]:
        return {text: len(text) for text in texts if len(text) > 10}

    said = "tokens, more than any reads: the rest is ignored; shorten it"
    assert [
        ("cat", f"'see a long cat' has 14 {said}"),
        (None, f"'see a bare wall' has 15 {said}"),
    ] == [(each.label, each.message) for each in cut_prompts(taxonomy, cut, model="any")]


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ("a photo of a street at night " * 9, 63),
        ("在阳光明媚的日子里拍摄的照片" * 5, 70),
        ("写真です。" * 13, 65),
        ("day, " * 32, 64),
        ("a photo of a street at night " * 8, None),
        ("Donaudampfschifffahrtsgesellschaft " * 50, None),
    ],
)
def test_long_prompts_are_shown_without_a_model(prompt: str, tokens: int | None) -> None:
    """Of what has so many words, ideographs or signs that a model of 64 tokens cannot read all."""
    pets = replace(PETS, labels=(Label(name="cat", prompts=(prompt,)), PETS.labels[1]))
    said = [each.message for each in long_prompts(pets)]
    assert said == [] if tokens is None else [f"has {tokens} tokens or more" in message for message in said] == [True]


def test_labels_that_do_not_compete_may_look_alike() -> None:
    """With multi-label nothing is lost by it."""
    alike = Taxonomy(
        name="pets",
        mode="multi-label",
        labels=(Label(name="cat", prompts=("cat", "kitten", "tom")), Label(name="dog", prompts=("dog",))),
        background=("wall",),
    )

    assert [] == confusions(alike, FakeTexts(AXES | {"kitten": AXES["dog"], "tom": AXES["cat"]}), model="any")
