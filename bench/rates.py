"""How much of something is done in a second."""

from __future__ import annotations

import time
from collections.abc import Callable


def rate(action: Callable[[], int], seconds: float = 2.0) -> float:
    """Of what ``action`` counts, how many a second; at least one call after the first, which warms up."""
    action()
    started, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < seconds or not done:
        done += action()
    return done / spent
