"""Several labels for an image: decided one by one, level by level, and under conditions; by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.tagging.fake_texts import FakeTexts
from worker.tagging import Calibration, Label, Requirement, Tagger, Taxonomy, build_label_matrix, score
from worker.types import Floats

# Each text is a direction of its own, so an image is written as its similarities; halves keep these numbers exactly.
WORDS = ("cat", "dog", "horse", "car", "wall", "wolf", "sofa", "lamp")
AXES = {word: row.tolist() for word, row in zip(WORDS, np.eye(len(WORDS) + 1), strict=False)}

THINGS = Taxonomy(
    name="things",
    mode="multi-label",
    labels=(Label(name="cat", prompts=("cat",)), Label(name="dog", prompts=("dog",), negatives=("wolf",))),
    background=("wall",),
)
ANIMAL = Label(
    name="animal",
    prompts=(),
    children=(Label(name="dog", prompts=("dog",)), Label(name="cat", prompts=("cat",))),
    background=("horse",),
)
KINDS = Taxonomy(name="kinds", labels=(ANIMAL, Label(name="car", prompts=("car",))), background=("wall",))


def _picture(**cosines: float) -> Floats:
    rest = math.sqrt(1 - sum(cosine**2 for cosine in cosines.values()))
    return np.array([*(cosines.get(word, 0.0) for word in WORDS), rest], dtype=np.float32)


def _tags(*taxonomies: Taxonomy, **cosines: float) -> list[tuple[str, str | None, float]]:
    tagger = Tagger(taxonomies, FakeTexts(AXES), logit_scale=10.0, model="any")
    (tags,) = tagger.tag(_picture(**cosines)[np.newaxis])
    return [(tag.taxonomy, tag.label, round(tag.probability, 4)) for tag in tags]


def _labels(*taxonomies: Taxonomy, **cosines: float) -> list[str | None]:
    return [label for _, label, _ in _tags(*taxonomies, **cosines)]


# -- multi-label -------------------------------------------------------------------------------------------------------


def test_each_label_is_decided_on_its_own() -> None:
    """Cosines 0.5 and 0.5 against a background of 0.25: each has σ(2.5) = 0.9241, whatever the other has."""
    assert [("things", "cat", 0.9241), ("things", "dog", 0.9241)] == _tags(THINGS, cat=0.5, dog=0.5, wall=0.25)
    assert [("things", "cat", 0.9241)] == _tags(THINGS, cat=0.5, wall=0.25)


def test_a_label_s_own_negatives_count_for_it_alone() -> None:
    """A wolf is no dog, and takes nothing from the cat beside it."""
    assert ["cat"] == _labels(THINGS, cat=0.5, dog=0.5, wolf=0.625)


def test_the_nearer_of_background_and_negatives_is_the_rival() -> None:
    """σ(10 × (0.5 - 0.375)) = 0.7773, not against both together."""
    assert [("things", "dog", 0.7773)] == _tags(THINGS, dog=0.5, wolf=0.375, wall=0.25)


def test_no_label_is_one_abstention_with_the_nearest_numbers() -> None:
    """σ(10 × (0.25 - 0.5)) = 0.0759 is the best any label has."""
    assert [("things", None, 0.0759)] == _tags(THINGS, cat=0.25, wall=0.5)


def test_each_label_has_its_own_threshold() -> None:
    """0.9241 is enough for the cat and not for the dog."""
    strict = replace(THINGS, calibration=Calibration(threshold=0.9, thresholds={"dog": 0.93}))

    assert ["cat"] == _labels(strict, cat=0.5, dog=0.5, wall=0.25)


def test_the_margin_is_the_lead_over_the_rival() -> None:
    """0.9241 - 0.0759 = 0.8482."""
    margins = [replace(THINGS, calibration=Calibration(margin=margin)) for margin in (0.848, 0.849)]

    assert [["cat"], [None]] == [_labels(each, cat=0.5, wall=0.25) for each in margins]


def test_far_below_the_rival_is_impossible_not_an_error() -> None:
    """exp(9990) is infinite; the probability is 0."""
    tagger = Tagger((THINGS,), FakeTexts(AXES), logit_scale=10_000.0, model="any")
    (tags,) = tagger.tag(_picture(wall=0.999)[np.newaxis])

    assert [(None, 0.0)] == [(tag.label, tag.probability) for tag in tags]


# -- levels ------------------------------------------------------------------------------------------------------------


def test_a_child_implies_its_parent() -> None:
    """A dog is an animal: 1 / (1 + e⁻⁵ + e⁻⁵) = 0.9867 at the top; among animals 1 / (1 + e⁻⁵ + e⁻⁵) for the dog."""
    assert [("kinds", "animal", 0.9867), ("kinds", "dog", 0.9867)] == _tags(KINDS, dog=0.5)


def test_which_animal_may_stay_open() -> None:
    """Between cat and dog, and nearer to another animal, it is an animal and nothing more."""
    assert ["animal"] == _labels(KINDS, dog=0.5, cat=0.5)
    assert ["animal"] == _labels(KINDS, horse=0.5)


def test_a_child_is_not_looked_for_without_its_parent() -> None:
    """A wall with a little of a dog is a wall; a car is a car."""
    assert [None] == _labels(KINDS, dog=0.25, wall=0.5)
    assert ["car"] == _labels(KINDS, dog=0.25, car=0.5)


def test_a_parent_is_as_near_as_the_nearest_below_it() -> None:
    """Its own prompts, its children's, and its background; several of them do not add up."""
    (tag,) = _tags(KINDS, horse=0.5, cat=0.375, car=0.25)
    powers = np.exp([5.0, 2.5, 0.0])

    assert tag == ("kinds", "animal", round(float(powers[0] / powers.sum()), 4))


