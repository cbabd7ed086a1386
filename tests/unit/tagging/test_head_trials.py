"""Whether a head is better than zero-shot: folds, the sign test, the learning curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from tests.unit.tagging.reviewed_vectors import reviews
from worker.tagging.head_trials import (
    SignTest,
    cross_validated,
    further_reviews,
    grouped_folds,
    needed_wins,
    p_value,
)
from worker.tagging.heads import UNDECIDED


@pytest.mark.parametrize(
    ("won", "lost", "passed"),
    [
        *((5, 0, True), (7, 1, True), (9, 2, True), (10, 3, True)),
        *((4, 0, False), (6, 1, False), (8, 2, False), (9, 3, False), (0, 0, False), (3, 8, False)),
    ],
)
def test_sign_test_table(won: int, lost: int, passed: bool):
    """5:0, 7:1, 9:2 and 10:3 are the least that pass."""
    assert passed == SignTest(won=won, lost=lost).passed


def test_p_is_the_chance_of_so_many_heads_or_more():
    """The numbers of the study."""
    assert p_value(17, 2) == pytest.approx(0.00036, abs=1e-5)
    assert 0.125 == p_value(3, 0)
    assert 1 == p_value(0, 0)


def test_a_person_may_promote_a_lead_of_two():
    """Not of one, and not a head that lost more."""
    assert [False, True, True, False] == [
        SignTest(won=won, lost=lost).promotable for won, lost in [(1, 0), (2, 0), (9, 7), (0, 2)]
    ]


def test_what_would_do_is_said():
    """With no further loss, and with one more."""
    assert "won 3, lost 0; 5:0 or 7:1 would do" == str(SignTest(won=3, lost=0))
    assert "won 6, lost 2; 9:2 or 10:3 would do" == str(SignTest(won=6, lost=2))
    assert "won 17, lost 2 (p 0.00036)" == str(SignTest(won=17, lost=2))


@for_all(st.integers(0, 60))
def test_needed_wins_are_the_fewest(lost: int):
    """One fewer does not pass."""
    won = needed_wins(lost)

    assert SignTest(won=won, lost=lost).passed
    assert not SignTest(won=won - 1, lost=lost).passed


def test_further_reviews_are_forecast_at_the_rates_seen():
    """3:0 among 40 needs 5:0, which 27 more give; nothing is said of a head that is not ahead, or hardly."""
    assert 27 == further_reviews(SignTest(won=3, lost=0), 40)
    assert 0 == further_reviews(SignTest(won=5, lost=0), 40)
    assert further_reviews(SignTest(won=2, lost=2), 40) is None
    assert further_reviews(SignTest(won=50, lost=49), 100) is None


@for_all(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=2, max_size=60), st.integers(0, 5))
def test_folds_keep_groups_together(rows: list[tuple[int, int]], seed: int):
    """Each group is in one fold, all folds have one, and the folds are the same for the same seed."""
    strata, groups = (np.array(column) for column in zip(*rows, strict=True))
    if len(set(groups)) < 2:
        return

    folds = grouped_folds(strata, groups, np.random.default_rng(seed))

    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    assert set(range(min(5, len(set(groups))))) == set(folds)
    assert np.array_equal(folds, grouped_folds(strata, groups, np.random.default_rng(seed)))


def test_folds_share_out_rare_answers():
    """Five images of a rare answer among fifty are one to a fold."""
    strata = (np.arange(50) < 5).astype(int)
    folds = grouped_folds(strata, np.arange(50), np.random.default_rng(0))

    assert [1] * 5 == np.bincount(folds[:5]).tolist()
    assert [10] * 5 == np.bincount(folds).tolist()


def test_one_scene_cannot_be_validated():
    """There is nothing to leave out."""
    with pytest.raises(ValueError, match="near-duplicates of each other"):
        cross_validated(replace(reviews(10), clusters=np.zeros(10, dtype=np.intp)), seed=0)


def test_a_head_that_is_better_wins():
    """Images that zero-shot answers wrongly are answered rightly by heads that never saw them."""
    trial = cross_validated(reviews(60), seed=0)

    assert trial.test.passed
    assert trial.accuracy[1] > trial.accuracy[0]
    assert [15, 30, 60] == [point.reviews for point in trial.curve]
    assert 60 == trial.judged
    assert 0 == trial.more


def test_the_same_seed_gives_the_same_trial():
    """Logits bit for bit, and the curve."""
    one, other = (cross_validated(reviews(30), seed=7) for _ in range(2))

    assert np.array_equal(one.logits, other.logits)
    assert one.curve == other.curve


def test_random_answers_teach_nothing():
    """A head that was learned from shuffled answers is hardly ever promoted: at most one time in twenty."""
    promoted = 0
    for seed in range(40):
        some = reviews(40, seed=seed)
        some = replace(some, answers=np.random.default_rng(seed).permutation(some.answers))
        promoted += cross_validated(some, seed=seed, curve=False).test.passed

    assert promoted <= 2


def test_near_duplicates_count_once():
    """A scene is won or lost as a whole, and is judged by a head that saw none of it."""
    some = reviews(60)
    tripled = some.only(np.repeat(np.arange(60), 3))

    once, thrice = (cross_validated(each, seed=0) for each in (some, tripled))

    assert 60 == thrice.judged
    assert thrice.test.won <= once.test.won + 5
    assert thrice.test.won + thrice.test.lost <= 60


def test_picked_images_train_but_do_not_judge():
    """Half of the images count; with none of them there is no number at all."""
    some = reviews(60)
    half = cross_validated(replace(some, judges=np.arange(60) < 30), seed=0)
    none = cross_validated(replace(some, judges=np.zeros(60, dtype=bool)), seed=0)

    assert 30 == half.judged
    assert np.array_equal(half.logits, none.logits)
    assert (0, 0, 0) == (none.judged, none.test.won, none.test.lost)
    assert np.isnan(none.accuracy).all()


def test_labels_that_do_not_compete_are_judged_image_by_image():
    """An image is won where more of its decided labels are right than before; undecided ones say nothing."""
    some = reviews(90, independent=True)

    trial = cross_validated(some, seed=0)

    assert trial.test.won > trial.test.lost
    assert trial.test.won + trial.test.lost <= 90
    nothing = replace(some, answers=np.full_like(some.answers, UNDECIDED))
    assert SignTest(won=0, lost=0) == cross_validated(nothing, seed=0).test
