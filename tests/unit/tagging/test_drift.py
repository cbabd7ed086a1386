"""The arithmetic of drift: its measure, what chance explains, and when a change is one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from worker.tagging import drift
from worker.tagging.drift import Answers

SHARES = st.lists(st.integers(0, 1_000), min_size=2, max_size=8).filter(any)


def answers(counts: Mapping[Any, float]) -> Answers:
    images = sum(counts.values())
    return Answers(
        images=images,
        labels={label: count / images for label, count in counts.items() if label is not None},
        none=counts.get(None, 0.0) / images,
    )


def drawn(random: np.random.Generator, shares: list[float], images: int) -> Answers:
    counts = random.multinomial(images, shares)
    return answers({None if n == 0 else f"label {n}": float(count) for n, count in enumerate(counts)})


def test_the_index_is_that_of_the_literature():
    """Two categories, by hand: (.6 - .4) ln(.6 / .4) + (.4 - .6) ln(.4 / .6)."""
    found = drift.drift(answers({"a": 6_000_000, "b": 4_000_000}), answers({"a": 4_000_000, "b": 6_000_000}))
    assert pytest.approx(0.4 * math.log(1.5), abs=1e-5) == found.psi
    assert "moderate" == found.level


@given(SHARES, SHARES)
def test_the_index_is_symmetric_and_never_negative(now, before):
    """And zero for equal distributions of equally many images."""
    mine, theirs = (answers({str(n): float(count) for n, count in enumerate(each)}) for each in (now, before))
    there, back = drift.drift(mine, theirs), drift.drift(theirs, mine)
    assert there.psi >= 0
    assert pytest.approx(back.psi) == there.psi
    assert pytest.approx(0) == drift.drift(mine, mine).psi


@pytest.mark.parametrize("categories", [2, 3, 6, 40])
def test_what_chance_explains_is_a_quantile_of_chi_squared(categories):
    """Within 4 % of scipy's, which is enough for a limit."""
    exact = stats.chi2.isf(drift.CHANCE, categories - 1) * (1 / 500 + 1 / 2_000)
    assert pytest.approx(exact, rel=0.04) == drift.by_chance(categories, 500, 2_000)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.1, 0.6, 0.3], [0.05, 0.9, 0.04, 0.01], [0.1] * 10])
def test_chance_seldom_makes_a_finding(shares):
    """Of 2,000 pairs of samples of one distribution, about 2 exceed what chance explains; at most 10 do here."""
    random = np.random.default_rng(16)
    found = [drift.drift(drawn(random, shares, 60), drawn(random, shares, 840)) for _ in range(2_000)]
    assert sum(each.psi > each.by_chance for each in found) <= 10
    assert sum(each.jump for each in found) <= 10


def test_a_change_is_found():
    """Nearly always, from a few hundred images on."""
    random = np.random.default_rng(16)
    found = [
        drift.drift(drawn(random, [0.3, 0.3, 0.4], 300), drawn(random, [0.05, 0.65, 0.3], 4_000)) for _ in range(100)
    ]
    assert (100, 100) == (sum(each.level == "large" for each in found), sum(each.jump for each in found))


def test_a_handful_of_images_is_no_finding():
    """Whatever they are."""
    few = drift.drift(answers({"night": 29.0}), answers({"day": 5_000.0}))
    assert ("too-few", False) == (few.level, few.jump)
    nothing = drift.drift(Answers(images=0, labels={}, none=0.0), answers({"day": 5_000.0}))
    assert ("too-few", 0.0) == (nothing.level, nothing.psi)


def test_rare_labels_are_compared_as_one():
    """A thousand labels of one image each are no change against a thousand others."""
    now, before = ({f"{when} {n}": 1.0 for n in range(1_000)} for when in ("now", "before"))
    assert "none" == drift.drift(answers(now), answers(before)).level


def test_a_label_that_comes_anew_is_a_change():
    """Although its share before was zero."""
    found = drift.drift(answers({"day": 500.0, "fog": 500.0}), answers({"day": 5_000.0}))
    assert ("large", True) == (found.level, math.isfinite(found.psi))


def test_weighted_images_are_worth_fewer():
    """As many as Kish's formula says: all alike, all of them; one that outweighs the others, hardly more than one."""
    assert 100 == drift.effective_size(100 * 3.0, 100 * 9.0)
    assert 1 < drift.effective_size(1_000 + 99, 1_000**2 + 99) < 2
    assert 0 == drift.effective_size(0, 0)
