"""Thresholds that prove a precision: the exact test, and how often it is wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from worker.pipeline.evaluation.certify import ThresholdTest, certify, least, lower_bound, starts
from worker.pipeline.review.sampling import clusters, share
from worker.types import Floats

SEEDS = 1_000
TARGET, DELTA = 0.95, 0.05
#: Of ``SEEDS`` runs, in what share a false proof is still chance.
_MOST_FALSE = 0.065


def reviewed(
    count: int, precision: Callable[[Floats], np.ndarray], random: np.random.Generator
) -> tuple[Floats, np.ndarray]:
    chances = random.random(count, dtype=np.float32)
    return chances, random.random(count) < precision(chances)


def flat(precision: float) -> Callable[[Floats], np.ndarray]:
    """Whatever the probability is."""
    return lambda chances: np.full(len(chances), precision)


def sloped(chances: Floats) -> np.ndarray:
    """From .9 to 1: among the images above a probability of t, (1.9 + .1 t) / 2 are right."""
    return 0.9 + 0.1 * chances


def is_false(found: ThresholdTest, precision_above: Callable[[float], float]) -> bool:
    return found.threshold is not None and precision_above(found.threshold) < found.target - 1e-9


def clean(count: int, wrong: int = 0) -> ThresholdTest:
    """``wrong`` errors at the lowest probabilities."""
    right = np.arange(count) < count - wrong
    return certify(np.linspace(0.99, 0.4, count), right, target=TARGET, delta=DELTA)


# -- the test ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("target", "delta", "count"), [(0.9, 0.05, 29), (0.95, 0.05, 59), (0.98, 0.05, 149), (0.95, 0.025, 72)]
)
def test_so_many_without_a_mistake_are_the_least(target, delta, count):
    """One fewer proves nothing."""
    assert count == least(target, delta)
    assert target**count <= delta < target ** (count - 1)


def test_all_are_accepted_from_the_least_on():
    """With 58 nothing is proven, with 59 the whole range is."""
    assert (False, True) == (clean(58).is_proven, clean(59).is_proven)
    found = clean(59)
    assert (59, 59, 0, 1.0) == (found.reviewed, found.accepted, found.errors, found.coverage)
    assert 0.4 == found.threshold
    assert found.lower_bound is not None
    assert found.lower_bound >= TARGET


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (1, [1]),
        (71, [71]),
        (72, [72, 72]),
        (143, [72, 143]),
        (160, [80, 160, 160]),
        (500, [86, 172, 344, 500]),
    ],
)
def test_sequences_start_at_everything_and_at_doublings(count, expected):
    """As many as fit, each with the same share of the error probability."""
    assert expected == starts(count, TARGET, DELTA).tolist()


def test_errors_at_low_probabilities_are_left_out():
    """The strict start goes on until its first failure."""
    found = clean(200, wrong=60)
    assert found.is_proven
    assert (140, True) == (found.accepted - found.errors, 0 < found.errors <= 3)
    assert 60 == found.wrong


def test_an_early_error_does_not_end_it():
    """A second start lies behind it."""
    right = np.ones(400, dtype=bool)
    right[:3] = False
    found = certify(np.linspace(0.99, 0.4, 400), right, target=TARGET, delta=DELTA)
    assert (400, 3) == (found.accepted, found.errors)


def test_the_order_of_reviews_does_not_matter():
    """Only that of probabilities."""
    random = np.random.default_rng(1)
    chances, right = reviewed(300, sloped, random)
    shuffled = random.permutation(300)
    assert certify(chances, right, target=0.9, delta=DELTA) == certify(
        chances[shuffled], right[shuffled], target=0.9, delta=DELTA
    )


def test_nothing_reviewed_proves_nothing():
    """As at the beginning."""
    found = certify(np.empty(0), np.empty(0, dtype=bool), target=TARGET, delta=DELTA)
    assert (False, 0, 0.0, 0) == (found.is_proven, found.reviewed, found.coverage, found.starts)


def test_a_threshold_never_divides_images_of_one_probability():
    """Ninety share one, of which the last are wrong in the order of review: all or none."""
    chances = np.array([0.9] * 90 + [0.5] * 10, dtype=np.float32)
    right = np.array([True] * 70 + [False] * 30)
    assert not certify(chances, right, target=TARGET, delta=DELTA).is_proven
    found = certify(chances, np.array([True] * 90 + [False] * 10), target=TARGET, delta=DELTA)
    assert (90, 0) == (found.accepted, found.errors)


@given(
    chances=st.lists(st.floats(0, 1, width=32), min_size=29, max_size=300),
    errors=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_the_threshold_accepts_what_was_accepted(chances, errors, seed):
    """Compared as float32, as a tagger does, also after a stay in JSON; and the numbers are those of the bound."""
    right = np.ones(len(chances), dtype=bool)
    right[np.random.default_rng(seed).permutation(len(chances))[:errors]] = False
    own = np.array(chances, dtype=np.float32)
    found = certify(own, right, target=0.9, delta=DELTA)
    if found.threshold is not None:
        accepted = own >= np.float32(found.threshold)
        assert (found.accepted, found.errors) == (accepted.sum(), (accepted & ~right).sum())
        assert binom.cdf(found.errors, found.accepted, 1 - found.target) <= DELTA / found.starts
        assert found.lower_bound is not None
        assert found.target <= found.lower_bound <= 1


@pytest.mark.parametrize(
    ("count", "errors", "bound"), [(59, 0, 0.9505), (93, 1, 0.9500), (10, 10, 0.0), (181, 4, 0.9501)]
)
def test_the_lower_bound_is_that_of_clopper_and_pearson(count, errors, bound):
    """Just above the target where so many are the least."""
    assert pytest.approx(bound, abs=1e-4) == lower_bound(count, errors, DELTA)


@pytest.mark.parametrize(
    ("chances", "right", "target", "delta"),
    [
        ([0.5], [True], 1.0, 0.05),
        ([0.5], [True], 0.95, 0.0),
        ([0.5], [True, False], 0.9, 0.05),
        ([np.nan], [True], 0.9, 0.05),
    ],
)
def test_impossible_questions_are_refused(chances, right, target, delta):
    """Shares outside of 0 to 1, answers without probabilities, and probabilities that are no numbers."""
    with pytest.raises(ValueError, match=r"between 0 and 1|all finite"):
        certify(np.array(chances), np.array(right), target=target, delta=delta)


# -- how often it is wrong ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [60, 120, 250, 500])
@pytest.mark.parametrize("precision", [TARGET - 1e-6, 0.93])
def test_a_flat_precision_below_the_target_is_rarely_proven(count, precision):
    """In at most one run of twenty, however many are reviewed."""
    false = 0
    for seed in range(SEEDS):
        chances, right = reviewed(count, flat(precision), np.random.default_rng(seed))
        false += certify(chances, right, target=TARGET, delta=DELTA).is_proven
    assert false / SEEDS <= _MOST_FALSE


@pytest.mark.parametrize("target", [0.96, 0.97, 0.98])
@pytest.mark.parametrize("count", [250, 500])
def test_a_sloped_precision_is_rarely_overstated(count, target):
    """Where some thresholds reach the target and others do not, or only just."""
    false = 0
    for seed in range(SEEDS):
        chances, right = reviewed(count, sloped, np.random.default_rng(seed))
        found = certify(chances, right, target=target, delta=DELTA)
        false += is_false(found, lambda threshold: (1.9 + 0.1 * threshold) / 2)
    assert false / SEEDS <= _MOST_FALSE


def test_most_of_a_good_label_is_accepted():
    """Of .985 right, a target of .95 and 250 reviews."""
    coverage = []
    for seed in range(SEEDS):
        chances, right = reviewed(250, flat(0.985), np.random.default_rng(seed))
        coverage.append(certify(chances, right, target=TARGET, delta=DELTA).coverage)
    assert np.mean(coverage) >= 0.80  # measured .81


def test_planned_looks_keep_the_promise():
    """Three looks of one plan and three of a second, each with half of what the one before may spend."""
    false = 0
    for seed in range(SEEDS):
        chances, right = reviewed(960, flat(TARGET - 1e-6), np.random.default_rng(seed))
        looks = [120, 240, 480, 600, 720, 960]
        false += any(
            certify(chances[:size], right[:size], target=TARGET, delta=DELTA * share(look)).is_proven
            for look, size in enumerate(looks)
        )
    assert false / SEEDS <= _MOST_FALSE


def test_unplanned_looks_do_not():
    """Why they are planned: after each ten reviews, at the full error probability, a false proof is likely."""
    false = 0
    for seed in range(200):
        chances, right = reviewed(480, flat(TARGET - 1e-6), np.random.default_rng(seed))
        false += any(
            certify(chances[:size], right[:size], target=TARGET, delta=DELTA).is_proven for size in range(60, 481, 10)
        )
    assert false / 200 > 2 * DELTA


def test_images_that_look_alike_count_once():
    """Three hundred reviews of sixty scenes: one of each cluster keeps the promise, all of them do not."""
    collapsed = every = 0
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        scenes, right = reviewed(60, flat(TARGET - 1e-6), random)
        chances, right = np.repeat(scenes, 5) + random.normal(0, 1e-3, 300).astype(np.float32), np.repeat(right, 5)
        hashes = np.repeat(random.integers(0, 1 << 63, 60, dtype=np.uint64), 5) ^ np.uint64(0b11)
        of = clusters(hashes, np.eye(300, dtype=np.float32), random) if seed < 20 else np.repeat(np.arange(60), 5)
        _, first = np.unique(of, return_index=True)
        assert 60 == len(first)
        collapsed += certify(chances[first], right[first], target=TARGET, delta=DELTA).is_proven
        every += certify(chances, right, target=TARGET, delta=DELTA).is_proven
    assert collapsed / SEEDS <= _MOST_FALSE
    assert every / SEEDS > 2 * DELTA
