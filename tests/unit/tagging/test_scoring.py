"""From vectors to tags: the rule by hand-calculated examples, and what must hold for any numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.tagging.fake_texts import DIMENSION, FakeTexts, images
from worker.errors import SpaceMismatchError
from worker.tagging import Calibration, Label, Taxonomy, build_label_matrix, probabilities, score
from worker.types import Floats, Tag

# Orthogonal directions make cosines readable: an image's coordinates are its similarities. Nothing is named after the
# last one: it takes up what is missing to unit length, so that the others can be numbers that halves keep exactly.
AXES = {name: row.tolist() for name, row in zip(("sunny", "dark", "page", "noise"), np.eye(5), strict=False)}
LIGHT = Taxonomy(
    name="light",
    labels=(Label(name="night", prompts=("dark",)), Label(name="day", prompts=("sunny",))),
    background=("page", "noise"),
    calibration=Calibration(threshold=0.5, margin=0.0),
)


def _picture(*cosines: float) -> Floats:
    """A unit vector with these similarities to the axes."""
    return np.array([*cosines, math.sqrt(1 - sum(cosine**2 for cosine in cosines))], dtype=np.float32)


def _tag(taxonomy: Taxonomy, *row: float, logit_scale: float = 10.0, model: str = "any") -> Tag:
    matrix = build_label_matrix(taxonomy, FakeTexts(AXES))
    (tag,) = score(_picture(*row)[np.newaxis], matrix, logit_scale=logit_scale, model=model)
    return tag


def _labels(taxonomy: Taxonomy, vectors: Floats, *, logit_scale: float = 20.0) -> list[str | None]:
    matrix = build_label_matrix(taxonomy, FakeTexts())
    return [tag.label for tag in score(vectors, matrix, logit_scale=logit_scale, model="any")]


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_a_clear_picture_gets_its_label() -> None:
    """Cosines 0.75 day, 0.5 night, 0 background; logits 7.5, 5, 0; softmax 1 / (1 + e⁻²·⁵ + e⁻⁷·⁵) = 0.92367."""
    tag = _tag(LIGHT, 0.75, 0.5, 0, 0)
    expected = Tag(taxonomy="light", version=LIGHT.version, label="day", score=0.75, probability=0.92367)

    assert expected == replace(tag, score=round(tag.score, 5), probability=round(tag.probability, 5))


def test_a_background_prompt_that_is_nearer_than_any_label_means_none_of_these() -> None:
    """Cosines 0.5 day, 0.75 background; the best label is still reported, e⁻²·⁵ / (1 + e⁻²·⁵ + e⁻⁷·⁵) = 0.07582."""
    tag = _tag(replace(LIGHT, calibration=Calibration(threshold=0.0)), 0.5, 0, 0.75, 0)

    assert tag.label is None
    assert 0.5 == tag.score
    assert tag.probability == pytest.approx(0.07582, abs=1e-5)


def test_the_background_is_as_near_as_its_nearest_prompt() -> None:
    """More background prompts crowd out no label: they are one candidate (softmax of 7.5, 5, 0, and no fourth)."""
    matrix = build_label_matrix(LIGHT, FakeTexts(AXES))
    chances = probabilities(_picture(0.75, 0.5, 0, 0)[np.newaxis], matrix, logit_scale=10, model="any")
    powers = np.exp([7.5, 5.0, 0.0])

    assert ("day", "night") == matrix.labels
    np.testing.assert_allclose(chances, [powers / powers.sum()], rtol=1e-5)


def test_a_probability_below_the_threshold_means_none_of_these() -> None:
    """0.92367 reaches 0.923 and not 0.924."""
    labels = [
        _tag(replace(LIGHT, calibration=Calibration(threshold=threshold)), 0.75, 0.5, 0, 0).label
        for threshold in (0.923, 0.924)
    ]

    assert ["day", None] == labels


def test_a_lead_below_the_margin_means_none_of_these() -> None:
    """0.92367 - 0.07582 = 0.84785 reaches 0.847 and not 0.848."""
    labels = [
        _tag(replace(LIGHT, calibration=Calibration(margin=margin)), 0.75, 0.5, 0, 0).label for margin in (0.847, 0.848)
    ]

    assert ["day", None] == labels


def test_threshold_and_margin_include_their_own_value() -> None:
    """Certainty satisfies a threshold and a margin of one."""
    taxonomy = replace(LIGHT, calibration=Calibration(threshold=1.0, margin=1.0))

    assert "day" == _tag(taxonomy, 0.75, 0.5, 0, 0, logit_scale=1000.0).label


def test_a_tie_is_not_guessed() -> None:
    """Equal probabilities are no reason for either, even where threshold and margin allow it."""
    tag = _tag(replace(LIGHT, calibration=Calibration(threshold=0.0, margin=0.0)), 0.5, 0.5, 0, 0)

    assert tag.label is None
    assert tag.probability == pytest.approx(1 / (2 + math.exp(-5)))


def test_temperature_divides_the_logit_scale() -> None:
    """Scale 10 at temperature 2 is scale 5: 1 / (1 + e⁻¹·²⁵ + e⁻³·⁷⁵) = 0.76334."""
    tag = _tag(replace(LIGHT, calibration=Calibration(temperature=2.0)), 0.75, 0.5, 0, 0)

    assert tag.probability == pytest.approx(0.76334, abs=2e-5)


def test_a_model_s_own_calibration_is_used_for_it_alone() -> None:
    """The same picture is tagged for one model and not for another."""
    taxonomy = replace(LIGHT, models={"strict/model": Calibration(threshold=0.99)})

    assert _tag(taxonomy, 0.75, 0.5, 0, 0, model="strict/model").label is None
    assert "day" == _tag(taxonomy, 0.75, 0.5, 0, 0, model="other/model").label


def test_max_lets_the_nearest_prompt_decide() -> None:
    """A label of two unlike prompts: the mean is √½ = 0.71 near each of them, the nearest is 1."""
    labels = (Label(name="both", prompts=("sunny", "dark")), Label(name="page", prompts=("page",)))
    taxonomy = Taxonomy(name="x", labels=labels)
    scores = [_tag(replace(taxonomy, aggregate=aggregate), 1, 0, 0, 0).score for aggregate in ("mean", "max")]

    assert scores == pytest.approx([math.sqrt(0.5), 1.0], abs=1e-6)


def test_one_label_against_a_background_is_a_yes_or_no_question() -> None:
    """Anything like the label gets it; anything like the background does not."""
    taxonomy = replace(LIGHT, labels=LIGHT.labels[1:])

    assert ["day", None] == [_tag(taxonomy, 0.75, 0, 0.25, 0).label, _tag(taxonomy, 0.25, 0, 0.75, 0).label]


def test_softmax_is_the_posterior_of_independent_sigmoids_given_exactly_one() -> None:
    """SigLIP's judgements, conditioned by enumeration, whatever the bias: what the module's docstring claims."""
    matrix = build_label_matrix(replace(LIGHT, background=("page",)), FakeTexts(AXES))
    cosines = _picture(0.3125, 0.1875, 0.25, 0)
    chances = probabilities(cosines[np.newaxis], matrix, logit_scale=20.0, model="any")[0]
    for bias in (-16.0, 0.0):
        judged = 1 / (1 + np.exp(-(20.0 * cosines[:3].astype(np.float64) + bias)))
        exactly_one = [judged[i] * np.prod(np.delete(1 - judged, i)) for i in range(3)]

        np.testing.assert_allclose(chances, exactly_one / np.sum(exactly_one), rtol=1e-5)


def test_large_logit_scales_do_not_overflow() -> None:
    """exp(1000) is infinite; the shifted softmax never sees it."""
    assert 1.0 == _tag(LIGHT, 0.75, 0.5, 0, 0, logit_scale=1000.0).probability


# -- what callers get wrong --------------------------------------------------------------------------------------------


def test_no_images_have_no_tags() -> None:
    """An empty batch is not an error."""
    assert [] == _labels(LIGHT, np.empty((0, DIMENSION), dtype=np.float32))


def test_vectors_of_another_model_are_refused() -> None:
    """Another dimension is another space."""
    with pytest.raises(SpaceMismatchError, match=r"of dimension 5, the labels of 16: they are of different models"):
        _labels(LIGHT, images(3, dimension=5))


def test_a_single_vector_must_be_a_row() -> None:
    """Shape [d] is ambiguous."""
    with pytest.raises(ValueError, match=r"must be a matrix \[n, d\], not of shape \(16,\)"):
        _labels(LIGHT, images(1)[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_are_named_and_not_tagged(value: float) -> None:
    """A NaN compares false with everything and would quietly become none of these."""
    vectors = images(5)
    vectors[3, 2] = value

    with pytest.raises(ValueError, match="1 vectors are not finite, first at row 3"):
        _labels(LIGHT, vectors)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_logit_scale_that_is_no_scale_is_refused(scale: float) -> None:
    """A logarithm passed by mistake is often caught here."""
    with pytest.raises(ValueError, match="logit_scale must be a positive number"):
        _labels(LIGHT, images(1), logit_scale=scale)


# -- for any numbers ---------------------------------------------------------------------------------------------------

_words = st.text("abcdefgh", min_size=1, max_size=6)


@st.composite
def taxonomies(draw: st.DrawFn) -> Taxonomy:
    """Two to six labels with prompts of their own, some background, any calibration."""
    names = draw(st.lists(_words, min_size=2, max_size=6, unique=True))
    return Taxonomy(
        name="any",
        labels=tuple(
            Label(name=name, prompts=tuple(f"{name} {number}" for number in range(draw(st.integers(1, 3)))))
            for name in names
        ),
        templates=draw(st.sampled_from([("{}",), ("{}", "a photo of {}")])),
        aggregate=draw(st.sampled_from(["mean", "max"])),
        background=tuple(f"nothing {number}" for number in range(draw(st.integers(0, 3)))),
        calibration=Calibration(
            threshold=draw(st.floats(0, 1)), margin=draw(st.floats(0, 1)), temperature=draw(st.floats(0.1, 10))
        ),
    )


_batches = st.builds(images, st.integers(1, 8), st.integers(0, 1000))
_quick = settings(max_examples=60, deadline=None)


@given(taxonomies(), _batches)
@_quick
def test_probabilities_are_probabilities(taxonomy: Taxonomy, vectors: Floats) -> None:
    """One column per candidate, none negative, each row summing to one."""
    matrix = build_label_matrix(taxonomy, FakeTexts())
    chances = probabilities(vectors, matrix, logit_scale=20, model="any")

    assert chances.shape == (len(vectors), len(taxonomy.labels) + bool(taxonomy.background))
    assert chances.min() >= 0
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)


@given(taxonomies(), _batches, st.randoms())
@_quick
def test_the_order_of_anything_changes_nothing(taxonomy: Taxonomy, vectors: Floats, random: Any) -> None:
    """Shuffled labels, prompts, templates and background give exactly the same tags."""

    def shuffled(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(values, len(values)))

    other = replace(
        taxonomy,
        labels=shuffled(tuple(replace(label, prompts=shuffled(label.prompts)) for label in taxonomy.labels)),
        templates=shuffled(taxonomy.templates),
        background=shuffled(taxonomy.background),
    )
    tags = [
        score(vectors, build_label_matrix(each, FakeTexts()), logit_scale=20, model="any") for each in (taxonomy, other)
    ]

    assert tags[0] == tags[1]


@given(taxonomies(), _batches, st.floats(0, 1), st.sampled_from(["threshold", "margin"]))
@_quick
def test_asking_for_more_never_adds_a_tag(taxonomy: Taxonomy, vectors: Floats, higher: float, field: str) -> None:
    """A higher threshold or margin withdraws tags or keeps them, and changes none into another."""
    before = taxonomy.calibration
    raised = replace(taxonomy, calibration=replace(before, **{field: max(higher, getattr(before, field))}))

    assert all(
        now in {then, None} for then, now in zip(_labels(taxonomy, vectors), _labels(raised, vectors), strict=True)
    )


@given(taxonomies(), _batches)
@_quick
def test_more_background_never_adds_a_tag(taxonomy: Taxonomy, vectors: Floats) -> None:
    """A background prompt can only take probability and tags away."""
    lenient = replace(taxonomy, calibration=Calibration(threshold=0.0))
    more = replace(lenient, background=(*taxonomy.background, "something else"))
    matrices = [build_label_matrix(each, FakeTexts()) for each in (lenient, more)]
    then, now = (score(vectors, matrix, logit_scale=20, model="any") for matrix in matrices)

    assert all(after.label in {before.label, None} for before, after in zip(then, now, strict=True))
    assert all(after.probability <= before.probability + 1e-6 for before, after in zip(then, now, strict=True))


@given(taxonomies(), _batches)
@_quick
def test_a_tag_keeps_what_the_calibration_promises(taxonomy: Taxonomy, vectors: Floats) -> None:
    """Tagged exactly where the best label leads, by the margin, with the threshold; its score is its cosine."""
    matrix = build_label_matrix(taxonomy, FakeTexts())
    chances = probabilities(vectors, matrix, logit_scale=20, model="any")
    tags = score(vectors, matrix, logit_scale=20, model="any")
    count, calibration = len(matrix.labels), taxonomy.calibration
    for row, tag in zip(chances, tags, strict=True):
        best = int(row[:count].argmax())
        lead = row[best] - np.delete(row, best).max()
        sure = lead > 0 and lead >= np.float32(calibration.margin) and row[best] >= np.float32(calibration.threshold)

        assert tag.label == (matrix.labels[best] if sure else None)
        assert tag.probability == pytest.approx(float(row[best]), abs=1e-6)
        assert -1.0001 <= tag.score <= 1.0001
