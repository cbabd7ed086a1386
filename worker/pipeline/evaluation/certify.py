"""Which threshold proves a precision: an exact test on reviewed images. Pure arithmetic.

The images are sorted by probability. The hypothesis at rank n is that of the images above that probability, fewer than
``target`` are right; it is refuted if so few errors among n had a binomial probability of at most α. Testing all ranks
would find false proofs, so tests run in fixed sequences: each starts at a rank that depends on the number of images
and the target only, and goes on to looser ranks until its first failure, all at the same α (Holm's sequences; P. Bauer,
Multiple testing in clinical trials, Statistics in Medicine 10, 1991). Several starts share the error probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, bdtrc, betaincinv  # scipy.stats has the same, and takes seconds to import

from worker.types import Floats

#: Later reviews refute a proof if so many errors have at most this probability where it holds.
REFUTED = 0.01
#: Numbers of images.
Counts: TypeAlias = "int | npt.NDArray[np.intp]"


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdTest:
    """What reviewed images prove about one label, or about all labels of a taxonomy together."""

    target: float  # precision to prove
    delta: float  # error probability that this test spends
    reviewed: int
    wrong: int  # among all reviewed
    starts: int  # of sequences of tests, which share delta
    threshold: float | None = None  # probability of the loosest accepted image; None: nothing is proven
    accepted: int = 0
    errors: int = 0  # among the accepted
    lower_bound: float | None = None  # of the precision (Clopper and Pearson), at delta / starts

    @property
    def is_proven(self) -> bool:
        """Whether there is a threshold."""
        return self.threshold is not None

    @property
    def coverage(self) -> float:
        """Share of the reviewed images that the threshold accepts."""
        return self.accepted / self.reviewed if self.reviewed else 0.0


def certify(
    probabilities: Floats | npt.NDArray[np.float64], right: npt.NDArray[np.bool_], *, target: float, delta: float
) -> ThresholdTest:
    """Find the loosest threshold above which at least ``target`` of the images are right.

    If no threshold reaches the target, one is returned with a probability of at most ``delta``. That holds for images
    that were drawn at random, independently of each other, and for a test that was planned: whoever repeats it after
    each review finds a false proof in the end.

    Args:
        probabilities: ``[n]``, of the label, in the order of ``right``. A tagger compares them as float32.
        right: ``[n]``, whether a person says that the label holds.
        target: precision to prove, above 0 and below 1.
        delta: probability of a false proof.

    Raises:
        ValueError: a share is not between 0 and 1, the lengths differ, or a probability is not finite.
    """
    _refuse_impossible(target, delta)
    chances = np.asarray(probabilities, dtype=np.float32)
    if chances.shape != right.shape or chances.ndim != 1 or not np.isfinite(chances).all():
        raise ValueError(f"{chances.shape} probabilities, all finite, and as many answers are needed: {right.shape}")
    order = np.argsort(-chances, kind="stable")
    chances, wrong = chances[order], np.cumsum(~right[order].astype(bool))
    first = starts(len(chances), target, delta)
    found = ThresholdTest(
        target=target, delta=delta, reviewed=len(chances), wrong=int(wrong[-1]) if len(wrong) else 0, starts=len(first)
    )
    # A threshold accepts all images of the same probability, or none: only the last of them is a rank.
    ranks = np.flatnonzero(np.append(chances[1:] != chances[:-1], True)[: len(chances)]) + 1
    errors = wrong[ranks - 1]
    alpha = delta / max(len(first), 1)
    loosest = _loosest(at_most(errors, ranks, 1 - target) <= alpha, np.searchsorted(ranks, first))
    if loosest is None:
        return found
    accepted, own_errors = int(ranks[loosest]), int(errors[loosest])
    return ThresholdTest(
        target=target,
        delta=delta,
        reviewed=found.reviewed,
        wrong=found.wrong,
        starts=found.starts,
        threshold=shortest_float32(chances[accepted - 1]),
        accepted=accepted,
        errors=own_errors,
        lower_bound=lower_bound(accepted, own_errors, alpha),
    )


def starts(count: int, target: float, delta: float) -> npt.NDArray[np.intp]:
    """At which ranks of ``count`` images sequences of tests begin, ascending.

    All images; and m, 2m, 4m …, where m is the least rank that can be proven with the share that each start has. One
    strict start alone would end at an early error, however many images are reviewed.
    """
    every: list[int] = [count] if count else []
    doublings = 1
    while (first := least(target, delta / (doublings + 1))) << (doublings - 1) <= count:
        every = [*(first << step for step in range(doublings)), count]
        doublings += 1
    return np.array(every, dtype=np.intp)


def least(target: float, delta: float) -> int:
    """How many images prove a precision if none is wrong; 59 for .95 with an error probability of .05."""
    return max(math.ceil(math.log(delta) / math.log(target)), 1)


def lower_bound(count: int, errors: int, alpha: float) -> float:
    """The precision that is refuted with error probability ``alpha`` if it is lower.

    C. J. Clopper and E. S. Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial,
    Biometrika 26, 1934.
    """
    return float(betaincinv(count - errors, errors + 1, alpha)) if errors < count else 0.0


def at_most(errors: Counts, count: Counts, chance: float) -> npt.NDArray[np.float64]:
    """The probability of so many errors or fewer among ``count``, each with this chance; arrays are broadcast."""
    found: npt.NDArray[np.float64] = np.where(np.asarray(errors) < 0, 0.0, bdtr(errors, count, chance))
    return found


def at_least(errors: Counts, count: Counts, chance: float) -> npt.NDArray[np.float64]:
    """The probability of so many errors or more."""
    before = np.asarray(errors) - 1
    found: npt.NDArray[np.float64] = np.where(before < 0, 1.0, bdtrc(before, count, chance))
    return found


def shortest_float32(value: np.float32) -> float:
    """The number with the fewest digits that is this one as float32, in which probabilities are compared."""
    return float(str(value))


def _loosest(passed: npt.NDArray[np.bool_], first: npt.NDArray[np.intp]) -> int | None:
    """The last place before the first failure behind any of these places."""
    failed = np.append(np.flatnonzero(~passed), len(passed))
    last = failed[np.searchsorted(failed, first)] - 1
    proven = last[last >= first]
    return int(proven.max()) if len(proven) else None


def _refuse_impossible(target: float, delta: float) -> None:
    if not (0 < target < 1 and 0 < delta < 1):
        raise ValueError(f"target {target} and delta {delta} must be between 0 and 1")