def test_children_need_their_own_threshold() -> None:
    """The parent's answer does not depend on it."""
    strict = replace(KINDS, calibration=Calibration(thresholds={"dog": 0.99}))

    assert ["animal"] == _labels(strict, dog=0.5)


def test_several_labels_can_have_children_at_once() -> None:
    """With multi-label each label that holds is refined; parents come before their children."""
    vehicle = Label(
        name="vehicle", prompts=("car",), children=(Label(name="van", prompts=("wolf",)),), background=("wall",)
    )
    both = Taxonomy(name="both", mode="multi-label", labels=(vehicle, ANIMAL), background=("sofa",))

    assert ["animal", "dog", "vehicle", "van"] == _labels(both, dog=0.5, wolf=0.5)


def test_levels_go_on_down() -> None:
    """Three of them, each only under the one before."""
    breed = replace(ANIMAL.children[0], children=(Label(name="husky", prompts=("wolf",)),), background=("lamp",))
    deep = replace(KINDS, labels=(replace(ANIMAL, children=(breed, ANIMAL.children[1])), KINDS.labels[1]))

    assert ["animal", "dog", "husky"] == _labels(deep, wolf=0.5)
    assert ["animal", "cat"] == _labels(deep, cat=0.5)


def test_a_taxonomy_of_several_labels_needs_a_tagger() -> None:
    """``score`` gives one tag per image."""
    with pytest.raises(ValueError, match="'kinds' can give an image several labels; use a Tagger"):
        score(_picture(dog=0.5)[np.newaxis], build_label_matrix(KINDS, FakeTexts(AXES)), logit_scale=1, model="any")


# -- conditions --------------------------------------------------------------------------------------------------------

BREED = Taxonomy(
    name="breed",
    labels=(Label(name="wild", prompts=("wolf",)), Label(name="tame", prompts=("horse",))),
    when=((Requirement(taxonomy="kinds", labels=("animal",)),),),
)


def test_a_taxonomy_that_does_not_apply_says_nothing() -> None:
    """No tag at all, which is not an abstention; a parent's label is enough where a child holds."""
    assert ["car"] == _labels(BREED, KINDS, car=0.5)
    assert ["wild", "animal", "dog"] == _labels(BREED, KINDS, dog=0.5, wolf=0.25)
    assert [None, "animal", "dog"] == _labels(BREED, KINDS, dog=0.5)


def test_abstention_can_be_asked_for() -> None:
    """Of a taxonomy that applied."""
    fallback = replace(BREED, when=((Requirement(taxonomy="kinds", labels=(None,)),),))

    assert [None, "wild"] == _labels(KINDS, fallback, wall=0.5, wolf=0.25)
    assert ["car"] == _labels(KINDS, fallback, car=0.5, wolf=0.25)


def test_tags_are_current_only_if_all_taxonomies_would_write_them_so() -> None:
    """Versions, and presence where a condition holds, and absence where it does not."""
    tagger = Tagger((KINDS, BREED), FakeTexts(AXES), logit_scale=10.0, model="any")
    kinds, breed = ("kinds", KINDS.version), ("breed", BREED.version)
    known: list[list[tuple[str, str, str | None]]] = [
        [(*kinds, "car")],
        [(*kinds, "animal"), (*breed, None)],
        [(*kinds, "animal")],
        [(*kinds, "car"), (*breed, "wild")],
        [("kinds", "older", "car")],
        [(*kinds, "car"), ("another", "1", "thing")],
        [],
    ]

    assert [True, True, False, False, False, True, False] == [tagger.is_current(tags) for tags in known]
