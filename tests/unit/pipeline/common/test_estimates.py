"""What a sample says about a catalog."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pipeline.common.estimates import Estimate, Sampling


def test_a_full_look_is_exact():
    """No interval where nothing was guessed."""
    assert Estimate(seen=7, about=7, low=7, high=7) == Sampling(images=100, total=100, exact=True).count(7)


def test_a_known_interval():
    """10 of 100, for a million: Wilson's interval is 5.52 % to 17.44 %."""
    found = Sampling(images=100, total=1_000_000, exact=True).count(10)
    assert (100_000, 55_229, 174_366) == (found.about, found.low, found.high)


def test_never_seen_is_not_never():
    """Of 20,000 images without a change, up to 0.02 % of all may still have one."""
    found = Sampling(images=20_000, total=1_000_000, exact=True).count(0)
    assert (0, 0, 193) == (found.about, found.low, found.high)


@given(st.integers(1, 500), st.integers(0, 10_000), st.data())
def test_intervals_hold_what_was_seen(images, more, data):
    """Never below what was seen, never above what is possible."""
    sampling = Sampling(images=images, total=images + more, exact=True)
    seen = data.draw(st.integers(0, images))
    found = sampling.count(seen)
    assert seen <= found.low <= found.about <= found.high <= sampling.total - (images - seen)


@pytest.mark.parametrize("share", [0.001, 0.03, 0.4, 0.97])
def test_intervals_are_right_about_as_often_as_they_say(share):
    """Of 2,000 samples, about 95 % give an interval with the true number in it."""
    random, total = np.random.default_rng(1), 100_000
    sampling = Sampling(images=2_000, total=total, exact=True)
    counts = [sampling.count(int(seen)) for seen in random.binomial(2_000, share, 2_000)]
    hits = np.mean([each.low <= share * total <= each.high for each in counts])
    assert 0.92 < hits < 0.985
