"""When to retry."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter, bounded in time and in attempts."""

    max_attempts: int = 5
    base: float = 2.0  # seconds
    longest: float = 900.0  # seconds

    def exhausted(self, attempts: int) -> bool:
        """Whether the attempts are used up."""
        return attempts >= self.max_attempts

    def delay(self, attempts: int, *, rng: random.Random | None = None) -> float:
        """Seconds to wait after the ``attempts``-th attempt failed, between half the bound and the bound.

        The bound doubles each time. Jitter spreads what failed together (AWS Architecture Blog, "Exponential Backoff
        And Jitter"); the lower half is kept so that a retry never comes at once.
        """
        bound = min(self.base * 2.0 ** min(attempts - 1, 30), self.longest)
        return bound * (rng or random).uniform(0.5, 1.0)
