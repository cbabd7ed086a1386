"""What is allowed and probably not meant."""

from __future__ import annotations

from tests.unit.tagging.fake_texts import FakeTexts
from tests.unit.tagging.test_modes_and_levels import AXES
from worker.tagging import Calibration, Label, Taxonomy, advice, confusions, load_taxonomies

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
        "never calibrated for some/model: general thresholds are used; give it its own under 'models:'",
    )

    assert expected == _said(PETS, "some/model")[0]
    assert expected not in _said(PETS)


def test_what_ships_needs_no_advice() -> None:
    """With the model that ships."""
    assert [each for taxonomy in load_taxonomies() for each in advice(taxonomy, "starter")] == []


def test_a_prompt_the_model_takes_for_another_label_is_shown() -> None:
    """Here the text of the cat points where the dog is."""
    confused = Taxonomy(
        name="pets",
        labels=(Label(name="cat", prompts=("cat", "kitten", "tom")), Label(name="dog", prompts=("dog",))),
        background=("wall",),
    )
    known = AXES | {"kitten": AXES["dog"], "tom": AXES["cat"]}
    found = confusions(confused, FakeTexts(known), model="any")

    assert [(each.label, each.message) for each in found] == [
        ("cat", "'kitten' is nearer to 'dog' than to its own label")
    ]


def test_a_prompt_the_model_takes_for_the_background_is_shown() -> None:
    """It can only cost tags."""
    taxonomy = Taxonomy(name="pets", labels=(Label(name="cat", prompts=("cat", "fur", "tom")),), background=("wall",))
    found = confusions(taxonomy, FakeTexts(AXES | {"fur": AXES["wall"], "tom": AXES["cat"]}), model="any")

    assert [each.message for each in found] == ["'fur' is nearer to the background than to its own label"]


def test_labels_that_do_not_compete_may_look_alike() -> None:
    """With multi-label nothing is lost by it."""
    alike = Taxonomy(
        name="pets",
        mode="multi-label",
        labels=(Label(name="cat", prompts=("cat", "kitten", "tom")), Label(name="dog", prompts=("dog",))),
        background=("wall",),
    )

    assert confusions(alike, FakeTexts(AXES | {"kitten": AXES["dog"], "tom": AXES["cat"]}), model="any") == []
