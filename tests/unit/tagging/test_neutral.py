"""Labels relative to neutral prompts: what decides for models that a taxonomy has no numbers for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tagging.fake_texts import FakeTexts, images, vector
from worker.errors import TaxonomyError
from worker.tagging import (
    Calibration,
    Label,
    LabelReason,
    Tagger,
    Taxonomy,
    build_label_matrix,
    definition,
    edits,
    neutral,
    restore,
    score,
)
from worker.tagging.neutral import Yardstick, yardstick
from worker.tagging.scoring import decide, rule
from worker.types import Floats

CAT_OR_DOG = Taxonomy(
    name="pet",
    labels=(Label(name="cat", prompts=("cat",)), Label(name="dog", prompts=("dog",))),
    neutral=neutral.EDITION,
)
PETS = replace(CAT_OR_DOG, mode="multi-label")
#: Cosines of neutral prompts with mean 0.2 and standard deviation 0.02, the nearest at 0.22: the level is 0.2466.
USUAL = np.array([[0.18], [0.22]], dtype=np.float32)


def _decided(
    cosines: Sequence[float], taxonomy: Taxonomy = CAT_OR_DOG, among: Floats = USUAL
) -> tuple[list[str | None], float]:
    """The labels, and the probability of the first."""
    by = rule(build_label_matrix(taxonomy, FakeTexts()), logit_scale=100.0, model="any")
    found = decide(np.array([cosines], dtype=np.float32).T, by, known=yardstick(among)).tags(1)[0]
    return [tag.label for tag in found], found[0].probability


def _reason(cosines: Sequence[float], taxonomy: Taxonomy = CAT_OR_DOG, among: Floats = USUAL) -> LabelReason:
    by = rule(build_label_matrix(taxonomy, FakeTexts()), logit_scale=100.0, model="any")
    decided = decide(np.array([cosines], dtype=np.float32).T, by, known=yardstick(among))
    (reason,) = decided.abstentions()
    return reason


def test_a_label_must_be_above_the_neutral_level() -> None:
    """2.33 standard deviations above the mean, without a background, and with no other label in the way."""
    assert ["cat"] == _decided([0.25, 0.1])[0]
    assert [None] == _decided([0.245, 0.1])[0]
    assert LabelReason.BELOW_NEUTRAL is _reason([0.245, 0.1])


def test_a_neutral_prompt_may_be_ahead_of_a_label_but_not_far() -> None:
    """By one standard deviation: ninety-eight at 0.2 and two at 0.3 have one of 0.014, and so the level is at 0.286."""
    prompts = np.full((100, 1), 0.2, dtype=np.float32)
    prompts[:2] = 0.3

    assert ["cat"] == _decided([0.29, 0.1], among=prompts)[0]
    assert [None] == _decided([0.28, 0.1], among=prompts)[0]


def test_the_probability_is_that_against_the_strongest_rival() -> None:
    """One standard deviation ahead of the level, or of the other label: σ(2) = 0.881."""
    assert 0.881 == pytest.approx(_decided([0.2666, 0.1])[1], abs=0.001)
    assert 0.881 == pytest.approx(_decided([0.32, 0.3])[1], abs=0.001)


def test_the_reasons_are_told_apart() -> None:
    """What it was that no label was ahead of, or was ahead of by too little."""
    cautious = replace(CAT_OR_DOG, calibration=Calibration(threshold=0.9))
    wide = replace(CAT_OR_DOG, calibration=Calibration(margin=0.9))
    walled = replace(CAT_OR_DOG, background=("wall",))

    assert LabelReason.TIE is _reason([0.3, 0.3])
    assert LabelReason.BELOW_THRESHOLD is _reason([0.3, 0.29], cautious)
    assert LabelReason.MARGIN_TOO_SMALL is _reason([0.3, 0.28], wide)
    assert LabelReason.BACKGROUND_NEARER is _reason([0.25, 0.1, 0.3], walled)


def test_a_background_does_not_eat_everything() -> None:
    """It may be ahead of a label by a standard deviation, as neutral prompts may."""
    walled = replace(CAT_OR_DOG, background=("wall",))

    assert ["cat"] == _decided([0.29, 0.1, 0.3], walled)[0]
    assert [None] == _decided([0.27, 0.1, 0.3], walled)[0]


def test_several_labels_may_hold_each_by_itself() -> None:
    """None of them needs a background, and what a label is not counts in full."""
    strict = replace(PETS, labels=(replace(PETS.labels[0], negatives=("toy",)), PETS.labels[1]))

    assert ["cat", "dog"] == _decided([0.3, 0.29], PETS)[0]
    assert ["dog"] == _decided([0.3, 0.29, 0.31], strict)[0]


@given(st.floats(0.01, 3.0), st.floats(-0.2, 0.2))
@settings(max_examples=50)
def test_the_scale_of_a_model_does_not_matter(scale: float, shift: float) -> None:
    """Cosines of another model may be squeezed and shifted, and decide the same."""
    drawn = np.random.default_rng(3).normal(0.0, 0.08, size=(42, 60)).astype(np.float32)
    by = rule(build_label_matrix(CAT_OR_DOG, FakeTexts()), logit_scale=100.0, model="any")
    moved = (drawn * np.float32(scale) + np.float32(shift)).astype(np.float32)
    before = decide(drawn[:2] * 2, by, known=yardstick(drawn[2:]))
    after = decide(
        (drawn[:2] * 2 * np.float32(scale) + np.float32(shift)).astype(np.float32), by, known=yardstick(moved[2:])
    )
    sure = np.abs(before.probability - 0.5) > 0.01

    assert before.label[sure].tolist() == after.label[sure].tolist()


def test_an_encoder_that_tells_nothing_apart_gives_nothing() -> None:
    """If all neutral prompts are equally near, there is no scale, and no label is ahead."""
    assert [None] == _decided([0.9, 0.1], among=np.full((9, 1), 0.2, dtype=np.float32))[0]


def test_a_yardstick_depends_on_the_image_alone() -> None:
    """To the last bit, whatever the batch."""
    cosines = np.random.default_rng(1).normal(0.1, 0.05, size=(len(neutral.PROMPTS), 77)).astype(np.float32)
    whole = yardstick(cosines)
    for start, end in ((0, 1), (5, 6), (3, 20), (60, 77)):
        part = yardstick(np.ascontiguousarray(cosines[:, start:end]))
        for name in ("mean", "deviation", "nearest"):
            assert getattr(whole, name)[start:end].tolist() == getattr(part, name).tolist()


def test_a_model_with_numbers_of_its_own_is_not_judged_by_them() -> None:
    """Its decisions are what they were before there were neutral prompts."""
    plain = replace(CAT_OR_DOG, neutral="", models={"any": Calibration(threshold=0.6)})
    vectors = images(40)
    new, old = (
        Tagger((each,), FakeTexts(), logit_scale=15.0, model="any").decide(vectors)[0]
        for each in (replace(plain, neutral=neutral.EDITION), plain)
    )

    assert old.label.tolist() == new.label.tolist()
    assert old.probability.tolist() == new.probability.tolist()


def test_neutral_prompts_go_into_the_templates_of_the_taxonomy() -> None:
    """Of the model: a template moves all texts, and what matters is how labels differ from the others."""
    texts = FakeTexts()
    Tagger((replace(CAT_OR_DOG, templates=("a photo of {}.",)),), texts, logit_scale=1.0, model="any")

    assert {f"a photo of {each}." for each in neutral.PROMPTS} <= set(texts.calls[0])


def test_taxonomies_with_the_same_templates_share_their_neutral_prompts() -> None:
    """They are compared with an image once."""
    one, other = (build_label_matrix(each, FakeTexts()) for each in (CAT_OR_DOG, PETS))
    tagger = Tagger((CAT_OR_DOG, replace(PETS, name="pets")), FakeTexts(), logit_scale=1.0, model="any")
    (first, known), (second, also) = tagger.compare(images(3))

    assert known is also
    assert (len(one.rows), len(other.rows)) == (len(first), len(second))
    assert isinstance(known, Yardstick)


def test_a_matrix_built_for_another_model_is_refused() -> None:
    """It may lack the neutral prompts."""
    taxonomy = replace(CAT_OR_DOG, models={"starter": Calibration()})
    matrix = build_label_matrix(taxonomy, FakeTexts(), model="starter")
    with pytest.raises(ValueError, match="has no neutral prompts; build it for model 'any'"):
        score(images(1), matrix, logit_scale=1.0, model="any")


def test_what_an_older_release_stored_decides_as_it_did() -> None:
    """Its version says so, and stays; the files' is another, so that a plan shows the difference."""
    kept = json.loads(json.dumps(definition(replace(CAT_OR_DOG, neutral=""))))
    del kept["neutral"]
    old = restore(kept, version=replace(CAT_OR_DOG, neutral="").version)

    assert not old.is_relative_for("any")
    assert old.version != CAT_OR_DOG.version
    assert [
        "neutral prompts: models without numbers of their own are now judged by edition " + neutral.EDITION
    ] == edits(kept, definition(CAT_OR_DOG))


def test_another_edition_of_the_prompts_is_refused() -> None:
    """Its tags would not be those that were stored."""
    other = replace(CAT_OR_DOG, neutral="0123456789abcdef")
    with pytest.raises(TaxonomyError, match="stored by another release"):
        restore(json.loads(json.dumps(definition(other))), version=other.version)


def test_the_prompts_are_those_of_the_measurements() -> None:
    """Whoever changes a prompt or a number changes the version of every taxonomy: see docs/decisions/0039."""
    assert "28664c6ce1300bb6" == neutral.EDITION
    assert len(set(neutral.PROMPTS)) == len(neutral.PROMPTS)


def _encode(texts: Sequence[str]) -> Floats:
    return np.stack([vector(text, 384) for text in texts])
