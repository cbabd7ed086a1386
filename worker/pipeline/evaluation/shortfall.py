"""What is missing for a proof: how many more reviews, or that none would help. Pure arithmetic, and its sentences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrik

from worker.pipeline.evaluation.certify import at_least, at_most, least, starts
from worker.types import Floats

#: Chance to succeed that "about so many" promises.
_POWER = 0.8
#: More reviews than anybody makes.
_MOST = 20_000
#: With this error probability it is said that no threshold reaches a precision.
_HOPELESS = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortfall:
    """Why a precision is not proven, and what would prove it. Numbers are of reviewed images that the label is for."""

    target: float
    delta: float  # error probability that the next test may spend
    reviewed: int
    wrong: int
    least: int  # in all, if none is wrong
    if_one_in_100: int | None  # in all, if 1 in 100 is wrong; None: more than anybody reviews
    if_two_in_100: int | None
    more: int | None  # beyond those reviewed, if none of them is wrong; None: more than anybody reviews
    is_hopeless: bool  # whether every threshold gives a lower precision, as far as can be seen


def shortfall(
    probabilities: Floats | npt.NDArray[np.float64], right: npt.NDArray[np.bool_], *, target: float, delta: float
) -> Shortfall:
    """Say what is missing; arguments as for ``certify``, ``delta`` being that of the next test."""
    order = np.argsort(-np.asarray(probabilities, dtype=np.float32), kind="stable")
    wrong = np.cumsum(~right[order].astype(bool))
    total = int(wrong[-1]) if len(wrong) else 0
    return Shortfall(
        target=target,
        delta=delta,
        reviewed=len(wrong),
        wrong=total,
        least=least(target, delta),
        if_one_in_100=reviews(target, delta, wrong=0.01),
        if_two_in_100=reviews(target, delta, wrong=0.02),
        more=_more(len(wrong), total, target, delta),
        is_hopeless=_is_hopeless(wrong, target),
    )


@lru_cache(maxsize=256)
def reviews(target: float, delta: float, *, wrong: float, power: float = _POWER) -> int | None:
    """How many reviews prove a precision with this chance, if this share of the images is wrong.

    For one test of all of them; a threshold that is searched for needs some more.

    Returns:
        None if it is more than anybody reviews, or cannot be.
    """
    if wrong >= 1 - target:
        return None
    counts = np.arange(1, _MOST + 1)
    # The most errors that still prove it, or -1. The inverse has no number below its values' lowest one.
    allowed = np.floor(np.nan_to_num(bdtrik(delta, counts, 1 - target), nan=0.0)).astype(np.intp)
    allowed -= at_most(allowed, counts, 1 - target) > delta
    enough = np.flatnonzero(at_most(allowed, counts, wrong) >= power)
    return int(counts[enough[0]]) if len(enough) else None


def sentence(short: Shortfall, *, queued: int = 0) -> str:
    """The shortfall in words, to be put behind the name of the label.

    Args:
        short: the numbers.
        queued: images that are waiting for a reviewer in an open plan.
    """
    target = f"{short.target:g}"
    if short.is_hopeless:
        return (
            f"refused: {short.wrong} of {short.reviewed} wrong; no threshold reaches {target} on these. "
            "Change the prompts, or train a head with `enrich learn`"
        )
    waiting = f". {queued} more are queued" if queued else ""
    start = f"{target} cannot be proven yet: {_pictures(short.reviewed)} reviewed"
    if short.wrong:
        more = f"{short.more:,} more" if short.more is not None else f"more than {_MOST:,} more"
        needed = f"{more} without a further mistake would prove it, or a stricter threshold"
        return f"{start}, {short.wrong} wrong; {needed}{waiting}"
    none = ", none wrong" if short.reviewed else ""
    return f"{start}{none}; {short.least} without a mistake are the least{_about(short)}{waiting}"


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count or 'no'} pictures"


def _about(short: Shortfall) -> str:
    if short.if_one_in_100 is None:
        return ""
    second = f", {short.if_two_in_100:,} if 2" if short.if_two_in_100 is not None else ""
    return f" (about {short.if_one_in_100:,} if 1 in 100 is wrong{second})"


def _more(count: int, wrong: int, target: float, delta: float) -> int | None:
    """With no further mistake: then the test of all images succeeds, whatever their order is."""
    for total in range(max(count, 1), _MOST):
        alpha = delta / len(starts(total, target, delta))
        if at_most(wrong, total, 1 - target) <= alpha:
            return total - count
    return None


def _is_hopeless(wrong: npt.NDArray[np.intp], target: float) -> bool:
    """Whether all images together refute the target, and no stricter rank that could prove something comes near it."""
    if not len(wrong):
        return False
    ranks = np.arange(min(least(target, _HOPELESS), len(wrong)), len(wrong) + 1)
    refuted = at_least(int(wrong[-1]), len(wrong), 1 - target) <= _HOPELESS  # so many errors or more
    return bool(refuted and (wrong[ranks - 1] > (1 - target) * ranks).all())
