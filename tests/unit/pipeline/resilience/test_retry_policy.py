"""When to try again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.pipeline.resilience.retry_policy import RetryPolicy


@given(attempts=st.integers(1, 10_000), base=st.floats(0.1, 60), longest=st.floats(1, 3_600))
def test_delays_stay_within_bounds(attempts, base, longest):
    """Never at once, never longer than the longest, whatever the attempt."""
    delay = RetryPolicy(base=base, longest=longest).delay(attempts)
    assert min(base, longest) / 2 <= delay <= longest


@given(attempts=st.integers(1, 12))
def test_delays_double(attempts):
    """Each attempt's earliest retry is at least as late as the latest one of the attempt before."""
    policy = RetryPolicy(base=1, longest=1e9)
    assert policy.delay(attempts) <= 2.0 ** (attempts - 1) <= policy.delay(attempts + 1)


def test_attempts_are_exhausted_at_the_maximum():
    """Five attempts means five."""
    policy = RetryPolicy(max_attempts=5)
    assert [False, True, True] == [policy.exhausted(attempts) for attempts in (4, 5, 6)]
