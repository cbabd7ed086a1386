"""Heads: what reviewed images move, and by how much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad

from tests.unit.tagging.reviewed_vectors import reviews
from worker.tagging.head_trials import given, probabilities
from worker.tagging.heads import LONGEST_MOVE, UNDECIDED, Problem, SigmoidLoss, SoftmaxLoss, fit, usual_penalty


def test_without_reviews_it_is_zero_shot():
    """Nothing moves, whatever the taxonomy's mode is."""
    some = reviews(12)

    for none in (some.only(np.arange(0)), reviews(0, independent=True)):
        assert not fit(none).moves.any()
    assert np.array_equal(some.base, fit(some.only(np.arange(0))).logits(some))


def test_softmax_gradient_is_that_of_its_value():
    """As finite differences have it, with a fixed rival and weights."""
    random = np.random.default_rng(0)
    loss = SoftmaxLoss(
        points=random.normal(size=(4, 9)),
        anchors=random.normal(size=(3, 9)),
        other=np.where(random.random(9) < 0.5, -np.inf, random.normal(size=9)),
        answers=random.integers(0, 3, 9),
        weights=random.random(9) + 0.5,
        penalty=random.random(4),
    )
    start = random.normal(size=12)

    assert check_grad(lambda flat: loss(flat)[0], lambda flat: loss(flat)[1], start) < 1e-5


def test_sigmoid_gradient_is_that_of_its_value():
    """As finite differences have it."""
    random = np.random.default_rng(1)
    loss = SigmoidLoss(
        points=random.normal(size=(4, 9)),
        lead=random.normal(size=9),
        answers=random.integers(0, 2, 9).astype(np.float64),
        weights=random.random(9) + 0.5,
        penalty=random.random(4),
    )
    start = random.normal(size=4)

    assert check_grad(lambda move: loss(move)[0], lambda move: loss(move)[1], start) < 1e-5


@pytest.mark.parametrize("count", [15, 80])
def test_from_no_prior_it_is_logistic_regression(count: int):
    """Scikit-learn finds the same rows where zero-shot says nothing; more or fewer images than dimensions."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    some = replace(reviews(count), base=np.zeros((count, 3), dtype=np.float32))
    oracle = linear_model.LogisticRegression(C=1 / 0.7, fit_intercept=False, tol=1e-10, max_iter=10_000)
    oracle.fit(some.vectors.astype(np.float64), some.answers)

    found = fit(some, penalty=0.7)

    assert oracle.coef_ / some.factor[0] == pytest.approx(found.moves, abs=1e-5)


def test_one_label_against_its_rival_is_binary_logistic_regression():
    """The same, label by label, of the images that it was decided about."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    some = reviews(40, independent=True)
    some = replace(some, base=np.zeros_like(some.base), other=np.zeros_like(some.other))
    found = fit(some, penalty=0.5)

    for label in range(some.labels):
        decided = some.answers[:, label] != UNDECIDED
        oracle = linear_model.LogisticRegression(C=2, fit_intercept=False, tol=1e-10, max_iter=10_000)
        oracle.fit(some.vectors[decided].astype(np.float64), some.answers[decided, label])
        assert oracle.coef_[0] / some.factor[0] == pytest.approx(found.moves[label], abs=1e-5)


def test_the_same_reviews_give_the_same_head():
    """Bit for bit."""
    assert np.array_equal(fit(reviews(30)).moves, fit(reviews(30)).moves)


def test_the_unit_of_weights_does_not_matter():
    """Only their ratios do."""
    some = reviews(30)
    weights = np.linspace(1, 3, 30, dtype=np.float32)

    one, other = (fit(replace(some, weights=weights * times)).moves for times in (1, 1000))

    assert one == pytest.approx(other, abs=1e-6)
    assert not np.allclose(one, fit(some).moves, atol=1e-4)


def test_each_image_has_its_own_factor():
    """As with neutral prompts: logits are what the moved rows give by each image's own factor."""
    some = reviews(30)
    factor = np.linspace(5, 40, 30, dtype=np.float32)
    cosines = some.base / some.factor[:, None]
    some = replace(some, factor=factor, base=factor[:, None] * cosines, relative=True)

    found = fit(some)

    assert factor[:, None] * (cosines + some.vectors @ found.moves.T) == pytest.approx(found.logits(some), abs=1e-4)
    assert (given(some, found.logits(some)) == some.answers).mean() > (given(some, some.base) == some.answers).mean()


