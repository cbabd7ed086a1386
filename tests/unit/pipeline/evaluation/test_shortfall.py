"""What is missing for a proof, in numbers and in words."""

from __future__ import annotations

import numpy as np
import pytest

from worker.pipeline.evaluation.certify import certify
from worker.pipeline.evaluation.shortfall import Shortfall, reviews, sentence, shortfall


def missing(count: int, wrong: int, *, target: float = 0.95, delta: float = 0.05) -> Shortfall:
    """With the errors spread evenly over all probabilities."""
    right = np.ones(count, dtype=bool)
    right[np.linspace(0, count - 1, wrong).astype(int)] = False
    return shortfall(np.linspace(1, 0.3, count), right, target=target, delta=delta)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (0.9, [29, 46, 61, 76, 116, 179]),
        (0.95, [59, 124, 234, 601, 2_698, None]),
        (0.98, [149, 969, None, None, None, None]),
    ],
)
def test_how_many_reviews_are_needed(target, expected):
    """If 0 to 5 in 100 are wrong, with a chance of four in five."""
    assert expected == [reviews(target, 0.05, wrong=wrong / 100) for wrong in range(6)]


def test_without_mistakes_the_least_is_named():
    """And what it would take if the label is not perfect."""
    short = missing(26, 0)
    assert (59, 124, 234, 33, False) == (
        short.least, short.if_one_in_100, short.if_two_in_100, short.more, short.is_hopeless,
    )  # fmt: skip
    assert (
        "0.95 cannot be proven yet: 26 pictures reviewed, none wrong; 59 without a mistake are the least "
        "(about 124 if 1 in 100 is wrong, 234 if 2). 33 more are queued"
    ) == sentence(short, queued=33)


def test_with_mistakes_it_takes_more():
    """A stricter threshold may do, too."""
    short = missing(34, 4)
    assert (
        f"0.95 cannot be proven yet: 34 pictures reviewed, 4 wrong; {short.more} more without a further mistake would "
        "prove it, or a stricter threshold"
    ) == sentence(short)


@pytest.mark.parametrize(
    ("count", "wrong", "target"), [(26, 0, 0.95), (34, 4, 0.95), (120, 7, 0.95), (300, 20, 0.95), (20, 2, 0.9)]
)
def test_so_many_more_without_a_mistake_prove_it(count, wrong, target):
    """Even if the mistakes are those of the highest probabilities."""
    more = missing(count, wrong, target=target).more or 0
    right = np.arange(count + more) >= wrong
    assert certify(np.linspace(1, 0.3, len(right)), right, target=target, delta=0.05).is_proven
    assert more > 0


def test_where_no_threshold_helps_it_is_said():
    """Nineteen of forty-six are wrong, at high probabilities as at low ones."""
    short = missing(46, 19, target=0.9)
    assert short.is_hopeless
    assert sentence(short).startswith(
        "refused: 19 of 46 wrong; no threshold reaches 0.9 on these. Change the prompts, or"
    )


def test_where_only_low_probabilities_are_wrong_a_stricter_threshold_may_help():
    """Thirty right ones lie above nineteen errors."""
    right = np.arange(49) < 30
    assert not shortfall(np.linspace(1, 0.3, 49), right, target=0.9, delta=0.05).is_hopeless


def test_nothing_reviewed_yet():
    """Only the numbers that are needed; where the target is high, a label with errors is beyond reach."""
    nothing = shortfall(np.empty(0), np.empty(0, dtype=bool), target=0.98, delta=0.05)
    assert (
        "0.98 cannot be proven yet: no pictures reviewed; 149 without a mistake are the least "
        "(about 969 if 1 in 100 is wrong)"
    ) == sentence(nothing)
    strict = missing(1, 0, target=0.995)
    assert (
        "0.995 cannot be proven yet: 1 picture reviewed, none wrong; 598 without a mistake are the least"
        == sentence(strict)
    )


def test_a_proof_out_of_reach_is_said_to_be():
    """Thousands of errors cannot be outweighed."""
    assert "more than 20,000 more without a further mistake" in sentence(
        Shortfall(
            target=0.95, delta=0.05, reviewed=9_000, wrong=450, least=59, if_one_in_100=124, if_two_in_100=234,
            more=None, is_hopeless=False,
        )
    )  # fmt: skip
