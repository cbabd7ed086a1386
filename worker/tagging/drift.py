"""Drift: how far the answers about one period's images are from those about an earlier period's. Pure arithmetic.

The measure is the population stability index (PSI), the sum of ``(a - e) · ln(a / e)`` over the categories, where ``a``
and ``e`` are their shares now and before (N. Siddiqi, Credit Risk Scorecards, 2006). It is the symmetric
Kullback-Leibler divergence of the two distributions. By custom, below .1 is no change and from .25 on a large one.

Samples of the same distribution differ by chance, too: then ``PSI / (1/n + 1/m)`` has about a chi-squared distribution
with one degree of freedom less than there are categories (B. Yurdakul and J. Naranjo, Statistical properties of the
population stability index, Journal of Risk Model Validation 14, 2020). So a PSI is a finding only above what chance
explains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

#: By custom: from here on, a change is moderate, or large.
MODERATE, LARGE = 0.1, 0.25
#: Fewer images than this on either side are not compared.
FEWEST = 30
#: So often does chance alone exceed ``by_chance``, if images arrive independently of each other.
CHANCE = 0.001
#: From so many percentage points on, a change of the abstentions is large, if chance does not explain it.
JUMP = 0.1

_Z = NormalDist().inv_cdf(1 - CHANCE)
_Z_OF_BOTH_SIDES = NormalDist().inv_cdf(1 - CHANCE / 2)
#: Categories with fewer expected images than this are compared as one, as for any chi-squared statistic.
_LEAST_EXPECTED = 5.0
#: Added to each category's images, so that one without any has a logarithm.
_PSEUDO_COUNT = 0.5

Level: TypeAlias = Literal["too-few", "none", "moderate", "large"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """The answers about the images of a period: a weighted sample of them, or all."""

    images: float  # how many they are worth as an unweighted sample: see ``effective_size``
    labels: Mapping[str, float]  # label → share of the images that have it
    none: float  # share of the images without a label


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """How far a period is from the one before it."""

    level: Level
    psi: float
    by_chance: float  # what the PSI exceeds once in a thousand times if nothing has changed
    abstentions: float  # change of the share without a label: 0.1 is ten percentage points more than before
    jump: bool  # whether that change is large, and not explained by chance


def effective_size(weights: float, squares: float) -> float:
    """The unweighted sample that is as good as a weighted one (L. Kish, Survey Sampling, 1965).

    Args:
        weights: sum of the weights.
        squares: sum of their squares.
    """
    return weights * weights / squares if squares else 0.0


def drift(now: Answers, before: Answers) -> Drift:
    """Compare two periods. With fewer than ``FEWEST`` images in one of them, the level is ``too-few``."""
    mine, theirs = _pooled(now, before)
    psi = _psi(mine, theirs, now.images, before.images)
    chance = by_chance(len(mine), now.images, before.images)
    change = now.none - before.none
    enough = min(now.images, before.images) >= FEWEST
    return Drift(
        level=_level(psi, chance) if enough else "too-few",
        psi=psi,
        by_chance=chance,
        abstentions=change,
        jump=enough and abs(change) >= JUMP and _is_significant(now, before),
    )


def by_chance(categories: int, now: float, before: float) -> float:
    """The PSI that two samples of one distribution exceed with probability ``CHANCE``. Infinite for an empty sample.

    The quantile of the chi-squared distribution is Wilson and Hilferty's approximation (PNAS 17, 1931).
    """
    freedom = categories - 1
    if freedom < 1:
        return 0.0
    if not (now and before):
        return math.inf
    spread = 2 / (9 * freedom)
    quantile = freedom * (1 - spread + _Z * math.sqrt(spread)) ** 3
    return quantile * (1 / now + 1 / before)


def _level(psi: float, chance: float) -> Level:
    if psi < MODERATE or psi <= chance:
        return "none"
    return "large" if psi >= LARGE else "moderate"


def _psi(now: list[float], before: list[float], images_now: float, images_before: float) -> float:
    """Of images by category. An image with several labels counts once for each."""
    if not (images_now and images_before):
        return 0.0
    mine, theirs = _smoothed(now), _smoothed(before)
    return sum((a - e) * math.log(a / e) for a, e in zip(mine, theirs, strict=True))


def _smoothed(counts: list[float]) -> list[float]:
    total = sum(counts) + _PSEUDO_COUNT * len(counts)
    return [(count + _PSEUDO_COUNT) / total for count in counts]


def _pooled(now: Answers, before: Answers) -> tuple[list[float], list[float]]:
    """Images by category, the rare categories as one."""
    categories: list[tuple[float, float]] = [
        (now.labels.get(label, 0.0) * now.images, before.labels.get(label, 0.0) * before.images)
        for label in sorted(now.labels.keys() | before.labels.keys())
    ]
    categories.append((now.none * now.images, before.none * before.images))
    smaller = min(now.images, before.images) / max(now.images + before.images, 1.0)
    common = [each for each in categories if sum(each) * smaller >= _LEAST_EXPECTED]
    rare = [each for each in categories if 0 < sum(each) * smaller < _LEAST_EXPECTED]
    if rare:
        common.append((sum(each[0] for each in rare), sum(each[1] for each in rare)))
    return [each[0] for each in common], [each[1] for each in common]


def _is_significant(now: Answers, before: Answers) -> bool:
    """Whether two shares differ by more than chance: the two-sided z-test of two proportions, pooled."""
    total = now.images + before.images
    pooled = (now.none * now.images + before.none * before.images) / total
    error = math.sqrt(pooled * (1 - pooled) * (1 / now.images + 1 / before.images))
    return error > 0 and abs(now.none - before.none) / error > _Z_OF_BOTH_SIDES