def test_images_without_a_factor_are_no_obstacle():
    """An image to which all neutral prompts are equally near teaches nothing."""
    some = reviews(30)
    factor = some.factor.copy()
    factor[:5] = 0

    assert np.isfinite(fit(replace(some, factor=factor)).moves).all()


def test_none_of_these_pulls_towards_the_fixed_rival():
    """With a background, such answers keep labels below it."""
    some = reviews(30)
    some = replace(
        some,
        other=np.full(30, some.base.max() - 1, dtype=np.float32),
        answers=np.where(np.arange(30) < 10, 3, some.answers),
    )

    right = (given(some, fit(some).logits(some)) == some.answers).mean()

    assert not fit(some).with_none
    assert right > (given(some, some.base) == some.answers).mean()


def test_none_of_these_becomes_a_row_without_a_rival():
    """From four such answers on; it starts in the middle of the labels."""
    some = reviews(45, none=12)
    with_none = replace(some, anchor=some.base.mean(axis=1))
    found = fit(with_none)

    assert found.with_none
    assert (4, some.vectors.shape[1]) == found.moves.shape
    assert (given(with_none, found.logits(with_none))[:12] == 3).mean() > 0.5


def test_too_few_without_a_label_teach_nothing():
    """Three answers are ignored, and no other image's answer is lost by that."""
    some = reviews(30)
    answers = some.answers.copy()
    answers[:3] = 3
    few = replace(some, answers=answers, anchor=some.base.mean(axis=1))

    assert not fit(few).with_none
    assert fit(few, penalty=1).moves == pytest.approx(fit(some.only(np.arange(3, 30)), penalty=1).moves, abs=1e-5)


def test_rows_do_not_move_too_far():
    """The penalty is raised until sums of products stay exact."""
    some = reviews(60)
    small = replace(some, factor=np.full(60, 0.5, dtype=np.float32), base=(some.base / 40).astype(np.float32))

    found = fit(small)

    assert np.linalg.norm(found.moves, axis=1).max() <= LONGEST_MOVE
    assert found.penalty > usual_penalty(60)


@pytest.mark.parametrize(("decisions", "penalty"), [(0, 1.0), (99, 1.0), (100, 0.3), (5000, 0.3)])
def test_many_reviews_are_held_less(decisions: int, penalty: float):
    """The strength depends on their number alone."""
    assert penalty == usual_penalty(decisions)


def test_part_of_a_problem_is_the_problem_of_a_part():
    """Folds are fitted in the coordinates of all reviews, which changes nothing."""
    some = reviews(40)
    part = np.arange(0, 40, 2)

    whole = fit(some.only(part), penalty=1).moves

    assert whole == pytest.approx(Problem(some).fit(part, penalty=1).moves, abs=2e-5)


def test_probabilities_are_those_of_the_deciding_code():
    """Softmax among labels and rival; a sigmoid against the strongest rival; a sigmoid against the fixed one."""
    some = reviews(5)
    rival = np.full(5, 1, dtype=np.float32)
    logits = np.array([[3, 1, 0]] * 5, dtype=np.float32)
    alone = reviews(5, independent=True)

    exclusive = probabilities(replace(some, other=rival), logits)[0]
    relative = probabilities(replace(some, other=rival, relative=True), logits)[0]
    independent = probabilities(replace(alone, other=np.full((5, 3), 1, dtype=np.float32)), logits)[0]

    powers = np.exp([3, 1, 0, 1])
    assert powers[:3] / powers.sum() == pytest.approx(exclusive)
    assert 1 / (1 + np.exp([-2, 2, 3])) == pytest.approx(relative)
    assert 1 / (1 + np.exp([-2, 0, 1])) == pytest.approx(independent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factor": np.ones(3, dtype=np.float32)}, "factor must have shape"),
        ({"weights": np.zeros(30, dtype=np.float32)}, "weights must be positive"),
        ({"base": np.full((30, 3), np.nan, dtype=np.float32)}, "base holds numbers that are not finite"),
    ],
)
def test_wrong_arrays_are_refused(change: dict[str, np.ndarray], message: str):
    """Before anything is learned from them."""
    with pytest.raises(ValueError, match=message):
        fit(replace(reviews(30), **change))  # type: ignore[arg-type]


def test_zero_shot_that_is_wrong_and_sure_gives_way():
    """Ten times sharper logits move rows about as far, relative to what they change."""
    some = reviews(60)
    sure = replace(some, base=some.base * 10, factor=some.factor * 10)

    right = [(given(each, fit(each).logits(each)) == some.answers).mean() for each in (some, sure)]

    assert right[0] > (given(some, some.base) == some.answers).mean()
    assert right[1] >= right[0] - 0.05
